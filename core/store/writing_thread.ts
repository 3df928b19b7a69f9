/**
 * Prepared writes in a thread of their own, so that no answer waits while a group is written.
 *
 * @module
 */
import { LibsqlError, type ResultSet } from "@libsql/client";
import { NoRows, type Plain, PreparedWrites, type Writes } from "./prepared_writes.ts";

/** What the thread is told: at first what to open, then in each message one thing to do. */
export type Order =
  | {
    readonly path: string;
    readonly timeoutMs: number;
    readonly pragmas: string;
    /** One number, which is 1 once the connection is closed. */
    readonly closed: SharedArrayBuffer;
  }
  | { readonly sql: string; readonly args: readonly Plain[] }
  | { readonly exec: string }
  | "close";

/** What it answers to each write and each `exec`, in their order: rows changed, or the error. */
export type Answer = number | {
  readonly message: string;
  readonly code: string;
  readonly extendedCode?: string | undefined;
  readonly rawCode?: number | undefined;
};

/** The most milliseconds that closing waits for. */
const closeMs = 5_000;

/** A thread that runs. */
interface Thread {
  readonly worker: Worker;
  readonly closed: Int32Array;
  /** Calls that it has not answered yet, in order. */
  readonly asked: PromiseWithResolvers<ResultSet>[];
}

/**
 * {@linkcode PreparedWrites} in a thread. Where no thread can be had, as the runtime then says on
 * standard error, writes are carried out here.
 */
export class WritingThread implements Writes {
  readonly #opening: ConstructorParameters<typeof PreparedWrites>;
  #thread: Thread | undefined;
  #instead: PreparedWrites | undefined;

  /** Starts the thread. The parameters are those of {@linkcode PreparedWrites}. */
  constructor(...opening: ConstructorParameters<typeof PreparedWrites>) {
    this.#opening = opening;
    this.#thread = this.#start();
  }

  run(sql: string, args: readonly Plain[]): ResultSet | Promise<ResultSet> {
    return this.#instead?.run(sql, args) ?? this.#ask({ sql, args });
  }

  async exec(sql: string): Promise<void> {
    if (this.#instead !== undefined) this.#instead.exec(sql);
    else await this.#ask({ exec: sql });
  }

  /** Waits until all that was asked for is written, and the connection closed. */
  close(): void {
    this.#instead?.close();
    if (this.#thread === undefined) return;
    const { worker, closed, asked } = this.#thread;
    this.#thread = undefined;
    tell(worker, "close");
    Atomics.wait(closed, 0, 0, closeMs);
    worker.terminate();
    fail(asked, "The database is closed");
  }

  #ask(order: Order): Promise<ResultSet> {
    const { worker, asked } = this.#thread ??= this.#start();
    const answer = Promise.withResolvers<ResultSet>();
    asked.push(answer);
    tell(worker, order);
    return answer.promise;
  }

  #start(): Thread {
    const asked: Thread["asked"] = [];
    const worker = new Worker(import.meta.resolve("./writing_worker.ts"), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      const { resolve, reject } = asked.shift()!;
      if (typeof data === "number") return resolve(new NoRows(data));
      const { message, code, extendedCode, rawCode } = data;
      reject(new LibsqlError(message, code, extendedCode, rawCode));
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#thread = undefined;
      this.#instead ??= new PreparedWrites(...this.#opening);
      fail(asked, `The thread that writes to the database has ended: ${event.message}`);
    });
    const [path, timeoutMs, pragmas] = this.#opening;
    const closed = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    tell(worker, { path, timeoutMs, pragmas, closed });
    return { worker, closed: new Int32Array(closed), asked };
  }
}

function tell(worker: Worker, order: Order): void {
  worker.postMessage(order);
}

/** Rejects what has not been answered. It may have been carried out. */
function fail(asked: Thread["asked"], reason: string): void {
  for (const { reject } of asked.splice(0)) reject(new Error(reason));
}
