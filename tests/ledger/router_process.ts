/**
 * XRouter as a process of its own, which a test may kill.
 *
 * @module
 */
import { spawnXrouter } from "../cli/xrouter.ts";

/** The most of the log that is kept for a message. */
const keptLog = 4_000;

/** A running XRouter. */
export class RouterProcess implements AsyncDisposable {
  readonly url: string;
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<unknown>;

  private constructor(url: string, child: Deno.ChildProcess, read: Promise<unknown>) {
    this.url = url;
    this.#child = child;
    this.#read = read;
  }

  /**
   * Starts it on a free port and waits until it listens.
   *
   * @throws {Error} It ended; with the end of its log.
   */
  static async start(
    folder: string,
    env: Readonly<Record<string, string>>,
  ): Promise<RouterProcess> {
    const child = spawnXrouter(folder, ["start"], { PORT: "0", ...env });
    let log = "";
    const logged = readAll(child.stderr, (text) => log = (log + text).slice(-keptLog));
    const listening = Promise.withResolvers<string>();
    let printed = "";
    const read = readAll(child.stdout, (text) => {
      printed += text;
      const url = /listens on (\S+)\n/.exec(printed)?.[1];
      if (url !== undefined) listening.resolve(url);
    });
    const ended = Promise.all([read, logged, child.status]);
    ended.then(() => listening.reject(new Error(`XRouter ended: ${log}`)));
    return new RouterProcess(await listening.promise, child, ended);
  }

  /** Ends it without a chance to write anything. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#read;
  }

  /** Lets it finish. */
  async stop(): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#read;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function readAll(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (text: string) => void,
): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
}
