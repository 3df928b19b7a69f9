/** Milliseconds that one look at a vendor or at the database may take. */
const limit = 10_000;

/**
 * Waits for something, but not for ever. What ignores the signal is left to itself: it ends with the
 * command, whose process exits.
 *
 * @param action What to wait for; the signal tells it to give up.
 * @param ms Milliseconds that it may take.
 * @throws {DOMException} `TimeoutError` after that time.
 */
export async function within<Result>(
  action: (signal: AbortSignal) => Promise<Result>,
  ms: number = limit,
): Promise<Result> {
  const signal = AbortSignal.timeout(ms);
  const late = Promise.withResolvers<never>();
  const give = () => late.reject(signal.reason);
  signal.addEventListener("abort", give, { once: true });
  try {
    return await Promise.race([action(signal), late.promise]);
  } finally {
    signal.removeEventListener("abort", give);
  }
}
