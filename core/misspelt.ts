/**
 * Variables of the environment that nobody reads because of a slip in their name.
 *
 * @module
 */

/** A variable, and the one that it is probably meant for. */
export interface Misspelt {
  readonly variable: string;
  readonly meant: string;
}

/** Slips of a name: letters that are missing, too many or wrong, or two that changed places. */
const mostSlips = 2;

/** Names begin alike up to here; others, such as `XAI_API_KEY` and `ZAI_API_KEY`, are two things. */
const sameLetters = 3;

/** Shorter names are too near to each other to tell. */
const shortestName = 8;

/**
 * The variables that are set and that nobody reads, although they nearly have a setting's name.
 *
 * @param env The environment.
 * @param settings Names of all variables that are read.
 */
export function misspelt(
  env: Readonly<Record<string, string | undefined>>,
  settings: readonly string[],
): Misspelt[] {
  const known = new Set(settings);
  return Object.entries(env).flatMap(([variable, value]) => {
    if (!value?.trim() || known.has(variable) || variable.length < shortestName) return [];
    const [nearest] = settings
      .filter((each) => each.slice(0, sameLetters) === variable.slice(0, sameLetters))
      .map((meant) => ({ meant, slips: slipsBetween(variable, meant) }))
      .filter(({ slips }) => slips <= mostSlips)
      .sort((a, b) => a.slips - b.slips);
    return nearest === undefined ? [] : [{ variable, meant: nearest.meant }];
  });
}

/** The Damerau–Levenshtein distance of two names, where no letters are changed twice. */
function slipsBetween(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, j) => j);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const wrong = one[i - 1] === other[j - 1] ? 0 : 1;
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + wrong);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) {
        least = Math.min(least, beforeLast[j - 2]! + 1);
      }
      row.push(least);
    }
    [beforeLast, last] = [last, row];
  }
  return last[other.length]!;
}
