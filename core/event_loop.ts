/**
 * How late the event loop runs what is due. Deno's `monitorEventLoopDelay` is no help: it saw nothing
 * of a loop that was blocked for 400 ms.
 *
 * @module
 */

/** Milliseconds between two looks. */
const period = 100;

/**
 * Measures how late the event loop is, ten times a second.
 *
 * @param record Takes the delay in seconds.
 * @returns Ends it.
 */
export function watchEventLoop(record: (seconds: number) => void): () => void {
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    record(Math.max(0, now - last - period) / 1000);
    last = now;
  }, period);
  Deno.unrefTimer(timer);
  return () => clearInterval(timer);
}
