/**
 * A provider's answer as it arrives: groups of chunks, read by the relay alone.
 *
 * @module
 */
import { type ChatReply, toEvents } from "./chat.ts";
import { Chunk, parseReply } from "./chunk.ts";
import { RouterError } from "./errors.ts";
import type { Decoder } from "./provider.ts";
import { concat, dataStartsWith, EventCutter, readEvent } from "./sse.ts";

/** The most bytes a whole answer may have. */
const maxReplyBytes = 64 * 1024 * 1024;

const encoder = new TextEncoder();
const doneMark = encoder.encode("[DONE]");
const errorMark = encoder.encode('{"error"');

/** Chunks that arrived together. */
export interface Group {
  readonly chunks: readonly Chunk[];
  /** The bytes of all chunks as they came, where these bytes are just the chunks. */
  readonly raw?: Uint8Array | undefined;
}

/** The answer to one attempt; it has one reader. */
export class Upstream {
  readonly #next: () => Promise<Group | undefined>;
  readonly #cancel: () => Promise<void>;
  #first: Group | undefined;
  #done = false;

  private constructor(next: () => Promise<Group | undefined>, cancel: () => Promise<void>) {
    this.#next = next;
    this.#cancel = cancel;
  }

  /** An answer that is one chunk; for a client that asked for a stream it becomes events. */
  static whole(reply: Chunk, asStream: boolean): Upstream {
    const chunks = asStream
      ? toEvents(reply.json!).map((event) => Chunk.fromJson(event, false))
      : [reply];
    let group: Group | undefined = { chunks };
    const upstream: Upstream = new Upstream(() => {
      const next = group;
      group = undefined;
      upstream.#done = true;
      return Promise.resolve(next);
    }, () => Promise.resolve());
    return upstream;
  }

  /** An answer that is a stream of events. */
  static stream(response: Response, decoder: Decoder | undefined): Upstream {
    const reader = response.body!.getReader();
    const cutter = new EventCutter();
    let ended = false;
    const upstream: Upstream = new Upstream(async () => {
      while (!ended) {
        const { value, done } = await reader.read();
        ended = done;
        const events = value === undefined ? [] : cutter.push(value);
        if (done) {
          const rest = cutter.rest();
          if (rest !== undefined) events.push(concat([rest, encoder.encode("\n\n")]));
        }
        const group = upstream.#group(events, decoder, value);
        if (group.chunks.length > 0) return group;
        if (upstream.#done) ended = true;
      }
      reader.releaseLock();
      return undefined;
    }, () => reader.cancel().catch(() => {}));
    return upstream;
  }

  /** Whether the provider has said that the answer is complete. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * Waits for the first group, so that an answer that begins badly can still fall back.
   *
   * @throws {RouterError} `upstream_unavailable` for an answer without any chunk, and what
   * {@linkcode Upstream.read} throws.
   */
  async begin(): Promise<void> {
    this.#first = await this.#next();
    if (this.#first === undefined) {
      throw new RouterError("upstream_unavailable", "The provider's answer is empty");
    }
  }

  /**
   * The next group; `undefined` at the end.
   *
   * @throws {RouterError} `upstream_unavailable` when the provider sends an error instead.
   */
  read(): Promise<Group | undefined> {
    if (this.#first === undefined) return this.#next();
    const first = this.#first;
    this.#first = undefined;
    return Promise.resolve(first);
  }

  /** Ends the call to the provider. */
  async cancel(): Promise<void> {
    await this.#cancel();
  }

  #group(events: Uint8Array[], decoder: Decoder | undefined, read: Uint8Array | undefined): Group {
    const chunks: Chunk[] = [];
    let length = 0;
    for (const event of events) {
      // What does not begin with its data (a comment, a named event) is decoded; the rest is not.
      const plain = event[0] === 100;
      const fields = plain && decoder === undefined ? undefined : readEvent(event);
      if (fields !== undefined && fields.data === undefined) continue;
      if (
        fields === undefined ? dataStartsWith(event, doneMark) : fields.data!.trim() === "[DONE]"
      ) {
        this.#done = true;
        continue;
      }
      if (
        fields === undefined
          ? dataStartsWith(event, errorMark)
          : fields.data!.startsWith('{"error"')
      ) throw streamFault((fields ?? readEvent(event)).data ?? "");
      if (decoder === undefined) {
        chunks.push(Chunk.fromBytes(event, false));
        length += event.length;
      } else {
        for (const reply of decoder.event(fields!.data!, fields!.name)) {
          chunks.push(Chunk.fromJson(reply, false));
        }
      }
    }
    return { chunks, raw: length === read?.length ? read : undefined };
  }
}

/** The error that a provider sends inside a stream that had begun well. */
function streamFault(data: string): RouterError {
  const error = (parseReply(data) as { error?: { message?: unknown } } | undefined)?.error;
  const said = typeof error?.message === "string" ? `: ${error.message.slice(0, 500)}` : "";
  return new RouterError("upstream_unavailable", `The provider broke the answer off${said}`, {
    detail: data.slice(0, 500),
  });
}

/**
 * Reads a body that is not a stream.
 *
 * @throws {RouterError} `upstream_unavailable` when it is longer than `limit` and not an error text.
 */
export async function readWhole(
  response: Response,
  limit: number = maxReplyBytes,
): Promise<{ bytes: Uint8Array; json: ChatReply | undefined }> {
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const bytes = length <= limit && !response.headers.has("content-encoding")
    ? await response.bytes()
    : await readUpTo(response, limit);
  return { bytes, json: parseReply(new TextDecoder().decode(bytes)) };
}

async function readUpTo(response: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > limit) {
      if (!response.ok) break;
      throw new RouterError(
        "upstream_unavailable",
        `The provider's answer is longer than ${limit} bytes`,
      );
    }
    parts.push(part);
  }
  return concat(parts);
}
