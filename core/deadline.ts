/**
 * The time limits of attempts: all of them on one timer.
 *
 * @module
 */
import { RouterError } from "./errors.ts";

/** Milliseconds between two looks at the clock, and so the most that a limit is late. */
const tickMs = 20;

/** The deadlines that run. A timer for each of them would be garbage that outlives its request. */
const running = new Set<Deadline>();

let ticker: ReturnType<typeof setTimeout> | undefined;

/** Aborts an attempt that takes too long. To move its limit, with each chunk say, costs nothing. */
export class Deadline {
  readonly #controller = new AbortController();
  #end: number;
  #due: number;
  #waiting: string;

  /**
   * @param end When the whole exchange must be over, by `performance.now()`.
   */
  constructor(end: number) {
    this.#end = end;
    this.#due = end;
    this.#waiting = "the whole answer";
  }

  /** Fires with the {@linkcode RouterError} that ends the attempt. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Limits what comes next.
   *
   * @param ms Milliseconds from now; `Infinity` leaves only the limit of the whole.
   * @param waiting What is waited for, for the message: `the first byte`.
   */
  expect(ms: number, waiting: string): void {
    const due = performance.now() + ms;
    this.#due = Math.min(due, this.#end);
    this.#waiting = due < this.#end ? waiting : "the whole answer";
    running.add(this);
    ticker ??= setTimeout(tick, tickMs);
  }

  /**
   * Brings the end of the whole forward.
   *
   * @param ms Milliseconds from now.
   */
  limit(ms: number): void {
    const now = performance.now();
    this.#end = Math.min(this.#end, now + ms);
    this.expect(this.#due - now, this.#waiting);
  }

  /** Ends the attempt if its limit has passed. */
  check(now: number): void {
    if (now < this.#due) return;
    this.abort(
      new RouterError("timeout", `The provider was too slow: no sign of ${this.#waiting}`),
    );
  }

  /** Ends the attempt now. */
  abort(reason: RouterError): void {
    this.stop();
    this.#controller.abort(reason);
  }

  /** The attempt is over. */
  stop(): void {
    if (!running.delete(this) || running.size > 0) return;
    clearTimeout(ticker);
    ticker = undefined;
  }
}

function tick(): void {
  const now = performance.now();
  ticker = setTimeout(tick, tickMs);
  for (const deadline of running) deadline.check(now);
}
