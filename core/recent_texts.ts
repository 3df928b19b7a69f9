/**
 * What was found out about texts that come again and again.
 *
 * @module
 */

/** A text that takes more than this part of a half is not worth its room. */
const largestPart = 1 / 32;

/**
 * Values of the texts that were used last. The newer half of them and the older: a map that loses its
 * oldest entry with each new one takes time in proportion to its size.
 */
export class RecentTexts<Value> {
  readonly #capacity: number;
  readonly #sizeOf: (text: string, value: Value) => number;
  #newer = new Map<string, Value>();
  #older = new Map<string, Value>();
  #size = 0;

  /**
   * @param capacity UTF-16 units that one half takes; as it is full it becomes the older one.
   * @param sizeOf UTF-16 units that an entry takes, where a value takes more than next to nothing.
   */
  constructor(
    capacity: number,
    sizeOf: (text: string, value: Value) => number = (text) => text.length,
  ) {
    this.#capacity = capacity;
    this.#sizeOf = sizeOf;
  }

  get(text: string): Value | undefined {
    const value = this.#newer.get(text);
    if (value !== undefined) return value;
    const old = this.#older.get(text);
    if (old !== undefined) this.set(text, old);
    return old;
  }

  set(text: string, value: Value): void {
    const size = this.#sizeOf(text, value);
    if (size > this.#capacity * largestPart) return;
    if (this.#size + size > this.#capacity) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#size = 0;
    }
    this.#newer.set(text, value);
    this.#size += size;
  }
}
