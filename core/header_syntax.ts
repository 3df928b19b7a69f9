/**
 * What can be sent as a header (RFC 9110 §5).
 *
 * @module
 */

/** Whether a header may have this name. */
export function isHeaderName(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name);
}

/** Whether a header may hold this value. */
export function isHeaderValue(value: unknown): boolean {
  return typeof value === "string" && /^[\t\x20-\x7e\x80-\xff]*$/.test(value.trim());
}

/**
 * The name of the first header that cannot be sent; `undefined` where all can. White space around a
 * value, such as the end of a file's line, is never sent.
 */
export function unsendable(headers: Readonly<Record<string, string>>): string | undefined {
  for (const name in headers) {
    if (!isHeaderName(name) || !isHeaderValue(headers[name])) return name;
  }
  return undefined;
}
