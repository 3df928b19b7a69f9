/**
 * Counting the tokens of texts of any length: in slices, and from samples where they are too long.
 *
 * @module
 */
import { inSlices } from "./time_slices.ts";
import { partUnits, type Tokenizer } from "./tokens.ts";

/** Tokens of texts. */
export interface Counted {
  /** How many there are. */
  readonly tokens: number;
  /** All of the texts was counted; otherwise the number is an estimate from samples. */
  readonly exact: boolean;
}

/** UTF-16 units that are counted of one request: all of a context of 128k tokens, in most languages. */
export const mostUnits = 512 * 1024;

/** Longer texts are counted from this many samples, one out of each stretch of equal length. */
const samples = 256;
const sampleUnits = mostUnits / samples;

/**
 * Where in its stretch each sample lies, from 0 to 1. The same as long as the program runs, so that a
 * text has one count, and unknown outside, so that nobody can hide words between the samples.
 */
const places = Array.from({ length: samples }, () => Math.random());

/** Standard errors that are added to an estimate: what is held is rather too much than too little. */
const care = 2;

/**
 * Tokens of `texts` together; a promise where they take longer than some milliseconds. Other requests
 * are served meanwhile.
 *
 * @param client Once it has gone, the counting ends.
 * @throws The signal's reason.
 */
export function countTexts(
  texts: readonly string[],
  tokenizer: Tokenizer,
  client?: { readonly signal: AbortSignal },
): Counted | Promise<Counted> {
  const units = texts.reduce((sum, { length }) => sum + length, 0);
  const work = units <= mostUnits
    ? countAll(texts, tokenizer)
    : estimate(texts.join("\n"), tokenizer);
  return inSlices(work, client);
}

function* countAll(texts: readonly string[], tokenizer: Tokenizer): Generator<void, Counted> {
  let tokens = 0;
  let units = 0;
  for (const text of texts) {
    if (text.length <= partUnits) {
      tokens += tokenizer.count(text);
      // An empty text takes time, too.
      units += text.length + 1;
      // The many short texts of a chat are mostly known: looking at the clock would take longer.
      if (units <= partUnits) continue;
      units = 0;
      yield;
    } else {
      for (const part of tokenizer.parts(text)) {
        tokens += part;
        yield;
      }
    }
  }
  return { tokens, exact: true };
}

function* estimate(text: string, tokenizer: Tokenizer): Generator<void, Counted> {
  const stretch = text.length / samples;
  let sum = 0;
  let squares = 0;
  let before: number | undefined;
  for (const [i, place] of places.entries()) {
    const start = Math.floor(i * stretch + place * (stretch - sampleUnits));
    const tokens = tokenizer.count(text.slice(start, start + sampleUnits));
    sum += tokens;
    // From one sample to the next: that a text changes slowly, from one language to another, is no
    // uncertainty where samples lie evenly.
    squares += (tokens - (before ?? tokens)) ** 2;
    before = tokens;
    yield;
  }
  const error = Math.sqrt(samples * squares / (2 * (samples - 1)));
  return { tokens: Math.ceil((sum + care * error) * text.length / mostUnits), exact: false };
}
