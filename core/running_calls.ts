/**
 * How many calls are under way.
 *
 * @module
 */

/** Calls under way, by what they are of: an account, a model. */
export class RunningCalls<Of> {
  readonly #calls = new Map<Of, number>();

  /** How many are under way of one. */
  of(each: Of): number {
    return this.#calls.get(each) ?? 0;
  }

  /** One more begins. @returns Ends it; further calls do nothing. */
  begin(each: Of): () => void {
    this.#calls.set(each, this.of(each) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = this.of(each) - 1;
      if (left > 0) this.#calls.set(each, left);
      else this.#calls.delete(each);
    };
  }
}
