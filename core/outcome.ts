/**
 * How an exchange ended, as the plugins learn it.
 *
 * @module
 */
import type { Flight } from "./flight.ts";
import type { Ending } from "./hand_over.ts";
import { priceIn } from "./ledger/charge.ts";
import type { Outcome } from "./plugin.ts";
import { costOf } from "./prices/price.ts";

/**
 * Makes the outcome of an exchange. It is frozen, with its usage and its error: no plugin's record
 * hangs on what another plugin does to it.
 *
 * @param currency ISO 4217 code of the accounts.
 */
export function outcomeOf({ x }: Flight, end: Ending, currency: string): Outcome {
  const attempt = x.answering ?? x.attempts.at(-1);
  const price = priceIn(currency, attempt?.target);
  const { error, usage, ...how } = end;
  return Object.freeze({
    ...how,
    ...error && { error: Object.freeze({ code: error.code, message: error.message }) },
    ...attempt && { attempt, target: attempt.target },
    ...usage && { usage: Object.freeze({ ...usage }) },
    ...usage && price && { cost: costOf(usage, price) },
    durationMs: performance.now() - x.startedTick,
  });
}
