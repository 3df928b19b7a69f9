import { assert, assertEquals, assertMatch } from "@std/assert";
import { KeyStore } from "../../core/store/keys.ts";
import { MemoryRateStore } from "../../core/store/rate_limit.ts";
import { HeldClock } from "../support/clock.ts";
import { seededRandom } from "../support/random.ts";
import { ask, startRouter } from "../support/router.ts";

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}

/** OpenAI's durations, such as `1m30s` and `250ms`, in milliseconds. */
function toMs(duration: string): number {
  const [, minutes = 0, seconds = 0, ms = 0] = /^(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/
    .exec(duration)!;
  return Number(minutes) * 60_000 + Number(seconds) * 1000 + Number(ms);
}

Deno.test("of 200 requests at a time exactly 100 are admitted", async () => {
  using _clock = new HeldClock();
  await using router = await startRouter();
  const answers = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const { status, headers, body } = await router.chat(ask("echo", "hi", { stream: i % 2 === 0 }));
    await body?.cancel();
    return { status, remaining: Number(headers.get("x-ratelimit-remaining-requests")) };
  }));
  const admitted = answers.filter(({ status }) => status === 200);
  assertEquals(
    admitted.map(({ remaining }) => remaining).sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
  const refused = answers.filter(({ status }) => status === 429);
  assertEquals([admitted.length, refused.length], [100, 100]);
  assertEquals(refused.filter(({ remaining }) => remaining !== 0), []);
});

Deno.test("the headers say what is left, and the request after retry-after is admitted", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "3" });
  const names = ["limit", "remaining", "reset"].map((name) => `x-ratelimit-${name}-requests`);
  for (const remaining of ["2", "1", "0"]) {
    const { status, headers, body } = await router.chat(ask("echo"));
    await body?.cancel();
    assertEquals(status, 200);
    assertEquals(names.slice(0, 2).map((name) => headers.get(name)), ["3", remaining]);
    assertMatch(headers.get(names[2]!)!, /^(\d+m)?(\d+s)?$|^\d+ms$/);
    const reset = toMs(headers.get(names[2]!)!);
    assert(reset > 60_000 && reset <= 120_000, `${reset}`);
    assertEquals(headers.get("retry-after"), null);
  }
  for (let round = 0; round < 10; round++) {
    const refused = await router.chat(ask("echo"));
    assertEquals([refused.status, refused.headers.get(names[1]!)], [429, "0"]);
    const { error } = await refused.json();
    assertEquals([error.code, error.type], ["rate_limited", "rate_limit_error"]);
    assertMatch(error.message, /3 requests a minute. Try again in \S+$/);
    const seconds = Number(refused.headers.get("retry-after"));
    assert(Number.isInteger(seconds) && seconds >= 1 && seconds <= 120);
    clock.pass(seconds * 1000);
    assertEquals(await statusOf(router.chat(ask("echo"))), 200);
  }
});

Deno.test("every key has a minute of its own, and a wrong key takes from none", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "2" });
  const other = await new KeyStore(router.program.database).create({ name: "other" });
  const as = (secret: string, body: unknown = ask("echo")) =>
    statusOf(router.chat(body, { headers: { authorization: `Bearer ${secret}` } }));
  for (let i = 0; i < 5; i++) assertEquals(await as(`xr-${"A".repeat(43)}`), 401);
  assertEquals([await as(router.secret), await as(router.secret)], [200, 200]);
  assertEquals(await as(router.secret), 429);
  // What is asked wrongly is asked all the same.
  assertEquals([await as(other.secret, "{"), await as(other.secret)], [400, 200]);
  assertEquals(await as(other.secret), 429);
  clock.pass(120_000);
  assertEquals([await as(router.secret), await as(other.secret)], [200, 200]);
});

Deno.test("a refused request asks no vendor, and is recorded with its key", async () => {
  using _clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "1" });
  await statusOf(router.chat(ask("echo")));
  await statusOf(router.chat(ask("echo")));
  const row = (await router.usage()).find(({ state }) => state === "refused");
  assertEquals(
    [row!.state, row!.status, row!.error_code, row!.key_id, row!.attempts, row!.provider],
    ["refused", 429, "rate_limited", router.keyId, 0, null],
  );
});

const minute = 60_000;

Deno.test("what is said to be left is left, and after the reset all of it is", () => {
  const random = seededRandom();
  for (let run = 0; run < 500; run++) {
    let now = 1_700_000_000_000;
    const store = new MemoryRateStore(() => now);
    const limit = 1 + random(30);
    const take = () => store.take([{ key: "key", limit, windowMs: minute, cost: 1 }])[0]!;
    for (let i = random(60); i > 0; i--) {
      // Bursts, steady streams, pauses, and the edges of the minute.
      const edge = minute - now % minute;
      now += [0, 0, 1, random(50), random(2_000), random(200_000), edge - 1, edge][random(8)]!;
      take();
    }
    const { remaining } = take();
    for (let left = remaining; left > 0; left--) assertEquals(take().fits, true);
    const { fits, resetMs } = take();
    assertEquals(fits, false);
    now += resetMs;
    assertEquals(take().remaining, limit - 1);
  }
});

Deno.test("a request that comes when room is made is counted in all its windows", () => {
  let now = 1_700_000_000_000;
  const store = new MemoryRateStore(() => now);
  const window = (key: string) => ({ key, limit: 5, windowMs: minute, cost: 1 });
  for (let i = 0; i < 10_000 - 1; i++) store.take([window(`old ${i}`)]);
  now += 3 * minute;
  const pair = [window("new"), window("newer")];
  assertEquals(store.take(pair).map(({ remaining }) => remaining), [4, 4]);
  assertEquals(store.take(pair).map(({ remaining }) => remaining), [3, 3]);
});
