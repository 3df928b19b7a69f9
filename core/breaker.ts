/**
 * A circuit breaker: asks one that fails no more for a while, then lets a single call try it.
 *
 * @module
 */
import type { RouterError } from "./errors.ts";

/**
 * `closed`: calls go out. `open`: none does. `half-open`: one real call may try whether it works
 * again; the others stay away until that one has ended.
 */
export type CircuitState = "closed" | "half-open" | "open";

/** How a call ended, as far as that tells of the one who was asked. */
export interface Verdict {
  /** It brought no whole answer. */
  readonly failed: boolean;
  /** Its first token came later than anybody should have to wait. */
  readonly slow: boolean;
  /** Why it failed. */
  readonly error?: RouterError;
}

/** Calls that ended within the window. */
export interface CallCounts {
  readonly calls: number;
  readonly failed: number;
  readonly slow: number;
}

/** A call under way. */
export interface BreakerCall {
  /**
   * Ends it; further ends do nothing.
   *
   * @param now The time, by `performance.now()`.
   * @param verdict `undefined` where it tells nothing, such as that of a client who left.
   */
  end(now: number, verdict: Verdict | undefined): void;
}

/**
 * The window: long enough that five calls come together where there is any traffic, short enough that
 * a disturbance of a minute ago decides nothing.
 */
const windowMs = 30_000;

/** Parts of the window: what grows too old leaves it a part at a time. */
const parts = 30;

/** Calls that must have ended: fewer are chance. */
const fewestCalls = 5;

/** The share of failures from which on more calls are lost than won. */
const failedShare = 0.5;

/** The share of slow calls, a higher one: a slow answer is still an answer. */
const slowShare = 0.8;

/** Milliseconds before the first try: what takes a vendor seconds, a restart say, costs no more. */
const firstWaitMs = 5_000;

/** The longest wait: what has recovered is in use again soon, and three tries a minute hurt nobody. */
const longestWaitMs = 20_000;

/** By how much a wait may be shorter, so that several processes do not try together. */
const jitter = 0.1;

/** Milliseconds to the first token from which on a streamed call is slow. */
export const slowMs = 10_000;

/** The breaker of one account and model. The time is given, by `performance.now()`; it has no timer. */
export class Breaker {
  readonly #random: () => number;
  readonly #onChange: (() => void) | undefined;
  readonly #window = new Window();
  #state: CircuitState = "closed";
  /** From when on a call may try, once it is open. */
  #tryAt = 0;
  /** Tries that failed since it opened. */
  #failedTries = 0;
  #trying = false;
  #running = 0;
  /** What opened it last. */
  #cause: CallCounts = { calls: 0, failed: 0, slow: 0 };
  #lasting: RouterError | undefined;
  /** Calls that began before the last change tell nothing of what is now. */
  #era = 0;

  /**
   * @param onChange Called after each change of what {@linkcode Breaker.mayCall} goes by, but for the
   * passing of time.
   * @param random Numbers from 0 to 1.
   */
  constructor(onChange?: () => void, random: () => number = Math.random) {
    this.#onChange = onChange;
    this.#random = random;
  }

  /** How it stands. */
  state(now: number): CircuitState {
    return this.#state === "open" && now >= this.#tryAt ? "half-open" : this.#state;
  }

  /** Whether a call may go out. */
  mayCall(now: number): boolean {
    return !this.#trying && (this.#state !== "open" || now >= this.#tryAt);
  }

  /** Milliseconds until a call may go out; 0 where it may, or where that hangs on a call under way. */
  waitMs(now: number): number {
    return this.#state === "open" ? Math.max(0, this.#tryAt - now) : 0;
  }

  /** Whether forgetting it would lose nothing. */
  isIdle(now: number): boolean {
    return this.#state === "closed" && this.#running === 0 && this.#window.counts(now).calls === 0;
  }

  /** Whether calls are under way. */
  get isBusy(): boolean {
    return this.#running > 0;
  }

  /** The calls that opened it last. */
  get cause(): CallCounts {
    return this.#cause;
  }

  /** Why it is open, where no waiting ends that; `undefined` where any failure may pass by itself. */
  get lasting(): RouterError | undefined {
    return this.#lasting;
  }

  /** How many single calls have failed since then. */
  get failedTries(): number {
    return this.#failedTries;
  }

  /**
   * A call goes out: where the breaker is half-open, it is the one that tries.
   *
   * @throws {Error} where {@linkcode Breaker.mayCall} says that none may.
   */
  begin(now: number): BreakerCall {
    if (!this.mayCall(now)) throw new Error("A call goes out although its circuit is open");
    const isTry = this.#state !== "closed";
    this.#running++;
    if (isTry) {
      this.#trying = true;
      this.#change("half-open");
    }
    const era = this.#era;
    let ended = false;
    return {
      end: (at, verdict) => {
        if (ended) return;
        ended = true;
        this.#running--;
        if (isTry) this.#endTry(at, verdict);
        else if (era === this.#era && verdict !== undefined) this.#count(at, verdict);
      },
    };
  }

  #count(now: number, verdict: Verdict): void {
    this.#window.add(now, verdict);
    // A good end is no reason to stop asking, whatever came before it.
    if (!verdict.failed && !verdict.slow) return;
    const { passing, ...counts } = this.#window.counts(now);
    const { calls, failed, slow } = counts;
    if (calls < fewestCalls || (failed < calls * failedShare && slow < calls * slowShare)) return;
    this.#cause = counts;
    this.#failedTries = 0;
    this.#open(now, passing === 0 ? verdict.error : undefined);
  }

  #endTry(now: number, verdict: Verdict | undefined): void {
    this.#trying = false;
    if (verdict === undefined) {
      this.#onChange?.();
    } else if (verdict.failed || verdict.slow) {
      this.#failedTries++;
      this.#open(now, mayPass(verdict) ? undefined : verdict.error);
    } else {
      this.#window.clear();
      this.#change("closed");
    }
  }

  #open(now: number, lasting: RouterError | undefined): void {
    this.#lasting = lasting;
    const wait = Math.min(longestWaitMs, firstWaitMs * 2 ** this.#failedTries);
    this.#tryAt = now + wait * (1 - jitter * this.#random());
    this.#change("open");
  }

  #change(state: CircuitState): void {
    this.#state = state;
    this.#era++;
    this.#onChange?.();
  }
}

/** Whether a bad end is of a kind that waiting may end. */
function mayPass({ failed, slow, error }: Verdict): boolean {
  return (failed || slow) && !error?.lasts;
}

const width = 4;

/** Counts of the calls that ended lately, in memory of a fixed size. */
class Window {
  readonly #counts = new Uint32Array(parts * width);
  /** The part that the last time lies in, counted from time 0. */
  #newest = 0;

  add(now: number, verdict: Verdict): void {
    this.#slideTo(now);
    const at = this.#newest % parts * width;
    this.#counts[at]!++;
    if (verdict.failed) this.#counts[at + 1]!++;
    if (verdict.slow) this.#counts[at + 2]!++;
    if (mayPass(verdict)) this.#counts[at + 3]!++;
  }

  counts(now: number): CallCounts & { readonly passing: number } {
    this.#slideTo(now);
    const sums = [0, 0, 0, 0];
    for (const [at, count] of this.#counts.entries()) sums[at % width]! += count;
    return { calls: sums[0]!, failed: sums[1]!, slow: sums[2]!, passing: sums[3]! };
  }

  clear(): void {
    this.#counts.fill(0);
  }

  #slideTo(now: number): void {
    const part = Math.max(this.#newest, Math.floor(now / (windowMs / parts)));
    for (let next = Math.max(this.#newest + 1, part - parts + 1); next <= part; next++) {
      this.#counts.fill(0, next % parts * width, next % parts * width + width);
    }
    this.#newest = part;
  }
}
