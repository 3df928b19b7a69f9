/**
 * The queue for a provider's slots: each key in turn, however many requests it has.
 *
 * @module
 */

/** One who waits. */
export interface Waiter {
  /** Who asks; each gets a turn. */
  readonly keyId: string | undefined;
}

/** Those who wait, by key; the keys in the order of their turns. */
export class SlotQueue<Each extends Waiter> {
  readonly #keys = new Map<string | undefined, Each[]>();
  #length = 0;

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** Puts one at the end of its key's line. */
  add(waiter: Each): void {
    const own = this.#keys.get(waiter.keyId);
    if (own === undefined) this.#keys.set(waiter.keyId, [waiter]);
    else own.push(waiter);
    this.#length++;
  }

  /** Takes one out, if it is there. @returns Whether it was. */
  remove(waiter: Each): boolean {
    const waiters = this.#keys.get(waiter.keyId);
    const at = waiters?.indexOf(waiter) ?? -1;
    if (waiters === undefined || at < 0) return false;
    waiters.splice(at, 1);
    this.#length--;
    if (waiters.length === 0) this.#keys.delete(waiter.keyId);
    return true;
  }

  /** The turn of a key is over: the others come first. */
  rotate(keyId: string | undefined): void {
    const waiters = this.#keys.get(keyId);
    if (waiters === undefined) return;
    this.#keys.delete(keyId);
    this.#keys.set(keyId, waiters);
  }

  /** All of them, key by key, as they are now. */
  list(): Each[] {
    return [...this.#keys.values()].flat();
  }

  /** How many are served before one, and itself; 0 where it does not wait. */
  placeOf(waiter: Each): number {
    const round = this.#keys.get(waiter.keyId)?.indexOf(waiter) ?? -1;
    if (round < 0) return 0;
    let place = round + 1;
    let isBefore = true;
    for (const [other, waiters] of this.#keys) {
      if (other === waiter.keyId) isBefore = false;
      else place += Math.min(waiters.length, isBefore ? round + 1 : round);
    }
    return place;
  }
}
