/**
 * The text of an answer on its way to the client.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { FenceStripper } from "./fence_stripper.ts";
import { AnswerFormat } from "./response_format.ts";
import { StopCutter } from "./stop_cutter.ts";
import { stopsOf } from "./stops.ts";
import { type Piece, ThinkSplitter } from "./think_splitter.ts";

/** Reads one answer's text: tells thoughts from words, cuts at stop sequences, checks documents. */
export class AnswerText {
  readonly #thoughts = new ThinkSplitter();
  readonly #cutter: StopCutter;
  readonly #format: AnswerFormat | undefined;
  readonly #fence: FenceStripper | undefined;
  #document = "";

  /** @param body The request in OpenAI's shape. */
  constructor(body: ChatBody) {
    this.#cutter = new StopCutter(stopsOf(body));
    this.#format = AnswerFormat.of(body);
    this.#fence = this.#format && new FenceStripper();
  }

  /** A stop sequence was found: the text is complete, whatever follows. */
  get stopped(): boolean {
    return this.#cutter.stopped;
  }

  /** The next piece; what may belong to a tag, a fence or a stop sequence is held back. */
  push(text: string): Piece {
    const { content, reasoning } = this.#thoughts.push(text);
    return { content: this.#say(content), reasoning };
  }

  /** What was held back, once the text is over. */
  end(): Piece {
    const { content, reasoning } = this.#thoughts.end();
    const said = this.#say(content);
    const left = this.#cutter.push(this.#fence?.end() ?? "") + this.#cutter.end();
    this.#document += left;
    return { content: said + left, reasoning };
  }

  /**
   * Checks the text that has gone out, after its end. One that was cut is no document any more.
   *
   * @throws {RouterError} `upstream_unavailable` where it is not the document that was asked for.
   */
  check(): void {
    this.#format?.check(this.#document);
  }

  #say(words: string): string {
    const said = this.#cutter.push(this.#fence?.push(words) ?? words);
    if (this.#format !== undefined) this.#document += said;
    return said;
  }
}
