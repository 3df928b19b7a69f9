/**
 * What an answer produced: the usage that the provider reported, or a count of the text.
 *
 * Nothing is parsed while chunks arrive. The provider's report stands in the last events, so only
 * those are read, at the end; the text is only counted when there is no report.
 *
 * @module
 */
import { countTexts, mostUnits } from "./bounded_count.ts";
import {
  type ChatReply,
  endedIn,
  isUsageOnly,
  mayReportUsage,
  saysFailed,
  textOf,
} from "./chat.ts";
import { type Chunk, parseReply } from "./chunk.ts";
import type { Usage } from "./plugin.ts";
import { readEvent } from "./sse.ts";
import { type Encoding, loadTokenizer } from "./tokens.ts";
import { readUsage, type WireUsage } from "./usage_report.ts";

/** How many of the last events may hold the report: OpenAI's is the last, some have one after it. */
const reportDepth = 4;

/** Bytes of events that are kept before their text is taken out of them. */
const foldBytes = 256 * 1024;

/** Characters of text that are kept before they are counted. */
const countChars = mostUnits / 2;

/** Collects what one answer produced. */
export class Tally {
  /** The encoding that text is counted with. */
  readonly encoding: Encoding;
  #whole: ChatReply | undefined;
  /** The text of a whole answer until it has been counted. */
  #wholeText = "";
  /** Copies of the events, end to end: a kept event would keep the whole buffer of its read. */
  #bytes = new Uint8Array(0);
  /** Where each event ends in `#bytes`. */
  #ends: number[] = [];
  #text = "";
  /** How much of the text {@linkcode Tally.soFar} has seen, and how many tokens that were. */
  #seen = 0;
  #seenTokens = Promise.resolve(0);
  #counted = Promise.resolve(0);
  #last: ChatReply[] | undefined;
  /** A report in an event of its own, and how many events had come then. */
  #noted: { report: WireUsage; events: number } | undefined;
  /** How many events were forgotten, and whether one after the report said something. */
  #folded = 0;
  #saidSince = false;
  #anyCounted = false;

  /** @param encoding The encoding that text is counted with. */
  constructor(encoding: Encoding) {
    this.encoding = encoding;
  }

  /** Takes a chunk as it came from the provider, before any plugin sees it. */
  add(chunk: Chunk): void {
    if (chunk.whole) {
      const { json } = chunk;
      // What a plugin does to the reply must not change what it costs.
      if (json === undefined) return;
      const { usage, ...rest } = json;
      this.#whole = usage == null ? rest : { ...rest, usage: copyOf(usage) };
      this.#wholeText = textOf(json);
      return;
    }
    const { bytes } = chunk;
    const start = this.#ends.at(-1) ?? 0;
    const end = start + bytes.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.set(bytes, start);
    this.#ends.push(end);
    this.#last = undefined;
    // Looking at the bytes spares the parsing of every other chunk.
    if (mayReportUsage(bytes) && chunk.json !== undefined && isUsageOnly(chunk.json)) {
      this.note(chunk.json.usage!);
    }
    if (end > foldBytes) this.#fold(this.#ends.length - reportDepth);
  }

  /** Whether the answer has said why it ended; of several alternatives, why one did. */
  get finished(): boolean {
    return this.#lastReplies().some((reply) => endedIn(reply).length > 0);
  }

  /** Whether the answer has said that it failed. */
  get failed(): boolean {
    return this.#lastReplies().some(saysFailed);
  }

  /** The model's name in the answer. */
  get model(): string | undefined {
    const model = this.#lastReplies().find((reply) => typeof reply.model === "string")?.model;
    return model?.slice(0, 256);
  }

  /** Takes a report that stood in an event of its own, however many follow it. */
  note(report: WireUsage): void {
    if (readUsage(report) === undefined) return;
    this.#noted = { report: copyOf(report), events: this.#folded + this.#ends.length };
    this.#saidSince = false;
  }

  /**
   * The provider's report, as it stands in the answer. One of nothing where something was said is
   * none: nobody reads or writes for nothing. Neither is one that more was said after.
   */
  get reported(): WireUsage | undefined {
    const report = this.#lastReport();
    const { input, output } = readUsage(report) ?? { input: 0, output: 0 };
    return report && input > 0 && (output > 0 || !this.#hasText()) ? report : undefined;
  }

  /**
   * The tokens of the exchange: as reported, otherwise counted and marked so.
   *
   * @param input Tokens of the request, for the case that they must be estimated.
   * @param cached Those of them that the provider's cache is taken to hold, for that case.
   */
  usage(input: () => number | Promise<number>, cached = 0): Usage | Promise<Usage> {
    const reported = readUsage(this.reported);
    return reported === undefined
      ? this.#estimate(input, cached)
      : { ...reported, estimated: false };
  }

  /** Output tokens until now. Each call counts what came since the last, so a token may be cut in two. */
  async soFar(): Promise<number> {
    this.#fold(this.#ends.length - reportDepth);
    this.#seenTokens = this.#add(this.#seenTokens, this.#text.slice(this.#seen));
    this.#seen = this.#text.length;
    const [seen, counted] = await Promise.all([this.#seenTokens, this.#counted]);
    return seen + counted;
  }

  #lastReport(): WireUsage | undefined {
    const last = this.#lastReplies();
    const place = last.findIndex(({ usage }) => readUsage(usage) !== undefined);
    if (place >= 0) {
      return last.slice(0, place).some((reply) => textOf(reply) !== "")
        ? undefined
        : last[place]!.usage!;
    }
    if (this.#noted === undefined) return undefined;
    this.#fold(this.#ends.length);
    return this.#saidSince ? undefined : this.#noted.report;
  }

  #hasText(): boolean {
    this.#fold(this.#ends.length);
    return this.#wholeText !== "" || this.#text !== "" || this.#anyCounted;
  }

  async #estimate(counted: () => number | Promise<number>, cached: number): Promise<Usage> {
    this.#text += this.#wholeText;
    this.#wholeText = "";
    this.#fold(this.#ends.length);
    this.#count();
    const input = await counted();
    const output = await this.#counted;
    return { input, output, cached: Math.min(cached, input), estimated: true };
  }

  /** The last replies, the newest first. */
  #lastReplies(): ChatReply[] {
    if (this.#whole !== undefined) return [this.#whole];
    this.#last ??= this.#ends.slice(-reportDepth)
      .map((_end, i, last) => this.#parse(this.#ends.length - last.length + i))
      .reverse().filter((reply) => reply !== undefined);
    return this.#last;
  }

  #parse(event: number): ChatReply | undefined {
    const { data } = readEvent(this.#bytes.subarray(this.#ends[event - 1] ?? 0, this.#ends[event]));
    return data === undefined ? undefined : parseReply(data);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(4096, 2 * this.#bytes.length, needed));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  /** Takes the text out of the first events and forgets them. */
  #fold(events: number): void {
    if (events <= 0) return;
    // The last replies stay readable.
    this.#last ??= this.#lastReplies();
    for (let event = 0; event < events; event++) {
      const reply = this.#parse(event);
      const text = reply === undefined ? "" : textOf(reply);
      this.#text += text;
      if (text !== "" && this.#folded + event >= (this.#noted?.events ?? Infinity)) {
        this.#saidSince = true;
      }
    }
    this.#folded += events;
    const cut = this.#ends[events - 1]!;
    this.#bytes.copyWithin(0, cut, this.#ends.at(-1));
    this.#ends = this.#ends.slice(events).map((end) => end - cut);
    if (this.#text.length > countChars) this.#count();
  }

  #count(): void {
    const text = this.#text;
    this.#text = "";
    this.#seen = 0;
    this.#seenTokens = Promise.resolve(0);
    if (text === "") return;
    this.#anyCounted = true;
    this.#counted = this.#add(this.#counted, text);
    // A failure is told to whoever asks for the usage, not to the process.
    this.#counted.catch(() => {});
  }

  /** Tokens of a text beside those that were counted before it. */
  async #add(before: Promise<number>, text: string): Promise<number> {
    const { tokens } = await countTexts([text], await loadTokenizer(this.encoding));
    return await before + tokens;
  }
}

/** A copy, as quick as one can be had: `structuredClone` takes five times as long. */
function copyOf(report: WireUsage): WireUsage {
  return JSON.parse(JSON.stringify(report));
}
