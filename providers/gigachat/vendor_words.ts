/**
 * What GigaChat's refusals say, fit for a log: short, in one line, and without tokens.
 *
 * @module
 */

/** Longer runs of the letters of base64 are tokens or files, not words. */
const token = /[\w+/=~.-]{200,}/g;

/** What follows the name of a scheme signs someone in. */
const credentials = /\b(Basic|Bearer)\s+[\w+/=~.-]{4,}/gi;

/** A text in which nothing signs anybody in. */
export function withoutTokens(text: string): string {
  return text.replace(credentials, "$1 […]").replace(token, "[…]");
}

/** Whether a body is a page of the edge, which is in front of the API and knows nothing of it. */
export function isPage(body: string): boolean {
  return /^\s*</.test(body);
}

/** An answer for the log: status, words, and the id that Sber's support asks for. */
export function answerOf(status: number, body: string, headers: Headers): string {
  const text = isPage(body)
    ? body.replace(/<(script|style)[^]*?<\/\1>/gi, " ").replace(/<[^>]*>/g, " ")
    : body;
  const said = withoutTokens(text).replace(/\s+/g, " ").trim().slice(0, 500);
  const id = headers.get("x-request-id");
  return `HTTP ${status}${said && ` ${said}`}${
    id === null ? "" : `, x-request-id ${id.slice(0, 64)}`
  }`;
}
