import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { type Fault, faults, HealthWindow } from "../../core/health.ts";
import { seededRandom } from "../support/random.ts";

interface Try {
  at: number;
  fault: Fault | undefined;
  firstChunkMs: number | undefined;
  durationMs: number | undefined;
}

/** What the window should say, from all tries there ever were. */
class Oracle {
  readonly #tries: Try[] = [];
  readonly #slotMs: number;

  constructor(windowMs: number) {
    this.#slotMs = windowMs / 20;
  }

  add(each: Try): void {
    this.#tries.push(each);
  }

  within(now: number): Try[] {
    const slot = (time: number) => Math.floor(time / this.#slotMs);
    return this.#tries.filter(({ at }) => slot(at) > slot(now) - 20);
  }
}

/** The smallest value that a share of values does not exceed. */
function quantile(values: (number | undefined)[], share: number): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1];
}

/** A time is told to a tenth, from 1 ms to 2^20. */
function assertNear(actual: number | undefined, expected: number | undefined, what: string): void {
  if (expected === undefined) return assertEquals(actual, undefined, what);
  const bounded = Math.min(Math.max(expected, 1), 2 ** 20);
  assertAlmostEquals(actual! / bounded, 1, 0.1, `${what}: ${actual} for ${expected}`);
}

Deno.test("HealthWindow says what a list of all tries says", () => {
  const random = seededRandom();
  for (let run = 0; run < 60; run++) {
    const windowMs = 20 * (1 + random(1_000));
    const window = new HealthWindow(windowMs);
    const oracle = new Oracle(windowMs);
    let now = random(1_000_000) + random(1000) / 1000;
    window.slideTo(now);
    for (let step = 0; step < 200; step++) {
      // Mostly close together, at times as far as the whole window and more.
      now += random(10) === 0 ? random(3 * windowMs) : random(Math.ceil(windowMs / 30));
      const time = () => random(4) === 0 ? undefined : 2 ** (random(20_000) / 1000);
      const fault = random(3) === 0 ? faults[random(faults.length)] : undefined;
      // What is told now may have ended a while ago.
      const ago = random(5) === 0 ? random(2 * windowMs) : 0;
      const each = {
        at: Math.max(0, now - ago),
        fault,
        firstChunkMs: time(),
        durationMs: fault === undefined ? time() : undefined,
      };
      window.slideTo(now);
      window.record(each.at, each.fault, each.firstChunkMs, each.durationMs);
      oracle.add(each);
      if (random(3) === 0) now += random(windowMs);
      const expected = oracle.within(now);
      window.slideTo(now);
      assertEquals(window.attempts, expected.length);
      assertEquals(window.errors, expected.filter((one) => one.fault !== undefined).length);
      for (const code of faults) {
        assertEquals(window.errorsOf(code), expected.filter((one) => one.fault === code).length);
      }
      for (const share of [0.5, 0.95, 1]) {
        const first = expected.map(({ firstChunkMs }) => firstChunkMs);
        assertNear(window.firstChunkMs(share), quantile(first, share), `first chunk ${share}`);
        const durations = expected.map(({ durationMs }) => durationMs);
        assertNear(window.durationMs(share), quantile(durations, share), `duration ${share}`);
      }
    }
  }
});

Deno.test("HealthWindow takes times of any length, and time that stands still", () => {
  const window = new HealthWindow(300_000);
  for (const ms of [0, 0.2, 1]) window.record(5, undefined, ms, undefined);
  assert(window.firstChunkMs(1)! <= 1);
  window.record(5, undefined, undefined, 10 ** 9);
  assert(window.durationMs(0.5)! > 10 * 60_000);
  assertEquals([window.attempts, window.errors], [4, 0]);
  assertEquals(window.slideTo(299_999 + 15_000).attempts, 0);
});
