/**
 * Strategies: how the targets of one priority are put in order. Each is a function of the targets and
 * of what is given to it, chance included.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Target } from "../model.ts";
import type { Traffic } from "./traffic.ts";

/** The strategies by name. */
export const strategyNames = [
  "priority",
  "weighted",
  "least-busy",
  "latency",
  "cheapest",
  "sticky",
] as const;

/** The name of a strategy. */
export type StrategyName = typeof strategyNames[number];

/** How often a target is tried first whose time is not known, or was long ago. */
const exploring = 1 / 20;

/** What is put in order. */
export interface Candidate {
  readonly target: Target;
  /** Its share beside the others. */
  readonly weight: number;
}

/** What strategies go by beside the targets themselves. */
export interface Circumstances {
  /** A number from 0, below 1. */
  random(): number;
  /** What goes on at the targets now. */
  readonly traffic: Pick<Traffic, "of">;
  /** Tokens that the request is expected to use. */
  readonly tokens: { readonly input: number; readonly output: number };
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
  /** Tells the request's conversation from all others. */
  conversation(): string;
}

type Strategy = <Each extends Candidate>(
  candidates: readonly Each[],
  circumstances: Circumstances,
) => Each[];

const strategies: Record<StrategyName, Strategy> = {
  "priority": (candidates) => [...candidates],

  // The first of clocks that ring at these rates (Efraimidis and Spirakis, 2006): each place goes by
  // weight among those that are left.
  "weighted": (candidates, { random }) =>
    sortBy(candidates, ({ weight }) => -Math.log(1 - random()) / weight),

  // Those with the same load go by chance and weight, so that idle ones share the work too.
  "least-busy": (candidates, circumstances) =>
    sortBy(
      strategies.weighted(candidates, circumstances),
      ({ target, weight }) => circumstances.traffic.of(target).running / weight,
    ),

  "latency": byLatency,

  "cheapest": (candidates, { tokens, currency }) =>
    sortBy(candidates, ({ target }) => costOf(target, tokens, currency)),

  // Rendezvous hashing: where a target comes or goes, only its own conversations move.
  "sticky": (candidates, { conversation }) => {
    const name = conversation();
    return sortBy(candidates, ({ target, weight }) => -Math.log(share(name, target)) / weight);
  },
};

/** Puts targets in order by a strategy. */
export function putInOrder<Each extends Candidate>(
  strategy: StrategyName,
  candidates: readonly Each[],
  circumstances: Circumstances,
): Each[] {
  return candidates.length < 2 ? [...candidates] : strategies[strategy](candidates, circumstances);
}

/** The quickest first token first, those of which nothing is known last. */
function byLatency<Each extends Candidate>(
  candidates: readonly Each[],
  { random, traffic }: Circumstances,
): Each[] {
  const time = ({ target }: Each) => traffic.of(target).firstTokenMs ?? Infinity;
  const ordered = sortBy(candidates, time);
  if (random() >= exploring) return ordered;
  // One that was slow once would never be measured again.
  const unknown = ordered.filter((each) => time(each) === Infinity);
  const chosen = pick(unknown.length > 0 ? unknown : ordered.slice(1), random());
  return [chosen, ...ordered.filter((each) => each !== chosen)];
}

/** What a request is expected to cost, in millionths of the currency; unknown is `Infinity`. */
function costOf(
  { facts: { price } }: Target,
  { input, output }: Circumstances["tokens"],
  currency: string,
): number {
  return price?.currency === currency ? input * price.input + output * price.output : Infinity;
}

function sortBy<Each>(list: readonly Each[], key: (each: Each) => number): Each[] {
  const keyed = list.map((each) => ({ each, key: key(each) }));
  return keyed.sort((a, b) => a.key === b.key ? 0 : a.key < b.key ? -1 : 1).map(({ each }) => each);
}

function pick<Each>(list: readonly Each[], chance: number): Each {
  return list[Math.floor(chance * list.length)]!;
}

/** A number above 0, below 1 that a conversation and a target always have together. */
function share(conversation: string, { provider, model }: Target): number {
  const digest = createHash("sha256").update(`${conversation} ${provider}/${model}`).digest();
  return (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
