/**
 * How many further tries there may be: a share of the traffic, so that no storm of them is possible.
 *
 * @module
 */

/** What each request adds: one further try for five requests. */
const share = 0.2;

/** What each second adds: a service with few requests may try again, too. */
const perSecond = 1;

/** The most that is saved up. */
const most = 100;

/** The further tries that one process may make: a bucket that requests and time fill. */
export class RetryBudget {
  #left = 10;
  #filledAt: number | undefined;

  /** A request came. @param now By `performance.now()`. */
  request(now: number): void {
    this.#fill(now, share);
  }

  /** Whether there may be a further try now; then it is taken. @param now By `performance.now()`. */
  take(now: number): boolean {
    this.#fill(now, 0);
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  #fill(now: number, extra: number): void {
    const seconds = Math.max(0, now - (this.#filledAt ?? now)) / 1_000;
    this.#filledAt = now;
    this.#left = Math.min(most, this.#left + seconds * perSecond + extra);
  }
}
