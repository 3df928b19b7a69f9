/**
 * An answer under way: the parts that targets gave of it, and what they used and cost.
 *
 * @module
 */
import type { Attempts } from "./attempts.ts";
import { isChat } from "./body.ts";
import { countTexts } from "./bounded_count.ts";
import { Continuation, SaidSoFar, withPrefill } from "./continuation.ts";
import type { RouterError } from "./errors.ts";
import type { Flight } from "./flight.ts";
import { defaultEncoding } from "./input_tokens.ts";
import { costOfTries, priceIn, withCost } from "./ledger/charge.ts";
import type { Usage } from "./plugin.ts";
import type { Part } from "./relay.ts";
import { loadTokenizer } from "./tokens.ts";
import type { BegunAnswer } from "./try.ts";
import { addUsage, toWire, type WireUsage } from "./usage_report.ts";

/** An answer of providers. */
export class Answer {
  readonly #flight: Flight;
  readonly #attempts: Attempts;
  readonly #currency: string;
  /** What parts used that broke off, and were gone on from. */
  readonly #earlier: Usage[] = [];
  /** Output tokens of those from whose words the last one goes on. */
  #output = 0;
  #begun: BegunAnswer;
  /** What was said, where another target may go on from it. */
  readonly said: SaidSoFar | undefined;

  /**
   * @param begun Its first part.
   * @param attempts Asks for the rest if it breaks off.
   * @param options `currency`: the accounts'; `continues`: others may go on from it.
   */
  constructor(
    flight: Flight,
    begun: BegunAnswer,
    attempts: Attempts,
    { currency, continues }: { currency: string; continues: boolean },
  ) {
    this.#flight = flight;
    this.#attempts = attempts;
    this.#currency = currency;
    this.#begun = begun;
    this.said = continues ? new SaidSoFar() : undefined;
    flight.x.answering = begun.attempt;
  }

  /** The part that is being read. */
  get begun(): BegunAnswer {
    return this.#begun;
  }

  /** Tokens of the last part. */
  usage(): Usage | Promise<Usage> {
    const { tally, attempt } = this.#begun;
    return tally.usage(() => this.#flight.inputOf(attempt), attempt.cached);
  }

  /** What the client reads of the usage: all parts together. */
  async report(): Promise<WireUsage> {
    const { reported } = this.#begun.tally;
    return this.priced(reported ?? toWire(await this.usage(), isChat(this.#flight.x.body)));
  }

  /** The last part's usage as the client reads it: with that of the others, and what all cost. */
  priced(report: WireUsage): WireUsage {
    const { attempts } = this.#flight.x;
    const { attempt } = this.#begun;
    const own = withCost(report, priceIn(this.#currency, attempt.target));
    if (attempts.length === 1) return own;
    const others = costOfTries(attempts, this.#currency);
    const cost = own.cost === null || others === null
      ? null
      : (Math.round(own.cost as number * 1e6) + others) / 1e6;
    return { ...this.#earlier.reduce(addUsage, own), cost };
  }

  /** Ends it before any of it goes out. */
  discard(error: RouterError): void {
    const { over, deadline, upstream } = this.#begun;
    over(error);
    deadline.stop();
    void upstream.cancel();
  }

  /** Asks others to go on. @returns Their part; `undefined` when nobody does. */
  async goOn(error: RouterError): Promise<Part | undefined> {
    const { said } = this;
    const { body } = this.#flight.x;
    if (!said?.canGoOn || !isChat(body) || (body.n ?? 1) > 1) return undefined;
    // What a plugin refuses, or crashes on, is no fault of the provider's.
    const isCut = ["upstream_unavailable", "timeout", "provider_failed"].includes(error.code);
    if (!isCut || this.#flight.unwanted) return undefined;
    const broken = this.#begun;
    broken.over(error);
    const used = await this.usage();
    broken.attempt.usage = used;
    const output = this.#output + used.output;
    const rest = await this.#attempts.goOn(error, async ({ facts }) => {
      if (!facts.prefill) return [{ body }];
      const tokenizer = await loadTokenizer(facts.encoding ?? defaultEncoding);
      const { tokens: prefilled, exact } = await countTexts([said.text], tokenizer);
      if (!exact) this.#flight.x.state.extrapolated = true;
      return [{ body: withPrefill(body, said.text, output), prefilled }, { body }];
    });
    if (rest === undefined) return undefined;
    const { begun } = rest;
    this.#earlier.push(used);
    // What begins anew says all of it again.
    this.#output = rest.body === body ? 0 : output;
    this.#begun = begun;
    this.#flight.x.answering = begun.attempt;
    const continuation = new Continuation(said, rest.body === body);
    return {
      ...begun,
      keep: (chunk) => continuation.keep(chunk),
      mayEnd: () => continuation.mayEnd(),
    };
  }
}
