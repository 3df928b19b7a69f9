/**
 * How many tokens a vendor reports for each that was counted before the call.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import type { Target } from "../model.ts";

/** For models whose encoding is known, and for others until they have reported. */
const known = 1;
const unknown = 1.2;

/** Whatever a vendor reports, a hold is never less than half and never more than four times. */
const least = 0.5;
const most = 4;

/** Quick to follow a higher report and slow to follow a lower one, so that most holds suffice. */
const rise = 0.5;
const fall = 0.02;

/** How many of the last records are read at start. */
const remembered = 2_000;

/** Learns the margin of each model from what its vendor reports. */
export class Margins {
  readonly #margins = new Map<string, number>();

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

  /** What to expect for each counted token. */
  of(target: Target): number {
    return this.#margins.get(idOf(target)) ?? startOf(target);
  }

  /** Takes a vendor's report. */
  learn(target: Target, counted: number, reported: number): void {
    if (counted <= 0 || reported <= 0) return;
    const ratio = Math.min(most, Math.max(least, reported / counted));
    const margin = this.of(target);
    const next = margin + (ratio - margin) * (ratio > margin ? rise : fall);
    this.#margins.set(idOf(target), next);
  }
}

function idOf({ provider, model }: Target): string {
  return `${provider}/${model}`;
}

function startOf({ facts }: Target): number {
  return facts.encoding === undefined ? unknown : known;
}
