/**
 * The time limits of attempts: all of them on one timer.
 *
 * @module
 */
import { RouterError } from "./errors.ts";
import { startTicking, stopTicking, type Ticking } from "./ticker.ts";

/** What is waited for where only the limit of the whole is left; the `detail` of its error. */
export const wholeAnswer = "the whole answer";

/** The same once nobody waits for it any more. */
export const drained = "the end of an answer whose client has gone";

/**
 * Aborts an attempt that takes too long, up to a tick late. To move its limit, with each chunk say,
 * costs nothing.
 */
export class Deadline implements Ticking {
  place: number | undefined;
  readonly #controller = new AbortController();
  /** Called once the signal has fired: for the one who holds the deadline, at less than an event. */
  onAbort?: () => void;
  readonly #exchangeEnd: number;
  #end: number;
  #due: number;
  #waiting: string;
  #whole = wholeAnswer;

  /**
   * @param end When the whole exchange must be over, by `performance.now()`.
   */
  constructor(end: number) {
    this.#exchangeEnd = this.#end = end;
    this.#due = end;
    this.#waiting = wholeAnswer;
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
    const due = ms === Infinity ? ms : performance.now() + ms;
    this.#due = Math.min(due, this.#end);
    this.#waiting = due < this.#end ? waiting : this.#whole;
    startTicking(this);
  }

  /**
   * Brings the end of the whole forward.
   *
   * @param ms Milliseconds from now.
   */
  endIn(ms: number): void {
    const now = performance.now();
    this.#end = Math.min(this.#end, now + ms);
    this.expect(this.#due - now, this.#waiting);
  }

  /**
   * Brings the end of the whole forward, because the client has gone.
   *
   * @param ms Milliseconds from now.
   */
  limit(ms: number): void {
    this.#whole = drained;
    this.endIn(ms);
  }

  /** Ends the attempt if its limit has passed. */
  tick(now: number): void {
    if (now < this.#due) return;
    const reason = now < this.#exchangeEnd
      ? `The provider was too slow: no sign of ${this.#waiting}`
      : "The request took longer than its route allows for all its tries together";
    this.abort(new RouterError("timeout", reason, { detail: this.#waiting }));
  }

  /**
   * What `promise` gives, unless the attempt ends first: for code that may not heed the signal. One
   * promise at a time, and none once somebody else holds `onAbort`.
   */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = () => reject(this.signal.reason);
      this.onAbort = end;
      if (this.signal.aborted) end();
      promise.then(resolve, reject);
    });
  }

  /** Ends the attempt now. */
  abort(reason: RouterError): void {
    this.stop();
    if (this.signal.aborted) return;
    this.#controller.abort(reason);
    this.onAbort?.();
  }

  /** The attempt is over. */
  stop(): void {
    stopTicking(this);
  }
}
