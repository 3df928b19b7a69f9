/**
 * One timer for everything that looks at the clock. A timer for each request would be garbage that
 * outlives its request: with thousands a second that is a tenth of the processor's time.
 *
 * @module
 */

/** Milliseconds between two ticks. */
export const tickMs = 20;

/** Something that looks at the clock until it is stopped. */
export interface Ticking {
  /**
   * @param now The time, by `performance.now()`.
   */
  tick(now: number): void;
}

const running = new Set<Ticking>();

let timer: ReturnType<typeof setTimeout> | undefined;

/** Has `each` look at the clock. Once more is harmless. */
export function startTicking(each: Ticking): void {
  running.add(each);
  timer ??= setTimeout(tickAll, tickMs);
}

/** Lets `each` rest. The last one stops the timer. */
export function stopTicking(each: Ticking): void {
  if (!running.delete(each) || running.size > 0) return;
  clearTimeout(timer);
  timer = undefined;
}

function tickAll(): void {
  const now = performance.now();
  timer = setTimeout(tickAll, tickMs);
  for (const each of running) each.tick(now);
}
