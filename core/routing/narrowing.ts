/**
 * OpenRouter's `provider` object: how a client narrows the targets of its request, and puts them in
 * another order. It never adds one.
 *
 * @module
 */
import { z } from "zod";
import type { Target } from "../model.ts";
import { type Candidate, type Circumstances, putInOrder } from "./strategies.ts";

const nameError = "must be a list of at most 32 names of providers, or of provider/model";
const names = z.array(
  z.string({ error: nameError }).min(1, nameError).max(256, nameError),
  { error: nameError },
).max(32, nameError).nullish();
const flag = z.boolean({ error: "must be true or false" }).nullish();
const amountError = "must be a number, the price of a million tokens";
const amount = z.number({ error: amountError }).nonnegative(amountError).nullish();

/** Refuses what is no object, and fields that are not known, by name. */
function closed(shape: string, known: readonly string[]): { error: z.core.$ZodErrorMap } {
  const list = known.map((name) => `"${name}"`).join(", ");
  return {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `has unknown fields: ${issue.keys.map((key) => `"${key}"`).join(", ")}. Known: ${list}`
        : `must be an object such as ${shape}`,
  };
}

const maxPrice = { prompt: amount, completion: amount };

const fields = {
  order: names,
  only: names,
  ignore: names,
  allow_fallbacks: flag,
  // What a vendor cannot keep, XROUTER_UNSUPPORTED treats, whoever is asked.
  require_parameters: flag,
  sort: z.enum(["price", "latency"], {
    error: ({ input }) =>
      input === "throughput"
        ? 'must be "price" or "latency": nobody measures throughput here'
        : 'must be "price" or "latency"',
  }).nullish(),
  max_price: z.strictObject(
    maxPrice,
    closed('{"prompt":100,"completion":200}', Object.keys(maxPrice)),
  ).nullish(),
};

/** The schema of {@linkcode Narrowing}. */
export const narrowingSchema = z.strictObject(
  fields,
  closed('{"only":["gigachat"]}', Object.keys(fields)),
).nullish();

/** The object, checked. */
export type Narrowing = NonNullable<z.output<typeof narrowingSchema>>;

/** Why a client does not want a target, in words that follow its name; `undefined` where it does. */
export function unwanted(
  { only, ignore, max_price: most }: Narrowing,
  target: Target,
  currency: string,
): string | undefined {
  if (only && !only.some((name) => isNamed(target, name))) return 'is not in "provider.only"';
  if (ignore?.some((name) => isNamed(target, name))) return 'is in "provider.ignore"';
  if (most?.prompt == null && most?.completion == null) return undefined;
  const { price } = target.facts;
  if (price?.currency !== currency) {
    return `has no price in ${currency} to hold "max_price" against`;
  }
  return price.input > (most.prompt ?? Infinity) || price.output > (most.completion ?? Infinity)
    ? 'costs more than "provider.max_price"'
    : undefined;
}

/**
 * Puts targets in the order that a client wants: by `sort`, and those of `order` before all others.
 *
 * @returns Those to ask, and those that are cut off because there shall be no fallbacks.
 */
export function arrange<Each extends Candidate>(
  { order, sort, allow_fallbacks: fallbacks }: Narrowing,
  candidates: readonly Each[],
  circumstances: Circumstances,
): { kept: Each[]; cut: Each[] } {
  // A client that asks for an order gets it each time: nothing is tried out.
  const sorted = sort == null
    ? [...candidates]
    : putInOrder(sort === "price" ? "cheapest" : "latency", candidates, {
      ...circumstances,
      random: () => 1,
    });
  const place = ({ target }: Each) => {
    const found = (order ?? []).findIndex((name) => isNamed(target, name));
    return found < 0 ? Infinity : found;
  };
  if (order?.length) {
    sorted.sort((a, b) => place(a) === place(b) ? 0 : place(a) - place(b));
  }
  if (fallbacks !== false) return { kept: sorted, cut: [] };
  // As at OpenRouter: those that are named, where some are, or else the first alone.
  const stays = (each: Each, at: number) => order?.length ? place(each) < Infinity : at === 0;
  return {
    kept: sorted.filter(stays),
    cut: sorted.filter((each, at) => !stays(each, at)),
  };
}

/** Whether a name is that of a target's provider, or its own. */
function isNamed({ provider, model }: Target, name: string): boolean {
  return name === provider || name === `${provider}/${model}`;
}
