/**
 * The text of an answer on its way to the client.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { AnswerFormat, withoutFence } from "./response_format.ts";
import { StopCutter } from "./stop_cutter.ts";
import { stopsOf } from "./stops.ts";
import { type Piece, ThinkSplitter } from "./think_splitter.ts";

/** Reads one answer's text: tells thoughts from words, cuts at stop sequences, checks documents. */
export class AnswerText {
  readonly #thoughts = new ThinkSplitter();
  readonly #cutter: StopCutter;
  readonly #format: AnswerFormat | undefined;
  #document = "";

  /** @param body The request in OpenAI's shape. */
  constructor(body: ChatBody) {
    this.#cutter = new StopCutter(stopsOf(body));
    this.#format = AnswerFormat.of(body);
  }

  /** A stop sequence was found: the text is complete, whatever follows. */
  get stopped(): boolean {
    return this.#cutter.stopped;
  }

  /** The next piece; what may belong to a tag or a stop sequence is held back. */
  push(text: string): Piece {
    const { content, reasoning } = this.#thoughts.push(text);
    return this.#pass({ content: this.#cutter.push(content), reasoning });
  }

  /** What was held back, once the text is over. */
  end(): Piece {
    const { content, reasoning } = this.#thoughts.end();
    return this.#pass({
      content: this.#cutter.push(content) + this.#cutter.end(),
      reasoning,
    });
  }

  /**
   * Checks the text that has gone out, after its end.
   *
   * @throws {RouterError} `upstream_unavailable` where it is not the document that was asked for.
   */
  check(): void {
    // A document that the client had cut is whole to nobody.
    if (!this.stopped) this.#format?.check(this.#document);
  }

  /** A whole text; a document comes without a Markdown fence. */
  whole(text: string): Piece {
    const first = this.push(text);
    const rest = this.end();
    const content = first.content + rest.content;
    if (this.#format !== undefined) this.#document = withoutFence(content);
    return {
      content: this.#format === undefined ? content : this.#document,
      reasoning: first.reasoning + rest.reasoning,
    };
  }

  #pass(piece: Piece): Piece {
    if (this.#format !== undefined) this.#document += piece.content;
    return piece;
  }
}
