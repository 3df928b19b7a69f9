/**
 * The cases: which fault, what is asked, and what a full pass needs.
 *
 * @module
 */
import type { BreakPolicy } from "../../core/plugin.ts";
import {
  answeredByFallback,
  askedAtMost,
  askedExactly,
  atFirst,
  backWithin,
  errorIsNot,
  noFallback,
  probesAtMost,
  waitsFor,
  within,
} from "./checks.ts";
import { inEachMode } from "./each_mode.ts";
import { extraCases } from "./extra_cases.ts";
import type { Demands } from "./judge.ts";

/** One case. */
export interface FaultCase extends Demands {
  /** 1 to 16 in the public catalogue; the further ones follow. */
  readonly number: number;
  /** What is wrong with the vendor, in a line. */
  readonly fault: string;
  /** The failing provider's model, whose name is the fault. */
  readonly model: string;
  /** The fallback's model; `well` where absent. */
  readonly fallback?: string;
  /** Asked for as a stream; so it is where absent. */
  readonly stream?: false;
  /** What the request asks for when a stream breaks off. */
  readonly onBreak?: BreakPolicy;
  /** Several calls. */
  readonly repeat?: Repeat;
  /** Where the failing provider is, if not at the lab's vendor. */
  readonly address?: "tls" | "nowhere";
  /** By how many milliseconds the program's clock jumps while the answer runs. */
  readonly clockJump?: number;
  /** Milliseconds after which the caller takes it for hanging. */
  readonly patienceMs?: number;
  /** It takes so much of the processor that nothing else should run beside it. */
  readonly heavy?: true;
}

/** Calls at even distances, and further ones until the failing provider answers again. */
export interface Repeat {
  readonly calls: number;
  /** Milliseconds between two of them. */
  readonly everyMs: number;
  /** Milliseconds for which the provider is down. */
  readonly outageMs: number;
  /** Milliseconds after that at which nobody waits for it any longer, at any pace. */
  readonly backMs: number;
  /** The pace of the short form: a provider's breaker keeps to its own time. */
  readonly shortPace: number;
}

/** A case's name: its number, and how the request wants a broken stream treated. */
export function nameOf({ number, onBreak }: FaultCase): string {
  return onBreak === undefined ? `${number}` : `${number} ${onBreak}`;
}

const sixteen: readonly FaultCase[] = [
  {
    number: 1,
    fault: "429 with `Retry-After: 2` once",
    model: "busy-once",
    required: [waitsFor(1_800), atFirst(2, 1_500)],
    advisory: [askedExactly(2)],
  },
  {
    number: 2,
    fault: "429 for ever",
    model: "busy",
    // Backoff runs at its own pace, so that no shorter time may be looked at.
    required: [askedAtMost(6), (evidence) => atFirst(4, 3_000)({ ...evidence, pace: 1 })],
    advisory: [answeredByFallback],
  },
  { number: 3, fault: "500 once", model: "fails-once", advisory: [askedExactly(2), noFallback] },
  {
    number: 4,
    fault: "503 for ever",
    model: "unavailable",
    required: [askedAtMost(6)],
    advisory: [answeredByFallback],
  },
  { number: 5, fault: "reset before any byte, once", model: "reset-once" },
  {
    number: 6,
    fault: "accepts and never answers",
    model: "silent",
    required: [within(100_000), askedExactly(1)],
    patienceMs: 125_000,
  },
  {
    number: 7,
    fault: "headers at once, first token after 20 s",
    model: "late-token",
    advisory: [within(15_000), answeredByFallback],
    patienceMs: 60_000,
  },
  ...inEachMode({
    number: 8,
    fault: "dies after 40 of 60 words",
    model: "breaks-off",
  }),
  ...inEachMode({
    number: 9,
    fault: "20 words, 30 s of silence, closed",
    model: "stalls",
    required: [within(45_000)],
    patienceMs: 60_000,
  }),
  { number: 10, fault: "the tenth event is not JSON", model: "bad-event" },
  {
    number: 11,
    fault: "complete without `[DONE]`",
    model: "no-done",
    required: [within(8_000)],
  },
  {
    number: 12,
    fault: "400 `context_length_exceeded`",
    model: "small-context",
    required: [askedExactly(1)],
  },
  {
    number: 13,
    fault: "400 `content_policy_violation`",
    model: "refuses-content",
    required: [askedExactly(1)],
    advisory: [noFallback],
    refusal: "content_filter",
  },
  ...inEachMode({
    number: 14,
    fault: "as 8, and the fallback takes no prefill",
    model: "breaks-off",
    fallback: "no-prefill",
    required: [errorIsNot(/prefill/)],
  }),
  {
    number: 15,
    fault: "503 for 60 s, then well; twenty calls",
    model: "flapping",
    repeat: { calls: 20, everyMs: 4_000, outageMs: 60_000, backMs: 30_000, shortPace: 0.06 },
    required: [backWithin(60_000, 30_000)],
    advisory: [probesAtMost(20, 60_000)],
  },
  {
    number: 16,
    fault: "503 for ever, for the accounts",
    model: "unavailable",
    required: [answeredByFallback],
  },
];

/** All of them. */
export const cases: readonly FaultCase[] = [...sixteen, ...extraCases];
