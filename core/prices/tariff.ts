/**
 * Tariffs: a model's prices in order of time, each from a moment on until the next one's.
 *
 * @module
 */
import { z } from "zod";
import { readValue } from "../issues.ts";
import { isSamePrice, type Price, priceSchema } from "./price.ts";

/** A price as it is declared, with the day from which it holds. */
export interface DatedPrice extends Price {
  /** Its first day, which begins at 0:00 UTC: `2026-12-01`. Without it the price holds since ever. */
  readonly from?: string | undefined;
}

/** What a file says of a model's price: one price, or several in any order, each from its day on. */
export type DeclaredPrice = DatedPrice | readonly DatedPrice[];

/** A price and the moment from which it holds. */
export interface Step {
  /** Milliseconds since 1970; 0 stands for since ever. */
  readonly from: number;
  /** Absent where no price holds from then on. */
  readonly price: Price | undefined;
}

/** Steps in order of time, no two of one moment. */
export type Tariff = readonly Step[];

/** The schema of a day: `2026-12-01`. */
export const daySchema = z.iso.date({ error: "must be a day such as 2026-12-01" });

const datedPriceSchema = priceSchema.extend({ from: daySchema.optional() });

const datedPricesSchema = z.array(datedPriceSchema).min(1, "must hold a price").refine(
  (prices) => new Set(prices.map(({ from }) => from)).size === prices.length,
  'must not hold two prices with one "from"',
);

/** The schema of a {@linkcode DeclaredPrice}; what is wrong is told with its place in either form. */
export const declaredPriceSchema = z.unknown().transform((value, context): DeclaredPrice => {
  const schema = Array.isArray(value) ? datedPricesSchema : datedPriceSchema;
  const { value: price, issues } = readValue(schema, value);
  if (price !== undefined) return price;
  for (const { path, message } of issues) {
    context.issues.push({ code: "custom", path: [...path], message, input: value });
  }
  return z.NEVER;
});

/** The beginning of a day of {@linkcode daySchema} in UTC, in milliseconds since 1970. */
export function startOfDay(day: string): number {
  return Date.parse(`${day}T00:00:00Z`);
}

/** A declared price, which its schema has checked, as a tariff. */
export function toTariff(declared: DeclaredPrice): Tariff {
  return [declared].flat().map(({ from, ...price }) => ({
    from: from === undefined ? 0 : startOfDay(from),
    price,
  })).sort((a, b) => a.from - b.from);
}

/** The step that holds at a moment: the last one that has begun. */
export function stepAt<Any extends Step>(tariff: readonly Any[], now: number): Any | undefined {
  let i = tariff.length - 1;
  while (i >= 0 && tariff[i]!.from > now) i--;
  return tariff[i];
}

/**
 * A tariff after a step was added. A price takes the place of one with the same beginning, and leaves
 * what is planned after it. A step without a price ends all: what is planned after it, too.
 */
export function withStep(tariff: Tariff, step: Step): Tariff {
  const kept = tariff.filter(({ from }) =>
    step.price === undefined ? from < step.from : from !== step.from
  );
  return [...kept, step].sort((a, b) => a.from - b.from);
}

/**
 * The steps to add to a recorded tariff, in this order, so that it says from now on what another one
 * says. What it says of the past stays; one that is empty takes all of the other.
 *
 * @param wanted A tariff that knows a price in each step.
 * @param now Milliseconds since 1970.
 */
export function stepsToward(recorded: Tariff, wanted: Tariff, now: number): Step[] {
  if (recorded.length === 0) return [...wanted];
  const [said, price] = [recorded, wanted].map((each) => stepAt(each, now)?.price);
  const planned = recorded.filter(({ from }) => from > now);
  const wantedLater = wanted.filter(({ from }) => from > now);
  const isDropped = planned.some(({ from }) => wantedLater.every((step) => step.from !== from));
  const begun = price === undefined ? [] : [{ from: now, price }];
  if (isDropped || (said !== undefined && price === undefined)) {
    return [{ from: now, price: undefined }, ...begun, ...wantedLater];
  }
  const isPlanned = (step: Step) =>
    planned.some(({ from, price }) => from === step.from && isSamePrice(price, step.price));
  return [
    ...isSamePrice(said, price) ? [] : begun,
    ...wantedLater.filter((step) => !isPlanned(step)),
  ];
}
