/**
 * The pump: the one reader of a provider's answer. It outlives the client, and whatever happens it
 * ends exactly once.
 *
 * @module
 */
import { type ChatReply, isUsageOnly, mayReportUsage } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import type { Deadline } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import { doneFrame, errorFrame, keepAliveFrame } from "./frames.ts";
import { brokenOff, isComplete, silenceOf } from "./read_ahead.ts";
import { spliceUsage } from "./splice_usage.ts";
import { concat } from "./sse.ts";
import type { Tally } from "./tally.ts";
import { startTicking, stopTicking, type Ticking } from "./ticker.ts";
import type { Group, Upstream } from "./upstream.ts";
import type { WireUsage } from "./usage_report.ts";

/** How an answer ended. */
export interface RelayEnd {
  state: "completed" | "failed" | "aborted";
  error?: RouterError;
}

/** What one provider gives of an answer. */
export interface Part {
  /** Its answer. */
  readonly upstream: Upstream;
  /** Collects what was produced. */
  readonly tally: Tally;
  /** Limits of this attempt. */
  readonly deadline: Deadline;
  /** Milliseconds of silence between two chunks. */
  readonly idleMs: number;
  /** What to do when the client goes away. */
  readonly onAbort: "drain" | "cancel";
  /** Leaves of a chunk what belongs to the answer. @returns Whether anything does. */
  readonly keep?: (chunk: Chunk) => boolean;
  /** @throws {RouterError} where it may not end yet, although its provider has said so. */
  readonly mayEnd?: () => void;
}

/** What the relay needs to know of its exchange. */
export interface RelayOptions {
  /** The answer, or its beginning. */
  part: Part;
  /** Asks somebody else for the rest of an answer that broke off. */
  goOn?: ((error: RouterError) => Promise<Part | undefined>) | undefined;
  /** Told of each chunk, before the plugins see it. */
  onSaid?: ((chunk: Chunk) => void) | undefined;
  /** Shows a chunk to the plugins; `false` withholds it. */
  onChunk?: ((chunk: Chunk) => boolean) | undefined;
  /** The client asked for the usage event. */
  usageWanted: boolean;
  /** The usage, with its cost: the provider's own report, where that is one. */
  usage: () => WireUsage | Promise<WireUsage>;
  /** A whole answer's own report with its cost. */
  priced: (reported: WireUsage) => WireUsage;
  /** Milliseconds for which an abandoned answer is read on. */
  drainMs: number;
  /** Milliseconds of silence after which the client gets a comment. */
  keepAliveMs: number;
  /** Called once, when everything is over. */
  settle: (end: RelayEnd) => void;
}

/** Of how many events one may have to name the answer; Azure's first is about the prompt alone. */
const openingEvents = 4;

/** Moves one answer from the provider to the client. */
export class Relay implements Ticking {
  place: number | undefined;
  readonly #o: RelayOptions;
  #part: Part;
  #settled = false;
  #gone = false;
  /** What the provider reported its usage in. */
  #report: ChatReply | undefined;
  /** Copies of the first events that went out, where one of XRouter's own is to say of the answer what they do. */
  readonly #opening: Uint8Array[] = [];
  #pumping = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Chunks that plugins withheld, and whether any went out. */
  #withheld = false;
  #shown = false;
  /** When to look again whether something was sent, and that nothing was since the last look. */
  #lookAt = 0;
  #silent = false;

  /** @param options The answer and all that belongs to it. */
  constructor(options: RelayOptions) {
    this.#o = options;
    this.#part = options.part;
    this.#watch();
  }

  /** Also a limit that passes while the client reads nothing has to end the answer. */
  #watch(): void {
    const wake = () => this.#wake();
    this.#part.deadline.onAbort = wake;
  }

  /**
   * The bytes of an answer that is not streamed.
   *
   * @throws {RouterError} when the answer breaks off or is withheld.
   */
  async whole(): Promise<Uint8Array<ArrayBuffer>> {
    try {
      const { priced, usage } = this.#o;
      const { upstream, tally } = this.#part;
      const group = await upstream.read();
      const [chunk] = group === undefined ? [] : this.#keep(group);
      if (chunk === undefined) throw withheld();
      const json = chunk.json!;
      const used = tally.reported === undefined ? await usage() : priced(tally.reported);
      const { received } = chunk;
      let bytes = received && spliceUsage(received, json.usage, used);
      if (bytes === undefined) {
        chunk.replace({ ...json, usage: used });
        bytes = chunk.bytes as Uint8Array<ArrayBuffer>;
      }
      this.#settle(this.#gone ? { state: "aborted" } : { state: "completed" });
      return bytes;
    } catch (thrown) {
      const error = toRouterError(thrown, "relay");
      this.#settle({ state: this.#gone ? "aborted" : "failed", error });
      throw error;
    }
  }

  /** The answer as a stream; the client's pace is the pump's pace. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        this.#lookAt = performance.now() + this.#o.keepAliveMs / 2;
        startTicking(this);
        if (this.#gone) this.#wake();
      },
      // To one that left before there was a stream, the answer is being read on already.
      pull: () => this.#pumping ? undefined : this.#pump(),
      cancel: () => this.clientGone(),
    }, { highWaterMark: 0 });
  }

  /** Ends the call, for a reason that lies outside. */
  stop(reason: RouterError): void {
    this.#part.deadline.abort(reason);
  }

  /** The client has left: read on for the usage, or end the call, as the provider wants it. */
  clientGone(): void {
    if (this.#gone || this.#settled) return;
    this.#gone = true;
    this.#leave();
  }

  /** Ends the call, or reads on for the usage. */
  #leave(): void {
    const { onAbort, deadline } = this.#part;
    if (onAbort === "cancel") {
      deadline.abort(new RouterError("aborted", "The client closed the connection"));
    } else {
      deadline.limit(this.#o.drainMs);
      this.#wake();
    }
  }

  /** Goes on although the client does not ask for more. */
  #wake(): void {
    if (this.#controller !== undefined && !this.#pumping) void this.#pump();
  }

  /** Reads until there is something to send; after the client has gone, until the end. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    while (!this.#settled) {
      const { deadline, upstream, tally, idleMs } = this.#part;
      let reading = true;
      try {
        deadline.signal.throwIfAborted();
        deadline.expect(silenceOf(upstream, idleMs), "the next chunk");
        const group = await upstream.read();
        reading = false;
        deadline.expect(Infinity, "the whole answer");
        if (group === undefined) {
          await this.#finish();
          break;
        }
        const bytes = this.#process(group);
        if (bytes === undefined) continue;
        this.#send(bytes);
        // To send may be what tells that the client has gone: then nobody else goes on. No promise
        // lies between this and the end: the client may ask for more within it.
        if (!this.#gone) break;
      } catch (thrown) {
        const error = toRouterError(thrown, "relay");
        if (error.spent !== undefined) tally.note(error.spent);
        // An answer that has said why it ended is whole, however its call ends.
        const isWhole = reading && !this.#gone && isComplete(upstream, tally);
        const failure = isWhole ? await this.#tryToFinish() : error;
        if (failure !== undefined && !await this.#goOn(failure)) this.#fail(failure);
      }
    }
    this.#pumping = false;
  }

  /** Has somebody else go on. @returns Whether somebody does. */
  async #goOn(error: RouterError): Promise<boolean> {
    if (this.#gone || this.#o.goOn === undefined) return false;
    const { deadline, upstream } = this.#part;
    // At once: the next one may wait for its call.
    deadline.stop();
    upstream.blame(error);
    void upstream.cancel();
    const next = await this.#o.goOn(error).catch(() => undefined);
    if (next === undefined) return false;
    this.#part = next;
    this.#watch();
    if (this.#gone) this.#leave();
    return true;
  }

  /** What of a group is left for the client, as bytes. */
  #process(group: Group): Uint8Array | undefined {
    const kept = this.#keep(group);
    if (kept.length === 0) return undefined;
    this.#shown = true;
    const untouched = kept.length === group.chunks.length && !kept.some(({ changed }) => changed);
    return untouched && group.raw ? group.raw : concat(kept.map((chunk) => chunk.bytes));
  }

  /**
   * Shows a group to the plugins. Reports of usage are taken out: what the answer cost is known
   * at its end, and what the vendor takes for it is the operator's business.
   *
   * @returns The chunks that are left for the client.
   */
  #keep(group: Group): Chunk[] {
    const { onChunk, onSaid } = this.#o;
    const { keep } = this.#part;
    return group.chunks.filter((chunk) => {
      if (keep !== undefined && !keep(chunk)) return false;
      onSaid?.(chunk);
      if (onChunk !== undefined && !onChunk(chunk)) {
        this.#withheld = true;
        return false;
      }
      // Looking at the bytes spares the parsing of every other chunk.
      if (chunk.whole) return true;
      if (this.#o.usageWanted && this.#opening.length < openingEvents) {
        this.#opening.push(chunk.bytes.slice());
      }
      if (!mayReportUsage(chunk.bytes)) return true;
      const { json } = chunk;
      if (json?.usage == null) return true;
      this.#report = json;
      if (isUsageOnly(json)) return false;
      const { usage: _usage, ...rest } = json;
      chunk.replace(rest);
      return true;
    });
  }

  async #finish(): Promise<void> {
    const { usageWanted } = this.#o;
    const { upstream, tally, mayEnd } = this.#part;
    if (!isComplete(upstream, tally, true)) throw brokenOff();
    mayEnd?.();
    if (this.#withheld && !this.#shown) throw withheld();
    if (usageWanted && !this.#gone) {
      const usage = await this.#o.usage();
      const event = this.#report ?? this.#about();
      this.#send(Chunk.fromJson({ ...event, choices: [], usage }, false).bytes);
    }
    this.#send(doneFrame);
    this.#close();
    const state = this.#gone ? "aborted" : "completed";
    await upstream.finish();
    this.#settle({ state });
  }

  #about(): Omit<ChatReply, "choices"> {
    const events = this.#opening.map((bytes) => Chunk.fromBytes(bytes, false).json);
    const { id, created, model } = events.find((event) => event?.id) ?? {};
    return { id, object: "chat.completion.chunk", created, model };
  }

  /** @returns Why it cannot end yet. */
  async #tryToFinish(): Promise<RouterError | undefined> {
    try {
      await this.#finish();
      return undefined;
    } catch (thrown) {
      return toRouterError(thrown, "relay");
    }
  }

  #fail(error: RouterError): void {
    if (!this.#gone) {
      this.#send(errorFrame(error));
      this.#close();
    }
    this.#part.upstream.blame(error);
    void this.#part.upstream.cancel();
    this.#settle({ state: this.#gone ? "aborted" : "failed", error });
  }

  #send(bytes: Uint8Array): void {
    if (this.#gone) return;
    this.#silent = false;
    this.#controller!.enqueue(bytes);
  }

  /** Says something where nothing else does. */
  tick(now: number): void {
    if (now < this.#lookAt) return;
    this.#lookAt = now + this.#o.keepAliveMs / 2;
    // Only while the client waits: to one that does not read, comments would pile up.
    if (this.#silent && this.#pumping && !this.#gone) this.#send(keepAliveFrame);
    this.#silent = true;
  }

  #close(): void {
    stopTicking(this);
    if (!this.#gone) this.#controller!.close();
  }

  #settle(end: RelayEnd): void {
    if (this.#settled) return;
    this.#settled = true;
    stopTicking(this);
    this.#part.deadline.stop();
    this.#o.settle(end);
  }
}

function withheld(): RouterError {
  return new RouterError("content_filter", "The answer was withheld by a plugin");
}
