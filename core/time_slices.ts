/**
 * Long work on the event loop, a little at a time.
 *
 * @module
 */

/** Milliseconds for which work goes on at a stretch. */
const sliceMs = 8;

let last = Promise.resolve();

/**
 * Does work in slices of some milliseconds. Of all work there is, one slice is done in each turn of
 * the event loop, and each takes its turn after the others.
 *
 * @param work Its steps, each much shorter than a slice.
 * @param client Once it has gone, the work is given up.
 * @returns The result; a promise of it where one slice was too little.
 * @throws The signal's reason.
 */
export function inSlices<Result extends object>(
  work: Iterator<unknown, Result>,
  client?: { readonly signal: AbortSignal },
): Result | Promise<Result> {
  return slice(work) ?? inTurns(work, client?.signal);
}

async function inTurns<Result extends object>(
  work: Iterator<unknown, Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  for (;;) {
    await (last = last.then(() => new Promise((resolve) => setTimeout(resolve))));
    signal?.throwIfAborted();
    const result = slice(work);
    if (result !== undefined) return result;
  }
}

/** @returns The result, if the work is done. */
function slice<Result extends object>(work: Iterator<unknown, Result>): Result | undefined {
  const end = performance.now() + sliceMs;
  do {
    const { done, value } = work.next();
    if (done) return value;
  } while (performance.now() < end);
  return undefined;
}
