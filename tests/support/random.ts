/**
 * Random numbers that a failed test can repeat.
 *
 * @module
 */

/** A whole number from 0 below `limit`. */
export type RandomBelow = (limit: number) => number;

/** Prints its seed; `SEED` in the environment repeats a run (xorshift32, Marsaglia 2003). */
export function seededRandom(): RandomBelow {
  const seed = Number(Deno.env.get("SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]) || 1;
  console.log(`seed ${seed}`);
  let state = seed | 0;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
