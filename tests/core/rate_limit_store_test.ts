import { assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import { MemoryRateStore, type RateState, type RateWindow } from "../../core/store/rate_limit.ts";
import { seededRandom } from "../support/random.ts";

const minute = 60_000;
/** The beginning of a window. */
const start = 1_000 * minute;

/** A store whose clock the test sets. */
function storeAt(now: number) {
  const clock = { now };
  return { clock, store: new MemoryRateStore(() => clock.now) };
}

function window(limit: number, rest: Partial<RateWindow> = {}): RateWindow {
  return { key: "requests:key_1", limit, windowMs: minute, cost: 1, ...rest };
}

Deno.test("MemoryRateStore admits as many as fit, and says what is left", () => {
  const { store } = storeAt(start + 1_000);
  const left = [0, 1, 2].map(() => store.take([window(3)])[0]!);
  assertEquals(left.map(({ fits, remaining }) => [fits, remaining]), [
    [true, 2],
    [true, 1],
    [true, 0],
  ]);
  const [refused] = store.take([window(3)]);
  assertEquals([refused!.fits, refused!.remaining], [false, 0]);
});

Deno.test("MemoryRateStore counts each key by itself", () => {
  const { store } = storeAt(start);
  assertEquals(store.take([window(1)])[0]!.fits, true);
  assertEquals(store.take([window(1)])[0]!.fits, false);
  assertEquals(store.take([window(1, { key: "requests:key_2" })])[0]!.fits, true);
});

Deno.test("MemoryRateStore lets the last window fade while the next one passes", () => {
  const { store, clock } = storeAt(start);
  store.take([window(10, { cost: 10 })]);
  clock.now = start + 1.5 * minute;
  // Half of ten weighs still.
  assertEquals(store.take([window(10, { cost: 6 })])[0]!.fits, false);
  assertEquals(store.take([window(10, { cost: 5 })])[0]!.fits, true);
  clock.now = start + 3 * minute;
  assertEquals(store.take([window(10, { cost: 10 })])[0]!.fits, true);
});

Deno.test("MemoryRateStore takes from all windows or from none", () => {
  const { store } = storeAt(start);
  const minuteWindow = window(10);
  const dayWindow = window(2, { key: "day", windowMs: 24 * 60 * minute });
  for (let i = 0; i < 2; i++) store.take([minuteWindow, dayWindow]);
  const [first, second] = store.take([minuteWindow, dayWindow]);
  assertEquals([first!.fits, first!.remaining, second!.fits], [true, 8, false]);
  // The refused one took nothing from the window that it did fit into.
  assertEquals(store.take([minuteWindow])[0]!.remaining, 7);
});

Deno.test("MemoryRateStore says when nothing is counted any more", () => {
  const { store, clock } = storeAt(start + 10_000);
  const [taken] = store.take([window(5)]);
  assertEquals(taken!.resetMs, 2 * minute - 10_000);
  clock.now += taken!.resetMs;
  assertEquals(store.take([window(5)])[0]!.remaining, 4);
});

Deno.test("MemoryRateStore tells the very millisecond at which a request fits again", () => {
  const random = seededRandom();
  for (let round = 0; round < 500; round++) {
    const limit = 1 + random(50);
    const windowMs = 1 + random(minute);
    const at = { limit, windowMs };
    const history: [now: number, cost: number][] = [];
    let now = start + random(windowMs);
    let wait = 0;
    let cost = 0;
    const { store, clock } = storeAt(now);
    while (wait === 0) {
      now += random(Math.ceil(windowMs / 10));
      cost = 1 + random(limit);
      clock.now = now;
      const [state] = store.take([window(limit, { ...at, cost })]);
      if (state!.fits) history.push([now, cost]);
      wait = state!.retryAfterMs;
    }
    /** Whether the refused request would fit after `ms`, if nothing else were taken. */
    const fitsAfter = (ms: number) => {
      const again = storeAt(0);
      for (const [then, took] of history) {
        again.clock.now = then;
        again.store.take([window(limit, { ...at, cost: took })]);
      }
      again.clock.now = now + ms;
      return again.store.take([window(limit, { ...at, cost })])[0]!.fits;
    };
    const told = `round ${round}: ${wait} ms`;
    assertEquals([fitsAfter(wait), fitsAfter(wait - 1)], [true, false], told);
  }
});

Deno.test("MemoryRateStore lets no window hold twice the limit", () => {
  const random = seededRandom();
  for (let round = 0; round < 50; round++) {
    const limit = 1 + random(20);
    const { store, clock } = storeAt(start);
    const admitted: number[] = [];
    for (let i = 0; i < 400; i++) {
      clock.now += random(random(10) === 0 ? minute : 2_000);
      if (store.take([window(limit)])[0]!.fits) admitted.push(clock.now);
    }
    for (const from of admitted) {
      const held = admitted.filter((at) => at >= from && at < from + minute).length;
      assertLess(held, 2 * limit, `round ${round}`);
    }
    // In the long run it is the limit.
    const minutes = (clock.now - start) / minute;
    assertLessOrEqual(admitted.length, limit * (minutes + 1));
  }
});

Deno.test("MemoryRateStore never admits what is more than the limit", () => {
  const { store, clock } = storeAt(start);
  const [state] = store.take([window(5, { cost: 6 })]);
  assertEquals([state!.fits, state!.retryAfterMs], [false, 2 * minute]);
  clock.now += 10 * minute;
  assertEquals(store.take([window(5, { cost: 6 })])[0]!.fits, false);
});

Deno.test("MemoryRateStore forgets keys that count nothing, and only those", () => {
  const { store, clock } = storeAt(start);
  store.take([window(1, { key: "old" })]);
  clock.now = start + 3 * minute;
  store.take([window(1, { key: "young" })]);
  for (let i = 0; i < 10_001; i++) store.take([window(1, { key: `key_${i}` })]);
  assertEquals(store.take([window(1, { key: "young" })])[0]!.fits, false);
  assertEquals(store.take([window(1, { key: "key_0" })])[0]!.fits, false);
  assertEquals(store.take([window(1, { key: "old" })])[0]!.fits, true);
});

Deno.test("MemoryRateStore counts what is used beyond a hold, and lets it fade like the rest", () => {
  const { store, clock } = storeAt(start);
  store.take([window(10, { cost: 4 })]);
  const pair = [window(10, { cost: 1 }), window(10, { key: "other", cost: 1 })];
  const held = store.take(pair, "held");
  assertEquals(held.map(({ used, held }) => [used, held]), [[4, 0], [0, 0]]);
  store.settle([6, 30].map((used, i) => ({ ...pair[i]!, at: held[i]!.at, used })));
  assertEquals(store.take([window(10)])[0]!.remaining, 0);
  const other = (cost: number) => store.take([window(10, { key: "other", cost })])[0]!;
  const { fits, used, remaining, resetMs, retryAfterMs } = other(1);
  // A third of the 30 is more than the 9 that may be left of them.
  const wait = minute + Math.ceil(minute * 21 / 30);
  assertEquals([fits, used, remaining], [false, 30, 0]);
  assertEquals([resetMs, retryAfterMs], [2 * minute, wait]);
  clock.now += wait - 1;
  assertEquals(other(1).fits, false);
  clock.now += 1;
  assertEquals(other(1).fits, true);
});

Deno.test("MemoryRateStore gives back what was held and not used, where it was held", () => {
  for (const [later, left] of [[0, 2], [minute, 2], [1.5 * minute, 6], [2 * minute, 10]] as const) {
    const { store, clock } = storeAt(start);
    const held = window(10, { cost: 9 });
    const [{ at }] = store.take([held], "held") as [RateState];
    const look = () => store.take([window(10, { cost: 11 })])[0]!;
    assertEquals([look().used, look().held], [0, 9]);
    clock.now += later;
    store.settle([{ ...held, at, used: 8 }]);
    assertEquals([look().remaining, look().used, look().held], [left, 10 - left, 0], `${later}`);
  }
});

Deno.test("MemoryRateStore gives nothing back that a clock set back has forgotten", () => {
  const { store, clock } = storeAt(start + 5 * minute);
  const held = window(10, { cost: 9 });
  const [{ at }] = store.take([held], "held") as [RateState];
  clock.now = start;
  store.take([held]);
  clock.now = at;
  store.settle([{ ...held, at, used: 0 }]);
  assertEquals(store.take([window(10, { cost: 11 })])[0]!.remaining, 10);
});

Deno.test("MemoryRateStore goes on when the clock is set back", () => {
  const { store, clock } = storeAt(start + 5 * minute);
  store.take([window(2)]);
  clock.now = start;
  const [state] = store.take([window(2)]);
  assertEquals([state!.fits, state!.remaining >= 0, state!.resetMs >= 0], [true, true, true]);
});
