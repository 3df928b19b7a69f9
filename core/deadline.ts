/**
 * The time limits of one attempt, on one timer.
 *
 * @module
 */
import { RouterError } from "./errors.ts";

/** The longest that a timer can be set for; one that is asked for more fires at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * Aborts an attempt that takes too long. Arming it for the next chunk costs no timer: the one timer
 * looks at the clock when it fires and goes on if the limit has moved.
 */
export class Deadline {
  readonly #controller = new AbortController();
  #end: number;
  #due: number;
  #waiting: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fires = Infinity;

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
    // A timer that would fire too late is set anew; one that fires early sets itself anew.
    if (this.#timer === undefined || this.#due < this.#fires) this.#set();
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

  #set(): void {
    clearTimeout(this.#timer);
    this.#fires = this.#due;
    this.#timer = setTimeout(() => {
      if (performance.now() < this.#due - 1) return this.#set();
      this.abort(
        new RouterError("timeout", `The provider was too slow: no sign of ${this.#waiting}`),
      );
    }, Math.min(longestTimer, Math.max(0, this.#due - performance.now())));
  }

  /** Ends the attempt now. */
  abort(reason: RouterError): void {
    this.stop();
    this.#controller.abort(reason);
  }

  /** Stops the timer; the attempt is over. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#fires = Infinity;
  }
}
