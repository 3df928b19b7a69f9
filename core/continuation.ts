/**
 * Going on with an answer that broke off: what went out of it, what the next target is sent, and what
 * of its answer is new.
 *
 * @module
 */
import { type ChatBody, type ChatReply, reasonOf } from "./chat.ts";
import type { Chunk } from "./chunk.ts";
import { RouterError } from "./errors.ts";

/** What was said of an answer, as its providers said it. */
export class SaidSoFar {
  #text = "";
  #id: string | undefined;
  #onlyText = true;

  /** The words of the answer, its reasoning aside. */
  get text(): string {
    return this.#text;
  }

  /** The answer's id, as its first chunk has it. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Whether another target can go on: tool calls and several alternatives cannot be told apart. */
  get canGoOn(): boolean {
    return this.#onlyText && this.#text !== "";
  }

  /** Takes a chunk. */
  add({ json }: Chunk): void {
    if (json === undefined || !Array.isArray(json.choices)) return;
    if (typeof json.id === "string") this.#id ??= json.id;
    for (const { delta, ...choice } of json.choices.filter(Boolean)) {
      if (typeof delta?.content === "string") this.#text += delta.content;
      if (choice.index > 0 || reasonOf(choice) || callsTools(delta)) this.#onlyText = false;
    }
  }
}

/**
 * A request for the rest of an answer, to a target that goes on from its own last words.
 *
 * @param said The words that went out.
 * @param tokens How many tokens the answer has used, its thoughts too.
 */
export function withPrefill(body: ChatBody, said: string, tokens: number): ChatBody {
  const rest = (limit: number | null | undefined) =>
    limit == null ? limit : Math.max(1, limit - tokens);
  return {
    ...body,
    messages: [...body.messages, { role: "assistant", content: said }],
    ...(body.max_tokens != null && { max_tokens: rest(body.max_tokens) }),
    ...(body.max_completion_tokens != null && {
      max_completion_tokens: rest(body.max_completion_tokens),
    }),
  };
}

/** Keeps what is new of an answer that goes on from words that went out. */
export class Continuation {
  readonly #id: string | undefined;
  /** What the answer has to repeat, without white space, and how much of it has come. */
  readonly #repeated: string;
  #at = 0;
  /** Signs of white space that went out last, and are still to be dropped. */
  #blanks: number;

  /**
   * @param said What was said.
   * @param afresh The target begins anew: what it repeats is dropped.
   */
  constructor({ id, text }: SaidSoFar, afresh: boolean) {
    this.#id = id;
    this.#repeated = afresh ? text.replace(/\s+/g, "") : "";
    this.#blanks = afresh ? text.length - text.trimEnd().length : 0;
  }

  /** @throws {RouterError} `upstream_unavailable` while the answer has not come to its own words. */
  mayEnd(): void {
    if (this.#at < this.#repeated.length) throw differs();
  }

  /**
   * Takes a chunk, and leaves of it what is new.
   *
   * @returns Whether something is.
   * @throws {RouterError} `upstream_unavailable` when the answer is not the one that broke off.
   */
  keep(chunk: Chunk): boolean {
    const { json } = chunk;
    if (json === undefined || !Array.isArray(json.choices) || json.choices.length === 0) {
      return true;
    }
    const choices = json.choices.filter(Boolean).map((choice) => this.#rest(choice));
    const isNew = choices.some((choice) =>
      reasonOf(choice) || Object.keys(choice.delta ?? {}).length > 0
    );
    const reply: ChatReply = { ...json, choices };
    if (this.#id !== undefined) reply.id = this.#id;
    chunk.replace(reply);
    return isNew;
  }

  #rest(choice: ChatReply["choices"][number]): ChatReply["choices"][number] {
    // The beginning had its own role and its own reasoning.
    const { role: _role, reasoning_content: _thoughts, reasoning: _more, content, ...delta } =
      choice.delta ?? {};
    const isRepeating = this.#at < this.#repeated.length;
    const rest = typeof content === "string" ? this.#new(content) : "";
    if (reasonOf(choice) || callsTools(delta)) this.mayEnd();
    return {
      ...choice,
      delta: isRepeating && rest === "" ? {} : { ...delta, ...(rest !== "" && { content: rest }) },
    };
  }

  #new(content: string): string {
    let from = 0;
    for (; from < content.length && this.#at < this.#repeated.length; from++) {
      const sign = content[from]!;
      if (/\s/.test(sign)) continue;
      if (sign !== this.#repeated[this.#at]) throw differs();
      this.#at++;
    }
    if (this.#at < this.#repeated.length) return "";
    while (this.#blanks > 0 && from < content.length) {
      this.#blanks = /\s/.test(content[from]!) ? this.#blanks - 1 : 0;
      if (/\s/.test(content[from]!)) from++;
    }
    return content.slice(from);
  }
}

function callsTools(delta: ChatReply["choices"][number]["delta"]): boolean {
  return Boolean(delta?.tool_calls?.length || delta?.function_call);
}

/** The `detail` of an answer that is not the one that broke off: asked again, it would be no better. */
export const anotherAnswer = "another answer";

function differs(): RouterError {
  const reason = "The provider that was asked to go on began another answer";
  return new RouterError("upstream_unavailable", reason, { detail: anotherAnswer });
}
