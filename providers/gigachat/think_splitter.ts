/**
 * Thoughts that some models put before their answer, between `<think>` and `</think>`.
 *
 * @module
 */

/** A piece of an answer. */
export interface Piece {
  /** What is said. */
  content: string;
  /** What is thought. */
  reasoning: string;
}

const opening = "<think>";
const closing = "</think>";

/**
 * Tells thoughts and answer apart, however the text is cut into pieces. Only an answer that begins
 * with the tag has thoughts: later on it is part of what is said. White space before the first tag
 * and after the last goes.
 */
export class ThinkSplitter {
  #state: "before" | "inside" | "after" | "answer" = "before";
  #held = "";

  /** The next piece of the text. */
  push(text: string): Piece {
    this.#held += text;
    const piece: Piece = { content: "", reasoning: "" };
    if (this.#state === "before") this.#readBefore();
    if (this.#state === "inside") this.#readInside(piece);
    if (this.#state === "after") {
      this.#held = this.#held.trimStart();
      if (this.#held !== "") this.#state = "answer";
    }
    if (this.#state === "answer") piece.content = this.#release(this.#held.length);
    return piece;
  }

  /** What was held back, once the text is over. */
  end(): Piece {
    const rest = this.#release(this.#held.length);
    return this.#state === "inside"
      ? { content: "", reasoning: rest }
      : { content: rest, reasoning: "" };
  }

  #readBefore(): void {
    const begun = this.#held.trimStart();
    if (begun.startsWith(opening)) {
      this.#held = begun.slice(opening.length);
      this.#state = "inside";
    } else if (!opening.startsWith(begun)) this.#state = "answer";
  }

  #readInside(piece: Piece): void {
    const at = this.#held.indexOf(closing);
    if (at >= 0) {
      piece.reasoning = this.#release(at);
      this.#held = this.#held.slice(closing.length);
      this.#state = "after";
    } else piece.reasoning = this.#release(this.#held.length - this.#closingBegun());
  }

  /** How many characters at the end may be the beginning of the closing tag. */
  #closingBegun(): number {
    let length = Math.min(closing.length - 1, this.#held.length);
    while (!closing.startsWith(this.#held.slice(this.#held.length - length))) length--;
    return length;
  }

  #release(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }
}
