/**
 * Those that are under way, of which thousands come and go in a second.
 *
 * @module
 */

/** What may stand in a roster, in one at a time. */
export interface Listed {
  /** Where it stands; the roster's own. */
  place?: number | undefined;
}

/**
 * A set for what lives as long as a request. V8's own `Set` and `Map` take a new table every so many
 * entries, and the table before points to it. Once one of these tables is old, all that follow it
 * outlive the collections of young garbage, with whatever was in them: every request, long after its
 * end (decision 0023).
 */
export class Roster<Each extends Listed> {
  readonly #members: Each[] = [];

  /** How many are in it. */
  get size(): number {
    return this.#members.length;
  }

  /** Takes one in. Once more is harmless. */
  add(each: Each): void {
    each.place ??= this.#members.push(each) - 1;
  }

  /** Takes one out. @returns Whether it was in it. */
  delete(each: Each): boolean {
    const { place } = each;
    if (place === undefined) return false;
    each.place = undefined;
    const last = this.#members.pop()!;
    if (last !== each) {
      this.#members[place] = last;
      last.place = place;
    }
    return true;
  }

  /** Takes out all. */
  clear(): void {
    for (const each of this.#members.splice(0)) each.place = undefined;
  }

  /** Those that are in it, in no order. */
  list(): Each[] {
    return this.#members.slice();
  }

  /** Calls back for those that are in it now, in no order, but for those that are taken out meanwhile. */
  forEach(look: (each: Each) => void): void {
    for (const each of this.list()) if (each.place !== undefined) look(each);
  }
}
