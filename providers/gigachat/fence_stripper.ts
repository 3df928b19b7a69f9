/**
 * The Markdown fence that models like to put around JSON documents.
 *
 * @module
 */

/** Takes the fence off a document, however it is cut into pieces. Without a fence it stays as it is. */
export class FenceStripper {
  #state: "before" | "inside" | "bare" = "before";
  #held = "";

  /** The next piece of the text; what may belong to the fence is held back. */
  push(text: string): string {
    this.#held += text;
    if (this.#state === "before") this.#readBefore();
    if (this.#state === "before") return "";
    return this.#release(this.#state === "bare" ? this.#held.length : this.#closingBegun());
  }

  /** What was held back, once the text is over. */
  end(): string {
    const words = this.#held.trimEnd();
    const isClosed = this.#state === "inside" && words.endsWith("```");
    const rest = this.#release(this.#held.length);
    return isClosed ? words.slice(0, -"```".length).trimEnd() : rest;
  }

  #readBefore(): void {
    const begun = this.#held.trimStart();
    const fence = /^```\w*[ \t]*\r?\n/.exec(begun);
    if (fence !== null) {
      this.#held = begun.slice(fence[0].length);
      this.#state = "inside";
    } else if (!/^(`{0,2}|```\w*[ \t]*\r?)$/.test(begun)) this.#state = "bare";
  }

  /** Where the end begins that may be the closing fence: white space, and ticks among it. */
  #closingBegun(): number {
    const words = this.#held.trimEnd();
    let at = words.length;
    while (words[at - 1] === "`" && words.length - at < 3) at--;
    return words.slice(0, at).trimEnd().length;
  }

  #release(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }
}
