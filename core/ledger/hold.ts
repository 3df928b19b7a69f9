/**
 * How much is held for a request before a provider is asked.
 *
 * @module
 */
import { askedOutput, type Body, isChat } from "../body.ts";
import type { Target } from "../model.ts";
import { mostCost, type Price } from "../prices/price.ts";

/** Output tokens that are held for where neither the client nor the model says how many there may be. */
const unknownOutput = 4_096;

/** Fewer output tokens than these are no answer: rather refuse than cut it so short. */
const leastOutput = 16;

/** What a request may use at most. */
export interface Bounds {
  /** Input tokens, as the vendor is expected to report them. */
  readonly input: number;
  /** Output tokens of all alternatives together. */
  readonly output: number;
  /** Alternatives. */
  readonly choices: number;
  /** The client has said how many output tokens it wants, so that nobody else may. */
  readonly asked: boolean;
  /** Nobody has said how many output tokens there may be: the vendor would not stop by itself. */
  readonly assumed: boolean;
}

/**
 * What a request may use at most.
 *
 * @param counted Input tokens as counted.
 * @param input Those that the vendor is expected to report.
 */
export function boundsOf(
  body: Body,
  { facts }: Target,
  counted: number,
  input: number,
): Bounds {
  if (!isChat(body)) return { input, output: 0, choices: 1, asked: true, assumed: false };
  const asked = askedOutput(body);
  const room = facts.context === undefined ? undefined : Math.max(1, facts.context - counted);
  const most = facts.maxOutput ?? room ?? unknownOutput;
  const each = asked === undefined ? most : Math.min(asked, facts.maxOutput ?? Infinity);
  const choices = body.n ?? 1;
  const assumed = asked === undefined && facts.maxOutput === undefined && room === undefined;
  return { input, output: each * choices, choices, asked: asked !== undefined, assumed };
}

/** The amount to hold, in millionths of the currency; never rounded down. */
export function amountOf({ input, output }: Bounds, price: Price): number {
  const full = Math.ceil(input * Math.max(price.input, price.cached ?? 0) + output * price.output);
  return Math.min(full, mostCost);
}

/**
 * The output tokens of each alternative that `room` millionths still pay for; `undefined` where the
 * client has chosen itself, or where it would be too little to answer.
 */
export function affordableOutput(bounds: Bounds, price: Price, room: number): number | undefined {
  if (bounds.asked || price.output === 0) return undefined;
  const rest = room - bounds.input * Math.max(price.input, price.cached ?? 0);
  const each = Math.floor(rest / price.output / bounds.choices);
  return each >= leastOutput ? each : undefined;
}
