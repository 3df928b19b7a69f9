/**
 * How many tags a key may have: each of them has totals of its own, day by day.
 *
 * @module
 */

/** Tags of one key on one day. */
const mostTags = 200;

const dayMs = 86_400_000;

/** Keeps count of the tags of a day. */
export class DailyTags {
  readonly #tags = new Map<string, Set<string>>();
  #day = 0;

  /**
   * Whether a key's tag is to be recorded: one of its first 200 on this day, in UTC.
   *
   * @param now Milliseconds since 1970.
   */
  admits(keyId: string, tag: string, now: number): boolean {
    const day = Math.floor(now / dayMs);
    if (day !== this.#day) {
      this.#tags.clear();
      this.#day = day;
    }
    let tags = this.#tags.get(keyId);
    if (tags === undefined) this.#tags.set(keyId, tags = new Set());
    if (tags.size < mostTags) tags.add(tag);
    return tags.has(tag);
  }
}

/** The most characters of a tag: each tag has totals of its own. */
export const maxTag = 64;

/** Whether a text can be a tag: ASCII, and not too long. */
export function isTag(text: string): boolean {
  return text.length <= maxTag && !/[^\x20-\x7e]/.test(text);
}
