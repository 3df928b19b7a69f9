/**
 * How many input tokens a vendor will report for those that were counted before the call.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import type { Target } from "../model.ts";

/** For models whose encoding is known, and for others until they have reported. */
const known = 1;
const unknown = 1.2;

/** Whatever a vendor reports, what is counted is held for at the least, and four times of it at most. */
const most = 4;

/**
 * Shorter prompts tell how much a vendor adds to each, such as words of its own; longer ones, how it
 * counts their tokens. Were they one, a greeting with 12 tokens added would double every hold.
 */
const long = 1_000;

/** Never more tokens than these are expected to be added to a prompt. */
const mostAdded = 1_000;

/** Quick to follow a higher report and slow to follow a lower one, so that most holds suffice. */
const rise = 0.5;
const fall = 0.02;

/** How many of the last records are read at start. */
const remembered = 2_000;

/** What is known of a model. */
interface Margin {
  /** Tokens for each that is counted; `undefined` until a long prompt has told. */
  readonly ratio: number | undefined;
  /** Tokens for each prompt. */
  readonly added: number;
}

/** Learns the margin of each model from what its vendor reports. */
export class Margins {
  readonly #margins = new Map<string, Margin>();

  /** Learns from the last records. Rejects when the database does. */
  async load(database: Client): Promise<void> {
    const { rows } = await database.execute({
      sql: `SELECT provider, model, input_tokens, counted_tokens FROM usage
        WHERE estimated = 0 AND counted_tokens > 0 AND model IS NOT NULL
        ORDER BY request_id DESC LIMIT ?`,
      args: [remembered],
    });
    for (const { provider, model, input_tokens, counted_tokens } of rows.toReversed()) {
      const target = { provider: String(provider), model: String(model), facts: {} };
      this.learn(target, Number(counted_tokens), Number(input_tokens));
    }
  }

  /** What a vendor is expected to report for so many counted tokens, never less. */
  expect(target: Target, counted: number): number {
    const { ratio, added } = this.#of(target);
    return Math.ceil(counted * ratio + added);
  }

  /** Takes a vendor's report on a prompt of which every token was counted. */
  learn(target: Target, counted: number, reported: number): void {
    if (counted <= 0 || reported <= 0) return;
    const id = idOf(target);
    const { ratio, added } = this.#of(target);
    this.#margins.set(
      id,
      counted < long
        ? {
          ratio: this.#margins.get(id)?.ratio,
          added: follow(added, reported - counted * ratio, 0, mostAdded),
        }
        : { ratio: follow(ratio, (reported - added) / counted, 1, most), added },
    );
  }

  #of(target: Target) {
    const { ratio = startOf(target), added = 0 } = this.#margins.get(idOf(target)) ?? {};
    return { ratio, added };
  }
}

function follow(value: number, report: number, least: number, most: number): number {
  const next = Math.min(most, Math.max(least, report));
  return value + (next - value) * (next > value ? rise : fall);
}

function idOf({ provider, model }: Target): string {
  return `${provider}/${model}`;
}

function startOf({ facts }: Target): number {
  return facts.encoding === undefined ? unknown : known;
}
