/**
 * Waiting for what does not end by itself.
 *
 * @module
 */

/**
 * What `promise` gives, unless the signal comes first; the promise goes on. For work that several
 * wait for, such as a sign-in, and for code that may not heed a signal.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    // First, so that a failure which comes after the signal is nobody's unhandled one.
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
  });
}

/** Waits for some milliseconds, unless the signal fires. @throws The signal's reason. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await unlessAborted(promise, signal).finally(() => clearTimeout(timer));
}
