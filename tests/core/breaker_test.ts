import { assert, assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { Breaker, type BreakerCall, type Verdict } from "../../core/breaker.ts";
import { RouterError } from "../../core/errors.ts";
import { seededRandom } from "../support/random.ts";

const good: Verdict = { failed: false, slow: false };
const bad: Verdict = { failed: true, slow: false };
const slow: Verdict = { failed: false, slow: true };
const none = undefined;

/** A breaker without jitter, and a clock for it. */
class Trial {
  now = 1_000_000;
  readonly breaker = new Breaker(undefined, () => 0);

  /** Calls one after the other. */
  end(...verdicts: (Verdict | undefined)[]): void {
    for (const verdict of verdicts) this.breaker.begin(this.now).end(this.now, verdict);
  }

  get state() {
    return this.breaker.state(this.now);
  }

  get mayCall() {
    return this.breaker.mayCall(this.now);
  }
}

Deno.test("Breaker opens when half of the last calls failed, and five have ended", () => {
  const few = new Trial();
  few.end(bad, bad, bad, bad);
  assertEquals([few.state, few.mayCall], ["closed", true]);
  few.end(bad);
  assertEquals([few.state, few.mayCall], ["open", false]);
  assertEquals(few.breaker.cause, { calls: 5, failed: 5, slow: 0 });
  assertThrows(() => few.breaker.begin(few.now), Error, "circuit is open");

  const mixed = new Trial();
  mixed.end(good, good, good, good, good, bad, bad, bad, bad);
  assertEquals(mixed.state, "closed", "4 of 9");
  mixed.end(bad);
  assertEquals(mixed.state, "open", "5 of 10");
});

Deno.test("Breaker opens when four of five calls were slow", () => {
  const trial = new Trial();
  trial.end(slow, slow, slow, good, good, slow);
  assertEquals(trial.state, "closed", "4 of 6");
  trial.end(slow, slow, slow, slow);
  assertEquals(trial.state, "open", "8 of 10");
  assertEquals(trial.breaker.cause, { calls: 10, failed: 0, slow: 8 });
});

Deno.test("Breaker opens at a bad end only, and not for calls that tell nothing", () => {
  const trial = new Trial();
  trial.end(bad, bad, bad, bad, none, none, good);
  assertEquals(trial.state, "closed");
  trial.end(bad);
  assertEquals(trial.state, "open");
});

Deno.test("Breaker tells what lasts where nothing else has opened it", () => {
  const lasting = { ...bad, error: new RouterError("upstream_rejected", "HTTP 401") };
  const only = new Trial();
  only.end(good, good, good, lasting, lasting, lasting);
  assertEquals([only.state, only.breaker.lasting], ["open", lasting.error]);
  assertEquals(only.breaker.cause, { calls: 6, failed: 3, slow: 0 });
  // The one call that tries it is what is known since.
  only.now += 5_000;
  only.end(bad);
  assertEquals(only.breaker.lasting, undefined);
  only.now += 10_000;
  only.end(lasting);
  assertEquals(only.breaker.lasting, lasting.error);

  for (const passing of [bad, slow]) {
    const mixed = new Trial();
    mixed.end(passing, passing, passing, passing, lasting);
    assertEquals([mixed.state, mixed.breaker.lasting], ["open", undefined]);
  }

  const late = new Trial();
  late.end(bad);
  late.now += 30_000;
  late.end(lasting, lasting, lasting, lasting, lasting);
  assertEquals(late.breaker.lasting, lasting.error, "what is forgotten counts no more");
});

Deno.test("Breaker forgets what ended half a minute ago", () => {
  const trial = new Trial();
  trial.end(bad, bad, bad, bad);
  trial.now += 28_000;
  trial.end(bad);
  assertEquals(trial.state, "open");

  const late = new Trial();
  late.end(bad, bad, bad, bad);
  late.now += 30_000;
  late.end(bad);
  assertEquals(late.state, "closed");
  late.end(bad, bad, bad);
  late.now += 1e9;
  late.end(bad, bad, bad, bad);
  assertEquals(late.state, "closed");
});

Deno.test("Breaker lets one call try after its wait, and closes when that is answered", () => {
  const trial = new Trial();
  trial.end(bad, bad, bad, bad, bad);
  assertEquals(trial.breaker.waitMs(trial.now), 5_000);
  trial.now += 4_999;
  assertEquals([trial.state, trial.mayCall], ["open", false]);
  trial.now += 1;
  assertEquals([trial.state, trial.mayCall], ["half-open", true]);
  const probe = trial.breaker.begin(trial.now);
  assertEquals([trial.state, trial.mayCall], ["half-open", false]);
  trial.now += 60_000;
  assertEquals([trial.state, trial.mayCall], ["half-open", false]);
  probe.end(trial.now, good);
  assertEquals([trial.state, trial.mayCall], ["closed", true]);
  // The window is empty again: it takes five anew.
  trial.end(bad, bad, bad, bad);
  assertEquals(trial.state, "closed");
  trial.end(bad);
  assertEquals(trial.breaker.waitMs(trial.now), 5_000);

  // Also where the failures that opened it lie within the window still.
  const soon = new Trial();
  soon.end(bad, bad, bad, bad, bad);
  soon.now += 5_000;
  soon.end(good, bad, bad, bad, bad);
  assertEquals(soon.state, "closed");
});

Deno.test("Breaker waits twice as long after each try that failed, 20 seconds at most", () => {
  const trial = new Trial();
  trial.end(bad, bad, bad, bad, bad);
  for (const [verdict, wait] of [[bad, 10_000], [slow, 20_000], [bad, 20_000], [bad, 20_000]]) {
    trial.now += trial.breaker.waitMs(trial.now);
    trial.end(verdict as Verdict);
    assertEquals([trial.state, trial.breaker.waitMs(trial.now)], ["open", wait as number]);
  }
  assertEquals(trial.breaker.failedTries, 4);
  trial.now += 20_000;
  trial.end(good);
  assertEquals(trial.state, "closed");
});

Deno.test("Breaker shortens its waits by a tenth at most", () => {
  for (const [random, wait] of [[0, 5_000], [0.5, 4_750], [1, 4_500]] as const) {
    const breaker = new Breaker(undefined, () => random);
    for (let i = 0; i < 5; i++) breaker.begin(0).end(0, bad);
    assertEquals(breaker.waitMs(0), wait);
  }
});

Deno.test("Breaker takes a try back that tells nothing, and lets the next one try at once", () => {
  const trial = new Trial();
  trial.end(bad, bad, bad, bad, bad);
  trial.now += 5_000;
  const gone = trial.breaker.begin(trial.now);
  gone.end(trial.now, none);
  assertEquals([trial.state, trial.mayCall, trial.breaker.failedTries], ["half-open", true, 0]);
  const next = trial.breaker.begin(trial.now);
  gone.end(trial.now, good);
  assertEquals(trial.mayCall, false, "a call ends once");
  next.end(trial.now, good);
  assertEquals(trial.state, "closed");
});

Deno.test("Breaker does not go by calls that began before it last changed", () => {
  const trial = new Trial();
  const [early, ...others] = Array.from({ length: 6 }, () => trial.breaker.begin(trial.now));
  for (const call of others) call.end(trial.now, bad);
  assertEquals(trial.state, "open");
  early!.end(trial.now, good);
  assertEquals(trial.state, "open");

  const more = new Trial();
  const old = Array.from({ length: 10 }, () => more.breaker.begin(more.now));
  more.end(bad, bad, bad, bad, bad);
  more.now += 5_000;
  more.end(good);
  for (const call of old) call.end(more.now, bad);
  assertEquals(more.state, "closed");
});

Deno.test("Breaker tells of each change, and can be forgotten when nothing is going on", () => {
  const states: string[] = [];
  const breaker: Breaker = new Breaker(() => states.push(breaker.state(now)), () => 0);
  let now = 0;
  const end = (verdict: Verdict | undefined) => breaker.begin(now).end(now, verdict);
  assertEquals(breaker.isIdle(now), true);
  const call = breaker.begin(now);
  assertEquals([breaker.isIdle(now), breaker.isBusy], [false, true]);
  call.end(now, good);
  assertEquals([breaker.isIdle(now), breaker.isIdle(now + 31_000)], [false, true]);
  for (let i = 0; i < 5; i++) end(bad);
  assertEquals([states, breaker.isIdle(now + 1e6)], [["open"], false]);
  now = 5_000;
  end(none);
  end(bad);
  now = 15_000;
  end(good);
  const tried = ["half-open", "half-open", "half-open", "open", "half-open", "closed"];
  assertEquals(states, ["open", ...tried]);
});

Deno.test("Breaker keeps its rules whatever happens", () => {
  const below = seededRandom();
  for (let round = 0; round < 300; round++) {
    let now = below(100_000);
    const breaker = new Breaker(undefined, () => below(1_001) / 1_000);
    const running: { call: BreakerCall; isTry: boolean }[] = [];
    let openedAt: number | undefined;
    let wait = 5_000;
    for (let step = 0; step < 200; step++) {
      const before = breaker.state(now);
      if (below(3) === 0) now += below(below(4) === 0 ? 40_000 : 2_000);
      const state = breaker.state(now);
      if (before !== state) assertEquals([before, state], ["open", "half-open"], "time alone");
      if (state === "open") {
        assert(openedAt !== undefined && now - openedAt < wait, "open no longer than its wait");
        assertEquals(breaker.waitMs(now) > 0, true);
      }
      const tries = running.filter(({ isTry }) => isTry).length;
      assertLessOrEqual(tries, 1, "never two tries at a time");
      const free = state === "closed" || (state === "half-open" && tries === 0);
      assertEquals(breaker.mayCall(now), free);
      if (free && below(2) === 0) {
        running.push({ call: breaker.begin(now), isTry: state === "half-open" });
      } else if (running.length > 0) {
        const [{ call, isTry }] = running.splice(below(running.length), 1) as [typeof running[0]];
        const verdict = [good, bad, bad, slow, { failed: true, slow: true }, none][below(6)];
        const from = breaker.state(now);
        call.end(now, verdict);
        const to = breaker.state(now);
        const isBad = verdict !== undefined && (verdict.failed || verdict.slow);
        if (isTry) {
          assertEquals(to, verdict === undefined ? "half-open" : isBad ? "open" : "closed");
          wait = to === "open" ? Math.min(20_000, wait * 2) : wait;
        } else if (from === to) {
          continue;
        } else {
          assertEquals([from, to, isBad], ["closed", "open", true]);
          const { calls, failed, slow } = breaker.cause;
          assert(calls >= 5 && (failed * 2 >= calls || slow * 5 >= calls * 4));
          wait = 5_000;
        }
        if (to === "open") {
          openedAt = now;
          assertLessOrEqual(breaker.waitMs(now), wait);
          assertLessOrEqual(wait * 0.9 - 1e-6, breaker.waitMs(now));
        }
      }
    }
  }
});
