/**
 * Stop sequences, which GigaChat does not know: the answer is cut before the first of them.
 *
 * @module
 */

/**
 * Cuts a text before the first stop sequence in it, however the text is cut into pieces. What may
 * be the beginning of a sequence is held back until that is known.
 */
export class StopCutter {
  readonly #searches: Search[];
  #held = "";
  /** Characters that were let through. */
  #passed = 0;
  /** The text is over: a sequence was found. */
  stopped = false;

  /** @param stops The sequences; empty ones are left out. */
  constructor(stops: readonly string[]) {
    this.#searches = stops.filter((stop) => stop !== "").map((stop) => new Search(stop));
  }

  /** The next piece of the text. @returns What of the text is certain to stay. */
  push(text: string): string {
    if (this.stopped) return "";
    this.#held += text;
    for (const search of this.#searches) search.push(text);
    return this.#release(Math.min(...this.#searches.map(({ begun }) => begun)));
  }

  /** What was held back, once the text is over. */
  end(): string {
    return this.#release(Infinity);
  }

  /** @param open Where the first sequence that has begun, and may yet be found, begins. */
  #release(open: number): string {
    const found = Math.min(...this.#searches.map(({ found }) => found));
    this.stopped ||= found <= open && found < Infinity;
    const length = Math.min(found, open) - this.#passed;
    const text = this.#held.slice(0, length);
    this.#held = this.stopped ? "" : this.#held.slice(text.length);
    this.#passed += text.length;
    return text;
  }
}

/** Looks for the first place of one sequence (Knuth, Morris and Pratt 1977). */
class Search {
  readonly #word: string;
  /** For each length of a match, the longest shorter one that ends in the same place. */
  readonly #shorter: number[] = [0];
  #read = 0;
  #matched = 0;
  /** Where it was found; infinite until then. */
  found = Infinity;

  constructor(word: string) {
    this.#word = word;
    let length = 0;
    for (let at = 1; at < word.length; at++) {
      while (length > 0 && word[at] !== word[length]) length = this.#shorter[length - 1]!;
      if (word[at] === word[length]) length++;
      this.#shorter.push(length);
    }
  }

  /** Where the longest part of it that ends the text begins: there it may yet be found. */
  get begun(): number {
    return this.found < Infinity ? Infinity : this.#read - this.#matched;
  }

  push(text: string): void {
    for (let at = 0; at < text.length && this.found === Infinity; at++) {
      while (this.#matched > 0 && text[at] !== this.#word[this.#matched]) {
        this.#matched = this.#shorter[this.#matched - 1]!;
      }
      if (text[at] === this.#word[this.#matched]) this.#matched++;
      this.#read++;
      if (this.#matched === this.#word.length) this.found = this.#read - this.#matched;
    }
  }
}
