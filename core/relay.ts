/**
 * The pump: the one reader of a provider's answer. It outlives the client, and whatever happens it
 * ends exactly once.
 *
 * @module
 */
import { isUsageOnly } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import type { Deadline } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import { doneFrame, errorFrame, keepAliveFrame } from "./frames.ts";
import { spliceUsage } from "./splice_usage.ts";
import { concat } from "./sse.ts";
import type { Tally } from "./tally.ts";
import type { Group, Upstream } from "./upstream.ts";
import type { WireUsage } from "./usage_report.ts";

const encoder = new TextEncoder();

/** How an answer ended. */
export interface RelayEnd {
  state: "completed" | "failed" | "aborted";
  error?: RouterError;
}

/** What the relay needs to know of its exchange. */
export interface RelayOptions {
  /** The provider's answer. */
  upstream: Upstream;
  /** Collects what was produced. */
  tally: Tally;
  /** Limits of this attempt. */
  deadline: Deadline;
  /** Shows a chunk to the plugins; `false` withholds it. */
  onChunk?: ((chunk: Chunk) => boolean) | undefined;
  /** The client asked for the usage event. */
  usageWanted: boolean;
  /** The usage, with its cost, where the provider sent none of its own. */
  usage: () => WireUsage | Promise<WireUsage>;
  /** The provider's usage with its cost. */
  priced: (reported: WireUsage) => WireUsage;
  /** What to do when the client goes away. */
  onAbort: "drain" | "cancel";
  /** Milliseconds of silence between two chunks. */
  idleMs: number;
  /** Milliseconds for which an abandoned answer is read on. */
  drainMs: number;
  /** Milliseconds of silence after which the client gets a comment. */
  keepAliveMs: number;
  /** Called once, when everything is over. */
  settle: (end: RelayEnd) => void;
}

/** Moves one answer from the provider to the client. */
export class Relay {
  readonly #o: RelayOptions;
  #settled = false;
  #gone = false;
  #usageSent = false;
  #pumping = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #keepAlive: ReturnType<typeof setInterval> | undefined;
  #lastSent = performance.now();

  /** @param options The answer and all that belongs to it. */
  constructor(options: RelayOptions) {
    this.#o = options;
    // Also a limit that passes while the client reads nothing has to end the answer.
    options.deadline.onAbort = () => this.#wake();
  }

  /**
   * The bytes of an answer that is not streamed.
   *
   * @throws {RouterError} when the answer breaks off or is withheld.
   */
  async whole(): Promise<Uint8Array<ArrayBuffer>> {
    try {
      const { upstream, tally, priced, usage } = this.#o;
      const group = await upstream.read();
      const [chunk] = group === undefined ? [] : this.#keep(group);
      if (chunk === undefined) {
        throw new RouterError("content_filter", "The answer was withheld by a plugin");
      }
      const json = chunk.json!;
      const used = tally.reported === undefined
        ? await usage()
        : priced(json.usage ?? tally.reported);
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
        this.#keepAlive = setInterval(
          () => this.#sendKeepAlive(),
          Math.max(1, this.#o.keepAliveMs / 2),
        );
        if (this.#gone) this.#wake();
      },
      // To one that left before there was a stream, the answer is being read on already.
      pull: () => this.#pumping ? undefined : this.#pump(),
      cancel: () => this.clientGone(),
    }, { highWaterMark: 0 });
  }

  /** The client has left: read on for the usage, or end the call, as the provider wants it. */
  clientGone(): void {
    if (this.#gone || this.#settled) return;
    this.#gone = true;
    if (this.#o.onAbort === "cancel") {
      this.#o.deadline.abort(new RouterError("aborted", "The client closed the connection"));
    } else {
      this.#o.deadline.limit(this.#o.drainMs);
      this.#wake();
    }
  }

  /** Goes on although the client does not ask for more. */
  #wake(): void {
    if (this.#controller !== undefined && !this.#pumping) void this.#pump();
  }

  /** Reads until there is something to send; after the client has gone, until the end. */
  async #pump(): Promise<void> {
    const { deadline, upstream, idleMs } = this.#o;
    this.#pumping = true;
    try {
      while (!this.#settled) {
        deadline.signal.throwIfAborted();
        deadline.expect(idleMs, "the next chunk");
        const group = await upstream.read();
        deadline.expect(Infinity, "the whole answer");
        if (group === undefined) return await this.#finish();
        const bytes = this.#process(group);
        if (bytes === undefined) continue;
        this.#send(bytes);
        // To send may be what tells that the client has gone: then nobody else goes on.
        if (!this.#gone) return;
      }
    } catch (error) {
      this.#fail(toRouterError(error, "relay"));
    } finally {
      this.#pumping = false;
    }
  }

  /** What of a group is left for the client, as bytes. */
  #process(group: Group): Uint8Array | undefined {
    const kept = this.#keep(group);
    if (kept.length === 0) return undefined;
    const untouched = kept.length === group.chunks.length && !kept.some(({ changed }) => changed);
    return untouched && group.raw ? group.raw : concat(kept.map((chunk) => chunk.bytes));
  }

  /** Shows a group to tally and plugins. @returns The chunks that are left for the client. */
  #keep(group: Group): Chunk[] {
    const { tally, onChunk, usageWanted, priced } = this.#o;
    return group.chunks.filter((chunk) => {
      tally.add(chunk);
      if (onChunk !== undefined && !onChunk(chunk)) return false;
      // Looking at the bytes spares the parsing of every other chunk.
      if (chunk.whole || !hasNoChoices(chunk.bytes)) return true;
      const { json } = chunk;
      if (json === undefined || !isUsageOnly(json)) return true;
      tally.note(json.usage!);
      if (usageWanted) {
        this.#usageSent = true;
        chunk.replace({ ...json, usage: priced(json.usage!) });
      }
      return usageWanted;
    });
  }

  async #finish(): Promise<void> {
    const { upstream, tally, usageWanted } = this.#o;
    if (tally.failed || (!upstream.done && !tally.finished)) {
      throw new RouterError(
        "upstream_unavailable",
        "The provider broke the answer off before it was complete",
      );
    }
    if (usageWanted && !this.#usageSent && !this.#gone) {
      const event = { object: "chat.completion.chunk", choices: [], usage: await this.#o.usage() };
      this.#send(Chunk.fromJson(event, false).bytes);
    }
    this.#send(doneFrame);
    this.#close();
    const state = this.#gone ? "aborted" : "completed";
    await upstream.finish();
    this.#settle({ state });
  }

  #fail(error: RouterError): void {
    if (!this.#gone) {
      this.#send(errorFrame(error));
      this.#close();
    }
    void this.#o.upstream.cancel();
    this.#settle({ state: this.#gone ? "aborted" : "failed", error });
  }

  #send(bytes: Uint8Array): void {
    if (this.#gone) return;
    this.#lastSent = performance.now();
    this.#controller!.enqueue(bytes);
  }

  #sendKeepAlive(): void {
    // Only while the client waits: to one that does not read, comments would pile up.
    if (!this.#pumping || this.#gone) return;
    if (performance.now() - this.#lastSent >= this.#o.keepAliveMs / 2) this.#send(keepAliveFrame);
  }

  #close(): void {
    clearInterval(this.#keepAlive);
    if (!this.#gone) this.#controller!.close();
  }

  #settle(end: RelayEnd): void {
    if (this.#settled) return;
    this.#settled = true;
    clearInterval(this.#keepAlive);
    this.#o.deadline.stop();
    this.#o.settle(end);
  }
}

const closeBracket = 93;
const choicesOpen = encoder.encode('"choices":[');

/** Whether a chunk's bytes hold `"choices":[]`, white space allowed between the signs. */
function hasNoChoices(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(closeBracket); at !== -1; at = bytes.indexOf(closeBracket, at + 1)) {
    let before = at - 1;
    let sign = choicesOpen.length - 1;
    for (; sign >= 0; before--) {
      const byte = bytes[before];
      if (byte === choicesOpen[sign]) sign--;
      else if (byte !== 32 && byte !== 10) break;
    }
    if (sign < 0) return true;
  }
  return false;
}
