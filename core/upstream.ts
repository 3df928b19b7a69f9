/**
 * A provider's answer as it arrives: groups of chunks, read by the relay alone.
 *
 * @module
 */
import { ByteReader } from "./byte_reader.ts";
import { type ChatReply, endedIn, numbersIn, saysFailed, saysSomething, toEvents } from "./chat.ts";
import { Chunk, parseReply } from "./chunk.ts";
import { RouterError, withTexts } from "./errors.ts";
import { readVendorMessage } from "./fault.ts";
import { JsonEvents } from "./json_events.ts";
import type { Decoder } from "./provider.ts";
import { concat, dataStartsWith, EventCutter, readEvent } from "./sse.ts";
import { Alarm } from "./ticker.ts";
import type { WatchedCall } from "./watched_call.ts";

const encoder = new TextEncoder();
const doneMark = encoder.encode("[DONE]");
const errorMark = encoder.encode('{"error"');

/** Chunks that arrived together. */
export interface Group {
  readonly chunks: readonly Chunk[];
  /** The bytes of all chunks as they came, where these bytes are just the chunks. */
  readonly raw?: Uint8Array | undefined;
}

/** How an answer's stream is to be read. */
export interface StreamOptions {
  /** Alternatives that the vendor was asked for; one where absent. */
  choices?: number | undefined;
  /** Turns each event into OpenAI's; without it the bytes pass as they are. */
  decoder?: Decoder | undefined;
  /** Every event is parsed: its bytes reach nobody who would. */
  parsed?: boolean;
  /** Ends the answer; reading then rejects with the signal's reason. */
  signal: AbortSignal;
  /** Strikes out of a vendor's words what the client must not read. */
  redact: (text: string) => string;
  /** Told of each chunk as it comes, before anybody reads it. */
  onChunk?: ((chunk: Chunk) => void) | undefined;
  /** Told once the vendor's answer is over: read to its end, broken or ended from here. */
  onEnd?: () => void;
}

/** The most bytes of an answer that are held back while it has said nothing. */
const maxHeldBytes = 64 * 1024;

/** Milliseconds that a call gets to end by itself once its answer is complete. */
const finishMs = 250;

/** The answer to one attempt; it has one reader. */
export class Upstream {
  readonly #next: () => Promise<Group | undefined>;
  readonly #finish: () => Promise<void>;
  readonly #cancel: () => Promise<void>;
  /** Groups that were read before anybody asked for them. */
  #held: Group[] = [];
  #call: WatchedCall | undefined;
  /** Nothing more will come. */
  #whole = false;
  #done = false;
  readonly #events: JsonEvents;
  /** Alternatives of the answer, and those that have said why they end. */
  readonly choices: number;
  readonly #seen = new Set<number>();
  readonly #ended = new Set<number>();
  #fault: RouterError | undefined;
  #redact = (text: string) => text;

  private constructor(
    next: () => Promise<Group | undefined>,
    finish: () => Promise<void> = () => Promise.resolve(),
    cancel: () => Promise<void> = () => Promise.resolve(),
    { choices = 1, parsed = false }: Pick<StreamOptions, "choices" | "parsed"> = {},
  ) {
    this.#next = next;
    this.#finish = finish;
    this.#cancel = cancel;
    this.choices = choices;
    this.#events = new JsonEvents(parsed || choices > 1, (reply) => this.#note(reply));
  }

  /**
   * An answer that is one chunk; for a client that asked for a stream it becomes events.
   *
   * @param onChunk Told of each chunk when the first one is read.
   */
  static whole(reply: Chunk, asStream: boolean, onChunk?: (chunk: Chunk) => void): Upstream {
    const chunks = asStream
      ? toEvents(reply.json!).map((event) => Chunk.fromJson(event, false))
      : [reply];
    let group: Group | undefined = { chunks };
    const upstream: Upstream = new Upstream(() => {
      const next = group;
      group = undefined;
      if (onChunk !== undefined) next?.chunks.forEach(onChunk);
      upstream.#done = true;
      return Promise.resolve(next);
    });
    upstream.#whole = true;
    return upstream;
  }

  /** An answer that is a stream of events. */
  static stream(response: Response, options: StreamOptions): Upstream {
    const { signal, redact, onEnd = () => {} } = options;
    const reader = new ByteReader(response.body!);
    const cutter = new EventCutter();
    let ended = false;
    const cancel = () => reader.cancel().catch(() => {}).finally(onEnd);
    // A body that does not heed the signal by itself is ended here.
    signal.addEventListener("abort", cancel, { once: true });
    const upstream: Upstream = new Upstream(
      async () => {
        while (!ended && !upstream.#done && upstream.#fault === undefined) {
          try {
            const bytes = await reader.read();
            signal.throwIfAborted();
            ended = bytes === undefined;
            if (ended) onEnd();
            const events = bytes === undefined ? lastEvent(cutter) : cutter.push(bytes);
            const group = upstream.#group(events, options, bytes);
            if (group.chunks.length > 0) return group;
          } catch (error) {
            onEnd();
            throw signal.aborted ? signal.reason : withTexts(unreadable(error), redact, "detail");
          }
        }
        if (upstream.#fault !== undefined) throw upstream.#fault;
        return undefined;
      },
      async () => {
        if (ended) return;
        // The vendor would go on: what nobody reads must not take its slot.
        if (options.decoder?.ended) return await cancel();
        const alarm = new Alarm(finishMs, () => void cancel());
        try {
          while (await reader.read() !== undefined);
        } catch {
          // The answer is complete: how its connection ends does not matter.
        }
        alarm.stop();
        onEnd();
      },
      cancel,
      options,
    );
    upstream.#redact = redact;
    return upstream;
  }

  /** Whether the answer has said why it ends, as far as its events were read: little is to come. */
  get finished(): boolean {
    return this.#ended.size >= this.choices;
  }

  /** Whether of the alternatives that were seen each has ended: a vendor may give fewer. */
  get isEven(): boolean {
    return this.#ended.size > 0 && this.#ended.size === this.#seen.size;
  }

  /** Whether all that has come was read. */
  get isRead(): boolean {
    return this.#held.length === 0;
  }

  /** Whether the provider has said that the answer is complete. */
  get done(): boolean {
    return this.#done && this.isRead;
  }

  /**
   * Waits until the answer says something, so that one that begins badly can still fall back: roles
   * and empty events are held back until then.
   *
   * @param onByte Told of the first byte.
   * @throws {RouterError} `upstream_unavailable` for an answer that ends before it said anything,
   * and what {@linkcode Upstream.read} throws.
   */
  async begin(onByte?: () => void): Promise<void> {
    let bytes = 0;
    for (;;) {
      const group = await this.#next();
      if (this.#fault !== undefined) throw this.#fault;
      if (group === undefined) {
        if (this.#done && this.#held.length > 0) return;
        const reason = this.#held.length === 0
          ? "The provider's answer is empty"
          : "The provider broke the answer off before it said anything";
        throw new RouterError("upstream_unavailable", reason);
      }
      if (this.#held.push(group) === 1) onByte?.();
      for (const { whole, json } of group.chunks) {
        if (!whole && json !== undefined && saysFailed(json)) {
          throw this.#faultIn(JSON.stringify(json));
        }
        if (whole || saysSomething(json)) return;
      }
      if (this.#done) return;
      for (const chunk of group.chunks) bytes += chunk.bytes.length;
      if (bytes > maxHeldBytes) return;
    }
  }

  /** Has groups read again that were read already. */
  putBack(groups: readonly Group[]): void {
    this.#held.unshift(...groups);
  }

  /**
   * The next group; `undefined` at the end.
   *
   * @throws {RouterError} `upstream_unavailable` when the provider sends an error instead, or when
   * its answer cannot be read.
   */
  read(): Promise<Group | undefined> {
    const held = this.#held.shift();
    return held === undefined ? this.#next() : Promise.resolve(held);
  }

  /**
   * Has a call told how the answer ends; what has begun well may still break off.
   *
   * @param firstTokenMs Milliseconds from the call to its first group.
   */
  watchedBy(call: WatchedCall, firstTokenMs: number): void {
    this.#call = call;
    call.began(this.#whole ? undefined : firstTokenMs);
    if (this.#whole) call.answered();
  }

  /** Says that the answer ended with an error, for which the provider may be to blame. */
  blame(error: RouterError): void {
    this.#call?.failed(error);
  }

  /** Lets the call of a complete answer end by itself, so that its connection serves another. */
  finish(): Promise<void> {
    this.#call?.answered();
    return this.#finish();
  }

  /** Ends the call to the provider, without blame unless there was some before. */
  async cancel(): Promise<void> {
    await this.#cancel();
    this.#call?.dropped();
  }

  /**
   * The error that a provider sends inside a stream, with what it reports beside it; an empty field
   * `error` is none.
   */
  #faultIn(data: string): RouterError | undefined {
    const json = parseReply(data);
    if (json !== undefined && "error" in json && !json.error) return undefined;
    const words = this.#redact(data);
    const { message } = readVendorMessage(words);
    const said = message === undefined ? "" : `: ${message}`;
    const reason = `The provider broke the answer off${said}`;
    const fault = new RouterError("upstream_unavailable", reason, { detail: words.slice(0, 500) });
    if (json?.usage != null) fault.spent = json.usage;
    return fault;
  }

  #note(reply: ChatReply): void {
    for (const choice of numbersIn(reply)) this.#seen.add(choice);
    for (const choice of endedIn(reply)) this.#ended.add(choice);
  }

  /** What is among some events. The terminator, or an error, is noted; what follows is dropped. */
  #group(
    events: Uint8Array[],
    { decoder, onChunk }: StreamOptions,
    read: Uint8Array | undefined,
  ): Group {
    const chunks: Chunk[] = [];
    const add = (chunk: Chunk) => {
      onChunk?.(chunk);
      chunks.push(chunk);
    };
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
        break;
      }
      if (
        fields === undefined
          ? dataStartsWith(event, errorMark)
          : fields.name === "error" || /^\{\s*"error"/.test(fields.data!)
      ) {
        this.#fault = this.#faultIn((fields ?? readEvent(event)).data!);
        if (this.#fault !== undefined) break;
      }
      if (decoder === undefined) {
        const chunk = this.#events.read(event);
        if (chunk === undefined) continue;
        add(chunk);
        length += event.length;
      } else {
        for (const reply of decoder.event(fields!.data!, fields!.name)) {
          add(Chunk.fromJson(reply, false));
          this.#note(reply);
        }
        if (decoder.ended || decoder.done) {
          this.#done = true;
          break;
        }
      }
    }
    // A read that another one completes is as long as its events by chance alone.
    const same = length === read?.length && events[0]?.buffer === read.buffer;
    return { chunks, raw: same ? read : undefined };
  }
}

/** The event that a stream ends with when its empty line is missing; half an event is none. */
function lastEvent(cutter: EventCutter): Uint8Array[] {
  const rest = cutter.rest();
  const data = rest && readEvent(rest).data;
  return data?.trim() === "[DONE]" || (data !== undefined && parseReply(data) !== undefined)
    ? [concat([rest!, encoder.encode("\n\n")])]
    : [];
}

/** What cannot be read is the provider's failure: a broken connection, an event without end. */
export function unreadable(error: unknown): RouterError {
  if (error instanceof RouterError) return error;
  return new RouterError("upstream_unavailable", "The provider's answer cannot be read", {
    detail: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}
