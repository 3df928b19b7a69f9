/**
 * Long work on the event loop, a little at a time.
 *
 * @module
 */

/** Milliseconds for which work goes on in one turn. */
const sliceMs = 8;

/** When the slice of this turn ends. */
let end = 0;
/** The turn of the work that came last. */
let last = Promise.resolve();
/** How much work waits for its turn. */
let waiting = 0;

/**
 * Does work in slices of some milliseconds. Of all work there is, one slice is done in each turn of
 * the event loop, and each takes its turn after the others; what is left of a slice is the next
 * one's. Where no other work waits, the first slice is done at once.
 *
 * @param work Its steps, each much shorter than a slice.
 * @param client Once it has gone, the work is given up.
 * @returns The result; a promise of it where one slice was too little, or other work waits.
 * @throws The signal's reason.
 */
export function inSlices<Result extends object>(
  work: Iterator<unknown, Result>,
  client?: { readonly signal: AbortSignal },
): Result | Promise<Result> {
  if (waiting === 0) {
    end = performance.now() + sliceMs;
    const result = slice(work);
    if (result !== undefined) return result;
  }
  return inTurns(work, client?.signal);
}

async function inTurns<Result extends object>(
  work: Iterator<unknown, Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  waiting++;
  try {
    for (;;) {
      await (last = last.then(turn));
      signal?.throwIfAborted();
      const result = slice(work);
      if (result !== undefined) return result;
    }
  } finally {
    waiting--;
  }
}

/** Waits for the next turn of the event loop, unless there is time left in this one. */
async function turn(): Promise<void> {
  if (performance.now() < end) return;
  await new Promise((resolve) => setTimeout(resolve));
  end = performance.now() + sliceMs;
}

/** @returns The result, if the work is done by the end of this turn's slice. */
function slice<Result extends object>(work: Iterator<unknown, Result>): Result | undefined {
  do {
    const { done, value } = work.next();
    if (done) return value;
  } while (performance.now() < end);
  return undefined;
}
