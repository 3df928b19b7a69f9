/**
 * What GigaChat's refusals mean. What the operator has to do stands in the detail, which only the
 * log and `xrouter doctor` show.
 *
 * @module
 */
import { RouterError } from "xrouter/provider";
import type { ErrorCode } from "../../core/errors.ts";
import { readRetryAfter, readVendorMessage } from "../../core/fault.ts";
import { refusedSignIn } from "./sign_in_fault.ts";
import { answerOf, isPage, withoutTokens } from "./vendor_words.ts";

/** The words for a request that is longer than the model's memory. */
const tooLong = /context[ _](window|length|size|limit)|maximum context|too many tokens|too long/i;

/**
 * A refusal of the API.
 *
 * @returns `undefined` for what the default by status says as well.
 */
export function fault(
  status: number,
  body: string,
  headers: Headers = new Headers(),
): RouterError | undefined {
  const words = readVendorMessage(body).message;
  const message = words === undefined ? undefined : withoutTokens(words);
  const said = message === undefined ? "" : `: ${message}`;
  const answer = answerOf(status, body, headers);
  const retryAfterMs = readRetryAfter(headers);
  const refusal = (code: ErrorCode, text: string, cure?: string) =>
    new RouterError(code, text, {
      ...(code === "model_not_found" && { param: "model" }),
      detail: cure === undefined ? answer : `${cure} (${answer})`,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  switch (status) {
    case 400:
    case 422: {
      if (isPage(body)) return pageFault(body, answer);
      if (tooLong.test(message ?? "")) {
        return refusal("context_length_exceeded", `GigaChat has too little room${said}`);
      }
      return refusal("invalid_request", `GigaChat refuses the request${said}${hintOf(message)}`);
    }
    case 401:
      return refusedSignIn(
        `GigaChat took the sign-in, and twice not its token. GIGACHAT_BASE_URL and GIGACHAT_AUTH_URL must belong together (${answer})`,
      );
    case 402:
      return refusal(
        "insufficient_quota",
        "GigaChat asks XRouter's operator to pay (HTTP 402)",
        "The account's tokens for this model are used up. Buy more in the Studio cabinet, or add the key of another account to GIGACHAT_CREDENTIALS",
      );
    case 403:
      return refusal(
        "upstream_rejected",
        "GigaChat does not permit this call",
        message === undefined
          ? "GigaChat's edge answers so to a path that is not there: check GIGACHAT_BASE_URL"
          : "The tariff of the account does not include it",
      );
    case 404:
      return refusal(
        isPage(body) ? "upstream_rejected" : "model_not_found",
        `GigaChat does not have this model${said}`,
        "Each host has models of its own: check GIGACHAT_BASE_URL. The newest stand at https://api.giga.chat/v1",
      );
    case 413:
      return refusal(
        "context_length_exceeded",
        `GigaChat finds the request too large${said}. Send less`,
      );
    case 429:
      return refusal(
        "upstream_busy",
        "GigaChat is busy (HTTP 429)",
        "Sber counts the calls that run: 1 for a person's key, 10 for a company's. Set GIGACHAT_PARALLEL to what the account has, and let no other program use its key",
      );
    default:
      return status >= 500
        ? refusal("upstream_unavailable", `GigaChat failed (HTTP ${status})`)
        : undefined;
  }
}

/** What the words leave out. */
function hintOf(message = ""): string {
  if (message.includes("invalid JSON syntax")) {
    return " (GigaChat says so of any field that has the wrong type)";
  }
  if (/does not support functions/i.test(message)) {
    return '. Leave "tools" out, or use another model';
  }
  if (/properties' is missing/.test(message)) {
    return ' (every object of a function\'s parameters needs "properties")';
  }
  return "";
}

/** The edge found fault with the connection, not with what the client asked. */
function pageFault(body: string, answer: string): RouterError {
  if (/SSL certificate/i.test(body)) {
    return refusedSignIn(
      /No required/i.test(body)
        ? `This host wants a client certificate. Set GIGACHAT_CERT_FILE and GIGACHAT_KEY_FILE (${answer})`
        : `This host does not take the client certificate: it may have ended, or be of another authority. Check GIGACHAT_CERT_FILE (${answer})`,
    );
  }
  return new RouterError("upstream_rejected", "GigaChat's edge refuses the call", {
    detail: `Check GIGACHAT_BASE_URL (${answer})`,
  });
}

/**
 * What a request asks for and GigaChat cannot do.
 *
 * @param param The field as OpenAI writes it: `messages[0].content`.
 * @param message What is wrong with it and the cure, to follow the field's name.
 */
export function refuse(param: string, message: string): RouterError {
  return new RouterError("invalid_request", `"${param}" ${message}`, { param });
}
