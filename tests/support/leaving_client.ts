/**
 * A client that reads some of an answer, and can hang up.
 *
 * @module
 */
import type { Hooks } from "../../core/plugin.ts";
import type { TestKernel } from "./kernel.ts";
import { ask } from "./router.ts";

/** One request whose client may leave. */
export class LeavingClient {
  readonly #controller = new AbortController();
  readonly #response: Promise<Response>;
  readonly #decoder = new TextDecoder();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #text = "";

  /** @param send Sends the request; the signal hangs up. */
  constructor(send: (init: RequestInit) => Promise<Response>) {
    this.#response = send({ signal: this.#controller.signal });
    // A client that hangs up does not mind that its request fails.
    this.#response.catch(() => {});
  }

  /** Reads until `text` has come. @returns All that has come so far. */
  async readUntil(text: string): Promise<string> {
    this.#reader ??= (await this.#response).body!.getReader();
    while (!this.#text.includes(text)) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`The answer ended without "${text}": ${this.#text}`);
      this.#text += this.#decoder.decode(value, { stream: true });
    }
    return this.#text;
  }

  /** Reads to the end. @returns All that has come. */
  async readAll(): Promise<string> {
    this.#reader ??= (await this.#response).body!.getReader();
    for (let read; !(read = await this.#reader.read()).done;) {
      this.#text += this.#decoder.decode(read.value, { stream: true });
    }
    return this.#text;
  }

  /** Closes the connection. */
  leave(): void {
    this.#controller.abort();
  }
}

/** A client that asks `vendor/m` for a stream and has read its beginning, "one two three". */
export async function readBeginning(kernel: TestKernel): Promise<LeavingClient> {
  const body = ask("vendor/m", "hi", { stream: true });
  const client = new LeavingClient((init) => kernel.chat(body, init));
  await client.readUntil("one two three");
  return client;
}

/** Hooks that tell when the client of a request has gone, as its signal has it. */
export function watchClient(): { hooks: Hooks; gone: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hooks: Hooks = {
    onRequest({ signal }) {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    },
  };
  return { hooks, gone: promise };
}
