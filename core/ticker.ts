/**
 * One timer for everything that looks at the clock. A timer for each request would be garbage that
 * outlives its request: the runtime keeps its timers in a `Map` (see {@linkcode Roster}).
 *
 * @module
 */
import { type Listed, Roster } from "./roster.ts";

/** Milliseconds between two ticks. */
export const tickMs = 20;

/** Something that looks at the clock until it is stopped. */
export interface Ticking extends Listed {
  /**
   * @param now The time, by `performance.now()`.
   */
  tick(now: number): void;
}

const running = new Roster<Ticking>();

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
  running.forEach((each) => each.tick(now));
}

/** Calls back once, some time from now and up to a tick late, unless it is stopped. */
export class Alarm implements Ticking {
  place: number | undefined;
  readonly #ring: () => void;
  #due: number;

  /**
   * @param ms Milliseconds from now.
   * @param ring Called then.
   */
  constructor(ms: number, ring: () => void) {
    this.#due = performance.now() + ms;
    this.#ring = ring;
    startTicking(this);
  }

  /** Brings it forward, where it would come later. @param ms Milliseconds from now. */
  hurry(ms: number): void {
    this.#due = Math.min(this.#due, performance.now() + ms);
  }

  tick(now: number): void {
    if (now < this.#due) return;
    this.stop();
    this.#ring();
  }

  /** It rings no more. */
  stop(): void {
    stopTicking(this);
  }
}
