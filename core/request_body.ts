/**
 * Reading a request's body within its limit.
 *
 * @module
 */
import { RouterError } from "./errors.ts";
import { concat } from "./sse.ts";

/**
 * Reads a JSON request's body.
 *
 * @param limit Bytes that it may have.
 * @returns The bytes, or the refusal: `unsupported_media_type`, `payload_too_large`, or `aborted`
 * when the client left in the middle. It is returned and not thrown, so that the exchange exists and
 * its caller is known before it is refused.
 */
export async function readBody(request: Request, limit: number): Promise<Uint8Array | RouterError> {
  const { headers } = request;
  const type = headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    const got = type === "" ? "no content-type" : `content-type "${type.slice(0, 100)}"`;
    return new RouterError(
      "unsupported_media_type",
      `The request has ${got}. Send JSON with "content-type: application/json"`,
    );
  }
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    return new RouterError(
      "unsupported_media_type",
      "The body is compressed. Send it without content-encoding",
    );
  }
  const tooLarge = () =>
    new RouterError(
      "payload_too_large",
      `The body is longer than ${limit} bytes. Send less, or let the operator raise XROUTER_BODY_LIMIT`,
    );
  const length = headers.get("content-length");
  if (Number(length) > limit) return tooLarge();
  try {
    if (length !== null) return await request.bytes();
    const parts: Uint8Array[] = [];
    let read = 0;
    for await (const part of request.body ?? []) {
      read += part.length;
      if (read > limit) return tooLarge();
      parts.push(part);
    }
    return concat(parts);
  } catch (error) {
    return new RouterError("aborted", "The client closed the connection", { cause: error });
  }
}
