/**
 * What the cases ask of the vendors' logs and of the times.
 *
 * @module
 */
import type { Check, Evidence } from "./judge.ts";

/** The provider that fails. */
const primary = "bad";

/** Milliseconds after the caller's first call at which a vendor was asked, in order. */
export function timesOf({ calls, seen }: Evidence, vendor?: string): number[] {
  const start = seen[0]!.startedAt;
  return calls.filter((call) => vendor === undefined || call.vendor === vendor)
    .map(({ at }) => at - start);
}

/** The failing provider is asked so often at the most. */
export function askedAtMost(most: number): Check {
  return (evidence) => {
    const { length } = timesOf(evidence, primary);
    return length > most ? `the provider was asked ${length} times, not ${most}` : undefined;
  };
}

/** The failing provider is asked so often, no more and no less. */
export function askedExactly(count: number): Check {
  return (evidence) => {
    const { length } = timesOf(evidence, primary);
    return length === count ? undefined : `the provider was asked ${length} times, not ${count}`;
  };
}

/** No more tries than this in the first milliseconds after the first one, of any provider. */
export function atFirst(most: number, ms: number): Check {
  return (evidence) => {
    const times = timesOf(evidence);
    const early = times.filter((at) => at - times[0]! < ms * evidence.pace).length;
    return early > most ? `${early} tries in the first ${ms / 1_000} s` : undefined;
  };
}

/** The failing provider is asked a second time no sooner than it asked for. */
export function waitsFor(ms: number): Check {
  return (evidence) => {
    const [first, second] = timesOf(evidence, primary);
    if (first === undefined || second === undefined) return undefined;
    const waited = second - first;
    return waited < ms * evidence.pace
      ? `asked again after ${Math.round(waited)} ms, sooner than it asked for`
      : undefined;
  };
}

/** Nobody but the failing provider is asked. */
export const noFallback: Check = (evidence) =>
  timesOf(evidence, "good").length > 0 ? "another provider was asked" : undefined;

/**
 * It is over within so many milliseconds.
 *
 * @param atShortPace What is looked at where times are shortened: more, because machines are busy;
 * nothing where absent.
 */
export function within(ms: number, atShortPace = Infinity): Check {
  return ({ seen, pace }) => {
    const limit = pace === 1 ? ms : atShortPace * pace;
    const longest = Math.max(...seen.map((each) => each.ms));
    return longest > limit
      ? `over after ${(longest / 1_000).toFixed(1)} s, later than ${limit / 1_000} s`
      : undefined;
  };
}

/** The error is not one whose words match. */
export function errorIsNot(words: RegExp): Check {
  return ({ seen }) => {
    const found = seen.find(({ error }) => error !== undefined && words.test(error.message));
    return found && `the final error is the fallback's: ${found.error!.message}`;
  };
}

/** The answer says once that it is over. */
export const endsOnce: Check = ({ seen }) => {
  const { finishes } = seen[0]!;
  return finishes.length > 1 ? `the end came ${finishes.length} times` : undefined;
};

/** Every call has the fallback's name and usage. */
export const answeredByFallback: Check = ({ seen }) =>
  seen.some(({ model, usage, error }) =>
      error === undefined && (model !== "good-well" || usage?.prompt !== 30)
    )
    ? "the answer does not name the fallback, or has another's usage"
    : undefined;

/** The failing provider answers again so many milliseconds after it has recovered. */
export function backWithin(outageMs: number, ms: number): Check {
  return ({ seen, calls, pace }) => {
    const first = calls.find(({ vendor }) => vendor === primary)?.at ?? 0;
    const back = seen.find(({ model }) => model?.startsWith(primary));
    if (back === undefined) return "the provider is not in use again";
    const late = back.startedAt - first - outageMs * pace;
    return pace === 1 && late > ms
      ? `in use again ${(late / 1_000).toFixed(1)} s after recovery`
      : undefined;
  };
}

/** The failing provider is asked so often at the most while it is down. */
export function probesAtMost(most: number, outageMs: number): Check {
  return (evidence) => {
    const times = timesOf(evidence, primary);
    const probes = times.filter((at) => at - times[0]! < outageMs * evidence.pace).length;
    return probes > most ? `asked ${probes} times while it was down` : undefined;
  };
}

/** What is written of every try is a time that can be: a clock that jumps is not part of it. */
export const soundTimes: Check = ({ rows }) => {
  const odd = rows.find(({ durationMs }) => durationMs < 0 || durationMs > 60_000);
  return odd && `a call of ${odd.durationMs} ms is in the ledger`;
};
