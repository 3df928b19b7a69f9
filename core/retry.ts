/**
 * How long to wait before a target is asked again.
 *
 * @module
 */

/** Milliseconds before the first retry, without jitter. */
const base = 250;

/** The longest wait that the backoff alone may ask for. */
const longest = 8_000;

/** The longest `retry-after` that is waited for, with another target to ask and without. */
const patience = { others: 5_000, none: 20_000 };

/**
 * Milliseconds to wait: exponential backoff with full jitter, and never less than the provider asks
 * for.
 *
 * @param tries Tries of this target so far, at least 1.
 * @param retryAfterMs What the provider asked for.
 * @param others Whether another target can be asked instead.
 * @param random A number from 0 to 1.
 * @returns `undefined` when the provider asks for more patience than an exchange has.
 */
export function retryWait(
  tries: number,
  retryAfterMs: number | undefined,
  others: boolean,
  random: number = Math.random(),
): number | undefined {
  const backoff = random * Math.min(longest, base * 2 ** (tries - 1));
  if (retryAfterMs === undefined) return backoff;
  const longestWait = others ? patience.others : patience.none;
  return retryAfterMs > longestWait ? undefined : retryAfterMs + backoff;
}
