/**
 * The tries of an exchange that cost something although their answers were of no use.
 *
 * @module
 */
import { isText } from "../body.ts";
import type { Attempt, Exchange } from "../plugin.ts";
import { priceIn } from "./charge.ts";
import { type Asked, type Entry, entryOfTry } from "./entry.ts";

/** A try that is over and was paid for. */
export interface PaidTry {
  readonly attempt: Attempt;
  readonly entry: Entry;
}

/**
 * The paid tries of an exchange, with their entries.
 *
 * @param tag What the client wrote into `x-xrouter-tag`, if it counts as one.
 * @param currency ISO 4217 code of the accounts.
 * @param written Those that are not wanted.
 */
export function paidTries(
  x: Exchange,
  tag: string | null,
  currency: string,
  written?: ReadonlySet<Attempt>,
): PaidTry[] {
  const found: PaidTry[] = [];
  for (const [i, attempt] of x.attempts.entries()) {
    const { usage, target } = attempt;
    if (usage === undefined || written?.has(attempt)) continue;
    const entry = entryOfTry(askedOf(x, tag), attempt, usage, i + 1, priceIn(currency, target));
    found.push({ attempt, entry });
  }
  return found;
}

/** What all entries of an exchange have in common. */
export function askedOf(x: Exchange, tag: string | null): Asked {
  const { caller, inputTokens, extrapolated = false } = x.state;
  return {
    requestId: x.id,
    createdAt: x.startedAt,
    keyId: caller?.id,
    owner: caller?.owner ?? undefined,
    tag: tag ?? undefined,
    modelAsked: x.parsedBody?.model,
    stream: x.parsedBody?.stream === true,
    countedTokens: inputTokens,
    uncounted: extrapolated || x.parsedBody !== undefined && !isText(x.parsedBody),
  };
}
