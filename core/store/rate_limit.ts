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
  /** What others have used. */
  readonly used: number;
  /** What others hold. */
  readonly held: number;
  /** What is left after the request, at least 0. */
  readonly remaining: number;
  /** Milliseconds until nothing is counted any more. */
  readonly resetMs: number;
  /** Milliseconds until the request would fit, if all that is held is used; 0 if it does. */
  readonly retryAfterMs: number;
  /** When it was taken by the store's clock, in milliseconds since 1970. */
  readonly at: number;
}

/** A window of which a request held its cost, and is over. */
export interface SettledWindow extends RateWindow {
  /** {@linkcode RateState.at} of what it took. */
  readonly at: number;
  /** How much it has used, which may be more than its cost. */
  readonly used: number;
}

/** Counts requests in windows. */
export interface RateStore {
  /**
   * Takes the cost from every window, or from none: the request is admitted when all of them fit.
   *
   * @param windows The windows, at least one.
   * @param as Whether the cost is used, or held until {@linkcode settle} says how much of it is.
   * @returns A state for each window, in the same order.
   */
  take(windows: readonly RateWindow[], as?: keyof Taken): RateState[] | Promise<RateState[]>;
  /**
   * Puts what was used in the place of what was held, when it was held; what was used beyond that
   * counts from now on, whether it fits or not. One round trip, however many windows there are.
   *
   * @param windows The windows, at least one.
   */
  settle(windows: readonly SettledWindow[]): void | Promise<void>;
}

interface Taken {
  used: number;
  held: number;
}

interface Counter {
  /** Number of the current window since 1970. */
  window: number;
  current: Taken;
  previous: Taken;
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

  take(windows: readonly RateWindow[], as: keyof Taken = "used"): RateState[] {
    const now = this.#now();
    if (this.#counters.size >= this.#sweepAt) this.#sweep(now);
    const counters = windows.map((window) => this.#counter(window, now));
    const taken = windows.map((window, i) => takenAt(counters[i]!, now, window.windowMs));
    const fit = windows.map((window, i) => taken[i]! + window.cost <= window.limit);
    const admitted = fit.every((fits) => fits);
    return windows.map((window, i) => {
      const counter = counters[i]!;
      const used = Math.ceil(takenAt(counter, now, window.windowMs, ({ used }) => used));
      if (admitted) counter.current[as] += window.cost;
      const left = window.limit - taken[i]! - (admitted ? window.cost : 0);
      return {
        fits: fit[i]!,
        used,
        held: Math.ceil(taken[i]!) - used,
        remaining: Math.max(0, Math.floor(left)),
        resetMs: Math.max(0, resetAt(counter, window.windowMs) - now),
        retryAfterMs: fit[i]! ? 0 : fitsAt(counter, window) - now,
        at: now,
      };
    });
  }

  settle(windows: readonly SettledWindow[]): void {
    const now = this.#now();
    for (const window of windows) {
      const counter = this.#counter(window, now);
      const { current, previous } = counter;
      const age = counter.window - Math.floor(window.at / window.windowMs);
      const then = age === 0 ? current : age === 1 ? previous : nothing();
      // A clock that was set back has forgotten what was held.
      then.held = Math.max(0, then.held - window.cost);
      then.used += Math.min(window.cost, window.used);
      current.used += Math.max(0, window.used - window.cost);
    }
  }

  #counter({ key, windowMs }: RateWindow, now: number): Counter {
    const window = Math.floor(now / windowMs);
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = { window, current: nothing(), previous: nothing(), windowMs };
      this.#counters.set(key, counter);
    } else if (counter.window !== window) {
      counter.previous = counter.window === window - 1 ? counter.current : nothing();
      counter.current = nothing();
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

function nothing(): Taken {
  return { used: 0, held: 0 };
}

function sum({ used, held }: Taken): number {
  return used + held;
}

function takenAt(
  { current, previous, window }: Counter,
  now: number,
  windowMs: number,
  part: (taken: Taken) => number = sum,
): number {
  // One division of whole numbers: where it matters, at the limit itself, the result is exact.
  return part(current) + part(previous) * ((window + 1) * windowMs - now) / windowMs;
}

/** When nothing is counted any more. */
function resetAt({ current, previous, window }: Counter, windowMs: number): number {
  if (sum(current) > 0) return (window + 2) * windowMs;
  return (sum(previous) > 0 ? window + 1 : window) * windowMs;
}

/** The first millisecond at which the cost fits, if nothing else is taken; beyond any limit, a window on. */
function fitsAt(counter: Counter, { limit, cost, windowMs }: RateWindow): number {
  const { window } = counter;
  const [current, previous] = [sum(counter.current), sum(counter.previous)];
  const room = limit - cost;
  if (room < 0) return (window + 2) * windowMs;
  // In the current window only the previous one's weight shrinks, in the next one the current one's.
  if (current <= room) {
    return (window + 1) * windowMs - Math.floor((room - current) * windowMs / previous);
  }
  return (window + 2) * windowMs - Math.floor(room * windowMs / current);
}
