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

/** What it answers to each, in order: the rows that changed, or the error; one of libSQL has a code. */
export type Answer = number | {
  readonly message: string;
  readonly code?: string | undefined;
  readonly extendedCode?: string | undefined;
  readonly rawCode?: number | undefined;
};

/** The most milliseconds that closing waits for. */
const closeMs = 5_000;

/** An order, and who waits for its answer. */
interface Asked extends PromiseWithResolvers<ResultSet> {
  readonly order: Order;
}

/** A thread that runs. */
interface Thread {
  readonly worker: Worker;
  readonly closed: Int32Array;
  /** What it has not answered yet, in order. */
  readonly asked: Asked[];
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
    worker.postMessage("close" satisfies Order);
    Atomics.wait(closed, 0, 0, closeMs);
    worker.terminate();
    for (const { reject } of asked) {
      reject(new LibsqlError("The client was closed before this was answered", "CLIENT_CLOSED"));
    }
  }

  #ask(order: Order): Promise<ResultSet> {
    return askOf(this.#thread ??= this.#start(), order);
  }

  #start(): Thread {
    const asked: Asked[] = [];
    const worker = new Worker(import.meta.resolve("./writing_worker.ts"), { type: "module" });
    let runs = false;
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      runs = true;
      const { resolve, reject } = asked.shift()!;
      if (typeof data === "number") return resolve(new NoRows(data));
      const { message, code, extendedCode, rawCode } = data;
      const error = code === undefined
        ? new Error(message)
        : new LibsqlError(message, code, extendedCode, rawCode);
      reject(error);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#thread = undefined;
      const instead = this.#instead ??= new PreparedWrites(...this.#opening);
      for (const { order, resolve, reject } of asked.splice(0)) {
        try {
          // What a thread had that never ran has not been carried out.
          if (runs) throw new Error(`The thread that writes has ended: ${event.message}`);
          resolve(carryOut(instead, order));
        } catch (error) {
          reject(error);
        }
      }
    });
    const [path, timeoutMs, pragmas] = this.#opening;
    const closed = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const thread = { worker, closed: new Int32Array(closed), asked };
    void askOf(thread, { path, timeoutMs, pragmas, closed }).catch(() => {});
    return thread;
  }
}

function askOf({ worker, asked }: Thread, order: Order): Promise<ResultSet> {
  const answer = { order, ...Promise.withResolvers<ResultSet>() };
  asked.push(answer);
  worker.postMessage(order);
  return answer.promise;
}

/** Carries out what the thread has not. */
function carryOut(writes: PreparedWrites, order: Order): ResultSet {
  if (typeof order === "object" && "sql" in order) return writes.run(order.sql, order.args);
  if (typeof order === "object" && "exec" in order) writes.exec(order.exec);
  return new NoRows(0);
}
