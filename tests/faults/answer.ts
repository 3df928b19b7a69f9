/**
 * The one answer that the fault lab's vendors give: the same sixty words, so that whoever reads it
 * can tell a whole answer from a cut one.
 *
 * @module
 */

/** The words. */
export const words: readonly string[] = (
  "a router is like a clerk who knows every door in the building when one of them is " +
  "locked he tries the next and tells nobody that he had to walk a little further what counts is " +
  "that the letter arrives once with every word in its place and that its postage was paid by the " +
  "one who sent it"
).split(" ");

/** All of them, as a client joins them. */
export const wholeText: string = words.map(withSpace).join("");

function withSpace(word: string, place: number): string {
  return place === 0 ? word : ` ${word}`;
}

/** What is the same in every event of an answer, and in an answer that is not streamed. */
export class Answer {
  readonly #model: string;
  readonly #promptTokens: number;

  /**
   * @param model The name in the answer: who answered.
   * @param promptTokens What the vendor counts for any prompt.
   */
  constructor(model: string, promptTokens: number) {
    this.#model = model;
    this.#promptTokens = promptTokens;
  }

  /** The event with the role and no word. */
  get role(): string {
    return this.#choice({ role: "assistant", content: "" });
  }

  /** The events of some words, by their places. */
  wordsOf(from: number, to: number = words.length): string[] {
    return words.slice(from, to).map((word, at) => this.text(withSpace(word, from + at)));
  }

  /** An event with a text. */
  text(content: string): string {
    return this.#choice({ content });
  }

  /** The event with the finish reason. */
  get finish(): string {
    return this.#choice({}, "stop");
  }

  /** The event with the usage. */
  get usage(): string {
    return event({ ...this.#head("chat.completion.chunk"), choices: [], usage: this.#used() });
  }

  /** All events, from a word on. */
  events(from = 0): string[] {
    return [this.role, ...this.wordsOf(from), this.finish, this.usage, done];
  }

  /** The answer as one JSON text. */
  whole(content: string = wholeText): string {
    const message = { role: "assistant", content };
    return JSON.stringify({
      ...this.#head("chat.completion"),
      choices: [{ index: 0, message, finish_reason: "stop" }],
      usage: this.#used(),
    });
  }

  #choice(delta: object, finish: string | null = null): string {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    return event({ ...this.#head("chat.completion.chunk"), choices });
  }

  #head(object: string) {
    return { id: "chatcmpl-lab", object, created: 1_750_000_000, model: this.#model };
  }

  #used() {
    const completion_tokens = words.length;
    const prompt_tokens = this.#promptTokens;
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

/** The terminator. */
export const done = "data: [DONE]\n\n";

/** An event of a stream. */
export function event(json: unknown): string {
  return `data: ${JSON.stringify(json)}\n\n`;
}
