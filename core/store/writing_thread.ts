/**
 * Prepared writes in a thread of their own, so that no answer waits while a group is written.
 *
 * @module
 */
import { LibsqlError, type ResultSet } from "@libsql/client";
import { NoRows, type Plain, PreparedWrites, type Writes } from "./prepared_writes.ts";

/** Numbers that both sides see. */
export const cells = {
  /** 1 once the connection is closed. */
  closed: 0,
  /** Who carries the orders out: nobody yet, or one of {@linkcode carriers}. It never changes again. */
  carrier: 1,
} as const;

/** Who carries orders out. */
export const carriers = { thread: 1, caller: 2 } as const;

/** What the thread is told: at first what to open, then in each message one thing to do. */
export type Order =
  | {
    readonly path: string;
    readonly timeoutMs: number;
    readonly pragmas: string;
    /** {@linkcode cells}. */
    readonly shared: SharedArrayBuffer;
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

/** The most that it waits for a thread that may never have begun. */
const beginMs = 500;

/** An order, and who waits for its answer. */
interface Asked extends PromiseWithResolvers<ResultSet> {
  readonly order: Order;
}

/** A thread that runs. */
interface Thread {
  readonly worker: Worker;
  readonly shared: Int32Array;
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
    const thread = this.#thread;
    const { worker, shared, asked } = thread;
    this.#thread = undefined;
    worker.postMessage("close" satisfies Order);
    const hasEnded = Atomics.wait(shared, cells.closed, 0, beginMs) !== "timed-out";
    if (!hasEnded && takeOver(thread)) {
      const instead = new PreparedWrites(...this.#opening);
      settleHere(asked.splice(0), instead);
      instead.close();
    } else if (!hasEnded) Atomics.wait(shared, cells.closed, 0, closeMs - beginMs);
    worker.terminate();
    for (const { reject } of asked.splice(0)) {
      reject(new LibsqlError("The client was closed before this was answered", "CLIENT_CLOSED"));
    }
  }

  #ask(order: Order): Promise<ResultSet> {
    return askOf(this.#thread ??= this.#start(), order);
  }

  #start(): Thread {
    const asked: Asked[] = [];
    const worker = new Worker(import.meta.resolve("./writing_worker.ts"), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      const next = asked.shift();
      // What it had answered when it ended comes after the news of its end.
      if (next === undefined) return;
      const { resolve, reject } = next;
      if (typeof data === "number") return resolve(new NoRows(data));
      const { message, code, extendedCode, rawCode } = data;
      const error = code === undefined
        ? new Error(message)
        : new LibsqlError(message, code, extendedCode, rawCode);
      reject(error);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      // One that was closed has nothing left, and another may have taken its place.
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      const instead = this.#instead ??= new PreparedWrites(...this.#opening);
      if (takeOver(thread)) return settleHere(asked.splice(0), instead);
      const reason = new Error(`The thread that writes has ended: ${event.message}`);
      for (const { reject } of asked.splice(0)) reject(reason);
    });
    const [path, timeoutMs, pragmas] = this.#opening;
    const shared = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
    const thread = { worker, shared: new Int32Array(shared), asked };
    void askOf(thread, { path, timeoutMs, pragmas, shared }).catch(() => {});
    return thread;
  }
}

/** Takes what a thread was told away from it. @returns Whether it has not begun, and never will. */
function takeOver({ shared }: Thread): boolean {
  return Atomics.compareExchange(shared, cells.carrier, 0, carriers.caller) === 0;
}

/** Carries out here what a thread has not begun. */
function settleHere(asked: readonly Asked[], writes: PreparedWrites): void {
  for (const { order, resolve, reject } of asked) {
    try {
      resolve(carryOut(writes, order));
    } catch (error) {
      reject(error);
    }
  }
}

function askOf({ worker, asked }: Thread, order: Order): Promise<ResultSet> {
  const answer = { order, ...Promise.withResolvers<ResultSet>() };
  asked.push(answer);
  worker.postMessage(order);
  return answer.promise;
}

function carryOut(writes: PreparedWrites, order: Order): ResultSet {
  if (typeof order === "object" && "sql" in order) return writes.run(order.sql, order.args);
  if (typeof order === "object" && "exec" in order) writes.exec(order.exec);
  return new NoRows(0);
}
