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
  /** Tokens of the prompt that came from the provider's cache; the same as `input` if absent. */
  readonly cached?: number | undefined;
}

/**
 * The cost of an exchange in millionths of the price's currency, rounded once.
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
  return Math.round(
    (usage.input - cached) * price.input + cached * (price.cached ?? price.input) +
      usage.output * price.output,
  );
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
