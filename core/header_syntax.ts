/**
 * What can be sent as a header (RFC 9110 §5).
 *
 * @module
 */

/**
 * The name of the first header that cannot be sent; `undefined` where all can. White space around a
 * value, such as the end of a file's line, is never sent.
 */
export function unsendable(headers: Readonly<Record<string, string>>): string | undefined {
  for (const name in headers) {
    if (
      !/^[\w!#$%&'*+.^`|~-]+$/.test(name) ||
      !/^[\t\x20-\x7e\x80-\xff]*$/.test(headers[name]!.trim())
    ) {
      return name;
    }
  }
  return undefined;
}
