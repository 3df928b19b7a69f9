/**
 * Clocks that a test moves by hand. Timers go on as they are.
 *
 * @module
 */

/** Holds `Date.now` and `performance.now` still until it is disposed of. */
export class HeldClock implements Disposable {
  readonly #real = { date: Date.now, performance: performance.now };
  readonly #start = { date: Date.now(), performance: performance.now() };
  #passed = 0;

  constructor() {
    Date.now = () => this.#start.date + this.#passed;
    performance.now = () => this.#start.performance + this.#passed;
  }

  /** Milliseconds that have passed. */
  get passed(): number {
    return this.#passed;
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.#passed += ms;
  }

  [Symbol.dispose](): void {
    Date.now = this.#real.date;
    performance.now = this.#real.performance;
  }
}
