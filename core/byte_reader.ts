/**
 * Reading a stream of bytes piece by piece.
 *
 * @module
 */

import { RouterError } from "./errors.ts";

/** Bytes that one read takes at most. */
const bufferBytes = 16 * 1024;

/**
 * Reads a stream; the only one who does.
 *
 * The usual reader takes a new buffer of 64 KiB for every read, which for the short events of a chat
 * costs more than all that is done with them. This one reads into a buffer of its own where the
 * stream allows it, and gives copies of just what came.
 */
export class ByteReader {
  readonly #byob: ReadableStreamBYOBReader | undefined;
  readonly #usual: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #buffer = new Uint8Array(bufferBytes).buffer;

  /** @param stream What `fetch` gave, or any other stream of bytes. */
  constructor(stream: ReadableStream<Uint8Array>) {
    try {
      this.#byob = stream.getReader({ mode: "byob" });
    } catch {
      // A provider that answers inside this process may do so with a stream of another kind.
      this.#usual = stream.getReader();
    }
  }

  /**
   * The next bytes, the caller's to keep; `undefined` at the end. Rejects when the stream fails.
   *
   * @throws {RouterError} as {@linkcode asBytes}.
   */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#usual !== undefined) {
      const { value, done } = await this.#usual.read();
      return done ? undefined : asBytes(value);
    }
    const { value, done } = await this.#byob!.read(new Uint8Array(this.#buffer));
    if (done) return undefined;
    // To be read into, a buffer changes hands: this is the same memory under a new name.
    this.#buffer = value.buffer;
    return value.slice();
  }

  /** Ends the stream. */
  cancel(): Promise<void> {
    return (this.#byob ?? this.#usual!).cancel();
  }
}

/** @throws {RouterError} `provider_failed` where a provider inside this process gives no bytes. */
export function asBytes(part: unknown): Uint8Array {
  if (part instanceof Uint8Array) return part;
  throw new RouterError(
    "provider_failed",
    `XRouter's module for the provider answers with a stream of what is no Uint8Array: ${typeof part}`,
  );
}
