import { setImmediate } from "node:timers";

/** Time that stands still until told: timers run only within `next` and `pass`. */
export class FrozenTime implements Disposable {
  #now = 0;
  #lastId = 0;
  readonly #timers = new Map<number, { at: number; run: () => void }>();
  readonly #real = { setTimeout, clearTimeout, now: performance.now };

  constructor() {
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms = 0) => {
        this.#timers.set(++this.#lastId, { at: this.#now + ms, run });
        return this.#lastId;
      },
      clearTimeout: (id: number) => void this.#timers.delete(id),
    });
    performance.now = () => this.#now;
  }

  get now(): number {
    return this.#now;
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Goes to the next timer, runs it, and lets everything that follows from it happen. */
  async next(): Promise<void> {
    const [first] = [...this.#timers].sort(([a, x], [b, y]) => x.at - y.at || a - b);
    if (first === undefined) throw new Error("No timer is set");
    const [id, { at, run }] = first;
    this.#timers.delete(id);
    this.#now = at;
    run();
    await settled();
  }

  /** Runs every timer that is due within `ms`, also those that are set on the way. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    while ([...this.#timers.values()].some(({ at }) => at <= end)) await this.next();
    this.#now = end;
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#real.setTimeout;
    globalThis.clearTimeout = this.#real.clearTimeout;
    performance.now = this.#real.now;
  }
}

/** Resolves when all promise callbacks that wait have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The state of a promise, to be read at any time: "pending", "resolved" or "rejected: why". */
export function watch(promise: Promise<void>): { state: string } {
  const watched = { state: "pending" };
  promise.then(
    () => watched.state = "resolved",
    (error) => watched.state = `rejected: ${error.message}`,
  );
  return watched;
}
