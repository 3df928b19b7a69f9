/**
 * Asking a vendor for embeddings, as far as it knows OpenAI's wire.
 *
 * @module
 */
import type { ChatReply } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import {
  type EmbeddingsBody,
  type EmbeddingsReply,
  joinEmbeddings,
  shapeEmbeddings,
  textsOf,
} from "./embeddings.ts";
import { RouterError } from "./errors.ts";
import type { Call, EmbeddingsWire } from "./provider.ts";
import { retryWait } from "./retry.ts";
import { pause } from "./unless_aborted.ts";

/** Sends a body, and reads the answer's JSON. */
export type Send = (body: unknown) => Promise<{ bytes: Uint8Array; json: unknown }>;

/** How often a text is sent that finds the vendor busy, where others of its list are done. */
const busyTries = 8;

/**
 * Asks for embeddings, with several calls where the vendor takes one text a call. A vendor that is
 * busy by then is asked again for the same text: what is done is not thrown away.
 *
 * @param onSpent Told of the answers there were, where a later call fails.
 * @returns The answer; its bytes are the vendor's own where nothing had to be changed.
 * @throws {RouterError} What the vendor's refusal means; `upstream_unavailable` for another answer.
 */
export async function askEmbeddings(
  body: EmbeddingsBody,
  { plain, single, encode, decode }: EmbeddingsWire,
  call: Call,
  send: Send,
  onSpent?: (reply: ChatReply) => void,
): Promise<Chunk> {
  const { encoding_format: _format, dimensions: _dimensions, ...rest } = body;
  const asked = plain ? rest : body;
  const parts = single ? textsOf(body).map((input) => ({ ...asked, input })) : [asked];
  const replies: EmbeddingsReply[] = [];
  const untouched = !plain && !single && decode === undefined;
  let received: Uint8Array | undefined;
  // One after the other: the account lets this request run one call.
  try {
    for (const part of parts) {
      const encoded = await encode?.(part, call) ?? part;
      const { bytes, json } = replies.length === 0
        ? await send(encoded)
        : await sendPatiently(encoded, send, call.signal);
      const reply = decode === undefined ? json as EmbeddingsReply : decode(json);
      if (!Array.isArray(reply?.data)) {
        throw new RouterError(
          "upstream_unavailable",
          "The provider answered with something that is not a list of embeddings",
        );
      }
      replies.push(reply);
      received = bytes;
    }
    const joined = single ? joinEmbeddings(replies) : replies[0]!;
    const json = (plain ? shapeEmbeddings(joined, body) : joined) as unknown as ChatReply;
    return untouched ? Chunk.fromBytes(received!, true, json) : Chunk.fromJson(json, true);
  } catch (error) {
    if (replies.length > 0) onSpent?.(joinEmbeddings(replies) as unknown as ChatReply);
    throw error;
  }
}

/** Sends; where the vendor is busy, again a little later, as long as it does not want too long a wait. */
async function sendPatiently(body: unknown, send: Send, signal: AbortSignal) {
  for (let tries = 1;; tries++) {
    try {
      return await send(body);
    } catch (error) {
      const isBusy = error instanceof RouterError && error.code === "upstream_busy";
      const wait = isBusy && tries < busyTries
        ? retryWait(tries, error.retryAfterMs, false)
        : undefined;
      if (wait === undefined) throw error;
      await pause(wait, signal);
    }
  }
}
