/**
 * Reading an answer that is no stream.
 *
 * @module
 */
import { asBytes } from "./byte_reader.ts";
import type { ChatReply } from "./chat.ts";
import { parseReply } from "./chunk.ts";
import { RouterError } from "./errors.ts";
import { concat } from "./sse.ts";

/** The most bytes a whole answer may have. */
export const maxReplyBytes = 64 * 1024 * 1024;

const decoder = new TextDecoder();

/**
 * Reads a body that is not a stream.
 *
 * @throws {RouterError} `upstream_unavailable` when it is longer than `limit` and not an error text;
 * `provider_failed` when it is no body of bytes.
 */
export async function readWhole(
  response: Response,
  limit: number = maxReplyBytes,
): Promise<{ bytes: Uint8Array; json: ChatReply | undefined }> {
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const bytes = length <= limit && !response.headers.has("content-encoding")
    ? await response.bytes()
    : await readUpTo(response, limit);
  return { bytes, json: parseReply(decoder.decode(bytes)) };
}

/** What an answer failed with that is longer than anybody keeps. */
export function tooLong(limit: number): RouterError {
  const reason = `The provider's answer is longer than ${limit} bytes`;
  return new RouterError("upstream_unavailable", reason);
}

async function readUpTo(response: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += asBytes(part).length;
    if (length > limit) {
      if (!response.ok) break;
      throw tooLong(limit);
    }
    parts.push(part);
  }
  return concat(parts);
}
