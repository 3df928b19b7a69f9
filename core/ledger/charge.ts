/**
 * What an answer costs, in the currency of the accounts.
 *
 * @module
 */
import type { Target } from "../model.ts";
import type { Attempt } from "../plugin.ts";
import { costOf, type Price } from "../prices/price.ts";
import { readUsage, type WireUsage } from "../usage_report.ts";

/**
 * The price of a target if it is in the currency of the accounts: one in another says nothing about
 * what is charged.
 *
 * @param currency ISO 4217 code of the accounts.
 */
export function priceIn(currency: string, target: Target | undefined): Price | undefined {
  const price = target?.facts.price;
  return price?.currency === currency ? price : undefined;
}

/**
 * What tries cost that the exchange does not end with, in millionths of the currency; `null` where
 * one of them has no price.
 */
export function costOfTries(attempts: readonly Attempt[], currency: string): number | null {
  let sum = 0;
  for (const { usage, target, unanswered } of attempts) {
    if (usage === undefined || unanswered) continue;
    const price = priceIn(currency, target);
    if (price === undefined) return null;
    sum += costOf(usage, price);
  }
  return sum;
}

/**
 * Usage as the client reads it, with `cost` in units of the currency (OpenRouter's field): `null`
 * where no price is known, never 0 instead. What a vendor says of its own cost is left out.
 */
export function withCost(usage: WireUsage, price: Price | undefined): WireUsage {
  const used = readUsage(usage);
  const known = used !== undefined && price !== undefined;
  const { cost_details: _details, ...tokens } = usage;
  return { ...tokens as WireUsage, cost: known ? costOf(used, price) / 1_000_000 : null };
}
