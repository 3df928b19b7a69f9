/**
 * The series of one model, found once: finding them costs more than writing to them.
 *
 * @module
 */
import type { Usage } from "xrouter/plugin";
import type { Instruments } from "./instruments.ts";
import type { Write } from "./sinks.ts";

/** Writes what concerns one model of one provider. */
export class ModelSeries {
  readonly #to: Instruments;
  readonly #model: readonly [operation: string, provider: string, model: string];
  readonly #currency: string;
  readonly #duration: Write;
  readonly #firstToken: Write;
  readonly #inputTokens: Write;
  readonly #outputTokens: Write;
  readonly #cachedTokens: Write;
  readonly #estimatedAnswers: Write;
  readonly #unpricedAnswers: Write;
  #cost: Write | undefined;

  /**
   * @param to The instruments.
   * @param model Values of the three labels that name a model.
   * @param currency ISO 4217 code of the accounts.
   */
  constructor(
    to: Instruments,
    model: readonly [operation: string, provider: string, model: string],
    currency: string,
  ) {
    this.#to = to;
    this.#model = model;
    this.#currency = currency;
    this.#duration = to.duration(...model, undefined);
    this.#firstToken = to.firstToken(...model);
    this.#inputTokens = to.tokens(...model, "input");
    this.#outputTokens = to.tokens(...model, "output");
    this.#cachedTokens = to.cachedTokens(...model);
    this.#estimatedAnswers = to.estimatedAnswers(...model);
    this.#unpricedAnswers = to.unpricedAnswers(...model);
  }

  /**
   * @param ms Milliseconds from the request to the last byte.
   * @param error Why the answer is not complete.
   */
  recordDuration(ms: number, error: string | undefined): void {
    const write = error === undefined ? this.#duration : this.#to.duration(...this.#model, error);
    write(ms / 1000);
  }

  /** @param ms Milliseconds from the request to the first chunk. */
  recordFirstToken(ms: number): void {
    this.#firstToken(ms / 1000);
  }

  /**
   * @param usage Tokens of the answer.
   * @param cost Millionths of the accounts' currency, where a price is known.
   */
  recordUsage(usage: Usage, cost: number | undefined): void {
    this.#inputTokens(usage.input);
    this.#outputTokens(usage.output);
    this.#cachedTokens(usage.cached);
    if (usage.estimated) this.#estimatedAnswers(1);
    if (cost === undefined) return this.#unpricedAnswers(1);
    // Opened by the first known cost: an unknown one must not look like 0.
    this.#cost ??= this.#to.cost(...this.#model, this.#currency);
    this.#cost(cost);
  }
}
