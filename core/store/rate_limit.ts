/**
 * Where counters of rate limits live.
 *
 * A store takes all the windows of a request in one atomic step and one round trip, so that several
 * processes on one store share one limit. The one here keeps them in memory, for one process.
 *
 * @module
 */

/** One window that a request must fit into. */
export interface RateWindow {
  /** Whom the window counts: `requests:key_…`. */
  readonly key: string;
  /** How much fits into a window. */
  readonly limit: number;
  /** Milliseconds of a window. */
  readonly windowMs: number;
  /** How much the request takes. */
  readonly cost: number;
}

/** What a window said. */
export interface RateState {
  /** The request fits into this window. */
  readonly fits: boolean;
  /** What is left after the request, at least 0. */
  readonly remaining: number;
  /** Milliseconds until nothing is counted any more. */
  readonly resetMs: number;
  /** Milliseconds until the request would fit; 0 if it does. */
  readonly retryAfterMs: number;
}

/** Counts requests in windows. */
export interface RateStore {
  /**
   * Takes the cost from every window, or from none: the request is admitted when all of them fit.
   *
   * @param windows The windows, at least one.
   * @returns A state for each window, in the same order.
   */
  take(windows: readonly RateWindow[]): RateState[] | Promise<RateState[]>;
  /**
   * Adds the cost to every window, whether it fits or not: for what is known only afterwards. One
   * round trip, however many windows there are.
   *
   * @param windows The windows, at least one.
   */
  add(windows: readonly RateWindow[]): void | Promise<void>;
}

interface Counter {
  /** Number of the current window since 1970. */
  window: number;
  current: number;
  previous: number;
  windowMs: number;
}

/** How many counters are kept before those that count nothing any more are looked for. */
const sweepSize = 10_000;

/**
 * Counts in this process's memory, with a sliding window: what the last full window counted weighs
 * as much as of it is still inside the sliding one. No window of the given length ever holds twice
 * the limit, as it can with fixed windows.
 */
export class MemoryRateStore implements RateStore {
  readonly #counters = new Map<string, Counter>();
  readonly #now: () => number;
  #sweepAt = sweepSize;

  /** @param now The clock, in milliseconds since 1970. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  take(windows: readonly RateWindow[]): RateState[] {
    const now = this.#now();
    if (this.#counters.size >= this.#sweepAt) this.#sweep(now);
    const counters = windows.map((window) => this.#counter(window, now));
    const used = windows.map((window, i) => usedAt(counters[i]!, now, window.windowMs));
    const admitted = windows.every((window, i) => used[i]! + window.cost <= window.limit);
    return windows.map((window, i) => {
      const counter = counters[i]!;
      const fits = used[i]! + window.cost <= window.limit;
      if (admitted) counter.current += window.cost;
      const left = window.limit - used[i]! - (admitted ? window.cost : 0);
      return {
        fits,
        remaining: Math.max(0, Math.floor(left)),
        resetMs: Math.max(0, resetAt(counter, window.windowMs) - now),
        retryAfterMs: fits ? 0 : fitsAt(counter, window) - now,
      };
    });
  }

  add(windows: readonly RateWindow[]): void {
    const now = this.#now();
    for (const window of windows) this.#counter(window, now).current += window.cost;
  }

  #counter({ key, windowMs }: RateWindow, now: number): Counter {
    const window = Math.floor(now / windowMs);
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = { window, current: 0, previous: 0, windowMs };
      this.#counters.set(key, counter);
    } else if (counter.window !== window) {
      counter.previous = counter.window === window - 1 ? counter.current : 0;
      counter.current = 0;
      counter.window = window;
    }
    return counter;
  }

  #sweep(now: number): void {
    for (const [key, counter] of this.#counters) {
      if (resetAt(counter, counter.windowMs) <= now) this.#counters.delete(key);
    }
    this.#sweepAt = Math.max(sweepSize, 2 * this.#counters.size);
  }
}

function usedAt({ current, previous, window }: Counter, now: number, windowMs: number): number {
  // One division of whole numbers: where it matters, at the limit itself, the result is exact.
  return current + previous * ((window + 1) * windowMs - now) / windowMs;
}

/** When nothing is counted any more. */
function resetAt({ current, previous, window }: Counter, windowMs: number): number {
  if (current > 0) return (window + 2) * windowMs;
  return (previous > 0 ? window + 1 : window) * windowMs;
}

/** The first millisecond at which the cost fits, if nothing else is taken; beyond any limit, a window on. */
function fitsAt(counter: Counter, { limit, cost, windowMs }: RateWindow): number {
  const { current, previous, window } = counter;
  const room = limit - cost;
  if (room < 0) return (window + 2) * windowMs;
  // In the current window only the previous one's weight shrinks, in the next one the current one's.
  if (current <= room) {
    return (window + 1) * windowMs - Math.floor((room - current) * windowMs / previous);
  }
  return (window + 2) * windowMs - Math.floor(room * windowMs / current);
}
