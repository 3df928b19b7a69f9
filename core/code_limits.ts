/**
 * Limits of time for the code of plugins and providers, which may never end.
 *
 * @module
 */

/** Milliseconds that such code gets; what takes longer is given up. */
export interface CodeLimits {
  /** A file, to be imported with all that it imports: a package may have to be fetched. */
  readonly load: number;
  /** A plugin's `setup`: a database may be busy for half a minute. */
  readonly setup: number;
  /** A plugin's `ready`. */
  readonly ready: number;
  /** A plugin's `dispose`. */
  readonly dispose: number;
  /** A reload that runs when the program stops. */
  readonly stop: number;
}

/** The limits that hold. */
export const codeLimits: CodeLimits = {
  load: 30_000,
  setup: 40_000,
  ready: 10_000,
  dispose: 10_000,
  stop: 2_000,
};

/**
 * What `work` gives, unless it takes too long; it goes on then, and how it ends is nobody's concern.
 * A timer runs meanwhile: without one Deno ends a process in which nothing but an `await` is left.
 *
 * @param ms Milliseconds that it may take.
 * @param cure Follows the time in the error, after a full stop.
 * @throws {Error} after that time.
 */
export async function inTime<T>(work: T, ms: number, cure?: string): Promise<Awaited<T>> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const text = `It took longer than ${ms / 1000} s`;
    reject(new Error(cure === undefined ? text : `${text}. ${cure}`));
  }, ms);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
