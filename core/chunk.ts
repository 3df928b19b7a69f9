/**
 * A chunk of an answer: bytes first, JSON on demand.
 *
 * @module
 */
import { type ChatReply, textOf } from "./chat.ts";
import { readEvent } from "./sse.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * One event of a stream, or a whole answer: then it is the only chunk.
 *
 * A chunk that nobody reads is never parsed, and one that nobody changes leaves as the bytes it came
 * in.
 *
 * @example Read and change a chunk
 * ```ts
 * import { Chunk } from "xrouter/plugin";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode('data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n');
 * const chunk = Chunk.fromBytes(bytes, false);
 * assertEquals(chunk.text, "hi");
 * chunk.replace({ ...chunk.json!, model: "mine" });
 * assertEquals(chunk.changed, true);
 * ```
 */
export class Chunk {
  /** The chunk is a whole answer and not an event of a stream. */
  readonly whole: boolean;
  #bytes: Uint8Array | undefined;
  #json: ChatReply | undefined;
  #parsed: boolean;
  #changed = false;

  private constructor(whole: boolean, bytes: Uint8Array | undefined, json: ChatReply | undefined) {
    this.whole = whole;
    this.#bytes = bytes;
    this.#json = json;
    this.#parsed = json !== undefined;
  }

  /**
   * A chunk as a provider sent it: an event with its closing empty line, or a whole body.
   *
   * @param json The same as JSON, where it has been parsed already.
   */
  static fromBytes(bytes: Uint8Array, whole: boolean, json?: ChatReply): Chunk {
    return new Chunk(whole, bytes, json);
  }

  /** A chunk that XRouter made. */
  static fromJson(json: ChatReply, whole: boolean): Chunk {
    return new Chunk(whole, undefined, json);
  }

  /** The bytes as they will leave. */
  get bytes(): Uint8Array {
    return this.#bytes ??= this.#print(this.#json!);
  }

  /** The bytes as the provider sent them; `undefined` where there are none, or they were replaced. */
  get received(): Uint8Array | undefined {
    return this.#changed ? undefined : this.#bytes;
  }

  /** The reply that the chunk holds; `undefined` where it is no JSON object. Parsed once. */
  get json(): ChatReply | undefined {
    if (!this.#parsed) {
      this.#parsed = true;
      const text = this.whole ? decoder.decode(this.#bytes) : readEvent(this.#bytes!).data;
      this.#json = text === undefined ? undefined : parseReply(text);
    }
    return this.#json;
  }

  /** The text that the chunk adds to the answer: contents, reasoning and tool calls. */
  get text(): string {
    const json = this.json;
    return json === undefined ? "" : textOf(json);
  }

  #print(json: ChatReply): Uint8Array {
    const text = JSON.stringify(json);
    return encoder.encode(this.whole ? text : `data: ${text}\n\n`);
  }

  /** Whether {@linkcode Chunk.replace} was called. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * Lets the chunk leave as `json`.
   *
   * @throws {TypeError} where that is no JSON object; the chunk stays as it was.
   */
  replace(json: ChatReply): void {
    if (!isReply(json)) throw new TypeError("A chunk must be replaced by a JSON object");
    this.#bytes = this.#print(json);
    this.#json = json;
    this.#parsed = true;
    this.#changed = true;
  }
}

/** Whether a value is a JSON object, as every reply is. */
export function isReply(json: unknown): json is ChatReply {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** Parses a reply; `undefined` for what is no JSON object. */
export function parseReply(text: string): ChatReply | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return isReply(json) ? json : undefined;
  } catch {
    return undefined;
  }
}
