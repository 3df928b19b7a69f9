/**
 * The days that a report of usage covers.
 *
 * @module
 */

/** Days of UTC, both included. */
export interface UsagePeriod {
  readonly from: string;
  readonly to: string;
}

/**
 * The period between two days: without `to` until today, without `from` since the first of the month
 * of `to`; so without either the month until today.
 *
 * @param now Milliseconds since 1970.
 */
export function usagePeriod(
  { from, to }: { from?: string | undefined; to?: string | undefined },
  now: number,
): UsagePeriod {
  const end = to ?? new Date(now).toISOString().slice(0, 10);
  return { from: from ?? `${end.slice(0, 8)}01`, to: end };
}
