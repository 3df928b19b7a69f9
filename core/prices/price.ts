/**
 * What tokens cost.
 *
 * Prices are written as vendors print them, in units of a currency per million tokens; amounts are
 * whole millionths of that currency. A price of 65 roubles per million tokens is therefore 65
 * millionths of a rouble per token, and the arithmetic needs no factor.
 *
 * @module
 */
import { z } from "zod";

/** Below a thousand million, millionths are exact. */
const amount = z.number().nonnegative().max(1_000_000_000);

/**
 * The most that one request costs or is held for, in millionths, ten million units: nine hundred such
 * requests still add up to a number that is exact (2^53), as all sums of the ledger have to be.
 */
export const mostCost = 10_000_000_000_000;

/** The schema of a {@linkcode Price}. */
export const priceSchema = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as "RUB"'),
  input: amount,
  output: amount,
  cached: amount.optional(),
});

/** The price of one model, in units of `currency` per million tokens. */
export interface Price {
  /** ISO 4217 code: `RUB`. */
  readonly currency: string;
  /** Tokens of the prompt. */
  readonly input: number;
  /** Tokens of the answer. */
  readonly output: number;
  /** Tokens of the prompt that came from the provider's cache; if absent, none where the vendor bills none, else as `input`. */
  readonly cached?: number | undefined;
}

/**
 * The cost of an exchange in millionths of the price's currency, rounded once; never more than
 * {@linkcode mostCost}.
 *
 * @param usage Tokens; `cached` is a part of `input`.
 *
 * @example GigaChat-2: 65 roubles per million, cached tokens free
 * ```ts
 * import { costOf } from "./price.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const price = { currency: "RUB", input: 65, output: 65, cached: 0 };
 * assertEquals(costOf({ input: 19, output: 3, cached: 2 }, price), 1300);
 * ```
 */
export function costOf(
  usage: { input: number; output: number; cached: number },
  price: Price,
): number {
  const cached = Math.min(usage.cached, usage.input);
  const parts = [
    [usage.input - cached, toMillionths(price.input)],
    [cached, toMillionths(price.cached ?? price.input)],
    [usage.output, toMillionths(price.output)],
  ] as const;
  // Whole units and the rest apart: no product is too large, and nothing is lost to fractions.
  let units = 0;
  let rest = 0;
  for (const [tokens, millionths] of parts) {
    units += tokens * Math.floor(millionths / 1_000_000);
    rest += tokens * (millionths % 1_000_000);
  }
  return Math.min(mostCost, units + Math.floor((rest + 500_000) / 1_000_000));
}

/**
 * The arithmetic of {@linkcode costOf} in SQL, for a row with its tokens and prices; `NULL` where
 * one of them is.
 *
 * @param cached SQL for the tokens that came from the cache.
 */
export function costSql(cached: string): string {
  const cachedTokens = `min(${cached}, input_tokens)`;
  const sum = (part: string) =>
    [
      `(input_tokens - ${cachedTokens}) * (price_input ${part})`,
      `${cachedTokens} * (price_cached ${part})`,
      `output_tokens * (price_output ${part})`,
    ].join(" + ");
  return `min(${mostCost}, ${sum("/ 1000000")} + (${sum("% 1000000")} + 500000) / 1000000)`;
}

/** A price as whole millionths of its currency per million tokens, as records keep it. */
export function toMillionths(price: number): number {
  return Math.round(price * 1_000_000);
}

/** Whether two prices are the same to the millionth; so are two that are absent. */
export function isSamePrice(a: Price | undefined, b: Price | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.currency === b.currency && toMillionths(a.input) === toMillionths(b.input) &&
    toMillionths(a.output) === toMillionths(b.output) &&
    toMillionths(a.cached ?? a.input) === toMillionths(b.cached ?? b.input);
}
