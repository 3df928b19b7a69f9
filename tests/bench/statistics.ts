/**
 * The percentile by nearest rank: the smallest of the values that at least `percent` of 100 do not
 * exceed, so always a value that was measured.
 *
 * @throws {RangeError} There are no values, or `percent` is not above 0 and at most 100.
 */
export function percentile(values: readonly number[], percent: number): number {
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`No percentile ${percent}`);
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.ceil(sorted.length * percent / 100) - 1];
  if (value === undefined) throw new RangeError("A percentile needs at least one value");
  return value;
}

/** The median; of an even count, the mean of the two in the middle. @throws {RangeError} Empty. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) {
    throw new RangeError("A median needs at least one value");
  }
  return (lower + upper) / 2;
}

/** The median of the ratios, pair by pair: both lists hold the same rounds in the same order. */
export function medianRatio(values: readonly number[], base: readonly number[]): number {
  return median(values.map((value, round) => value / (base[round] ?? NaN)));
}

/**
 * The slope of the line through values at even distances, by least squares: how much they grow from
 * one to the next.
 *
 * @throws {RangeError} There are fewer than two.
 */
export function slope(values: readonly number[]): number {
  if (values.length < 2) throw new RangeError("A slope needs at least two values");
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const above = values.reduce((sum, value, at) => sum + (at - middle) * (value - mean), 0);
  return above / values.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
}
