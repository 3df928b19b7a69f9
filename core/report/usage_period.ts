/**
 * The days that a report of usage covers.
 *
 * @module
 */

const dayMs = 86_400_000;

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

/** A period in pieces of so many days, the last as long as what is left. */
export function piecesOf({ from, to }: UsagePeriod, days: number): UsagePeriod[] {
  const pieces: UsagePeriod[] = [];
  const dayAt = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  for (let ms = Date.parse(from); ms <= Date.parse(to); ms += days * dayMs) {
    const last = dayAt(ms + (days - 1) * dayMs);
    pieces.push({ from: dayAt(ms), to: last < to ? last : to });
  }
  return pieces;
}
