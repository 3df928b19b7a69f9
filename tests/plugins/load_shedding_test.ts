import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { Priority } from "../../core/ledger/limits.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { HeldClock } from "../support/clock.ts";
import { dropIn } from "../support/drop_in.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

/** Makes a key of a priority. @returns Asks with it. */
async function caller(router: TestRouter, priority: Priority | null, owner?: string) {
  const { database } = router.program;
  const name = `${priority}`;
  const { key, secret } = await new KeyStore(database).create({
    name,
    ...(owner !== undefined && { owner }),
  });
  await new AccountStore(database).setLimits(key.id, { priority, requestsPerMinute: 10_000 });
  return (body: unknown, init: RequestInit = {}) =>
    router.chat(body, { ...init, headers: { authorization: `Bearer ${secret}`, ...init.headers } });
}

/**
 * Starts a router whose looks at the event loop are made by hand: the machine that tests run on may
 * be saturated itself. No other interval is as short.
 */
async function startUnhurried(env: Record<string, string> = {}) {
  const looks: (() => void)[] = [];
  const real = globalThis.setInterval;
  globalThis.setInterval = ((run: () => void, ms: number) => {
    if (ms === 100) looks.push(run);
    return real(ms === 100 ? () => {} : run, ms);
  }) as typeof real;
  const router = await startRouter(env).finally(() => globalThis.setInterval = real);
  return { router, looks };
}

async function refusal(answer: Promise<Response>): Promise<string> {
  const response = await answer;
  const { error } = await response.json();
  assertEquals([response.status, error.code, error.type], [429, "overloaded", "rate_limit_error"]);
  assertMatch(response.headers.get("retry-after")!, /^[1-5]$/);
  assertMatch(error.message, /Try again in [1-5] s$/);
  return error.message;
}

Deno.test("load-shedding refuses low priority first under a flood, and serves all afterwards", async () => {
  const open = Promise.withResolvers<void>();
  let arrived = 0;
  let wanted = Infinity;
  let full = Promise.withResolvers<void>();
  await using vendor = startUpstream(async () => {
    if (++arrived === wanted) full.resolve();
    await open.promise;
    return wholeAnswer();
  });
  const env = { ...vendor.env, XROUTER_MAX_RUNNING: "10" };
  await using router = (await startUnhurried(env)).router;
  const [low, normal, high] = [
    await caller(router, "low"),
    await caller(router, null),
    await caller(router, "high"),
  ];
  const answers: Promise<Response>[] = [];
  const fill = async (who: typeof low, count: number) => {
    full = Promise.withResolvers();
    wanted = arrived + count;
    for (let i = 0; i < count; i++) answers.push(who(ask("openai/m")));
    await full.promise;
  };
  await fill(low, 8);
  assertMatch(await refusal(low(ask("openai/m"))), /8 requests are under way/);
  await fill(normal, 2);
  await refusal(normal(ask("openai/m")));
  await fill(high, 2);
  await refusal(high(ask("openai/m")));
  // A flood of those that must wait: none of it reaches the provider, or takes a place.
  const flood = Array.from({ length: 300 }, (_, i) => (i % 2 ? low : normal)(ask("openai/m")));
  for (const answer of flood) await refusal(answer);
  assertEquals(arrived, 12);
  open.resolve();
  for (const answer of answers) {
    const response = await answer;
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
  for (const who of [low, normal, high]) await untilServed(() => who(ask("openai/m")));
  const rows = await router.usage();
  assertLessOrEqual(303, rows.filter(({ error_code }) => error_code === "overloaded").length);
});

/** Asks until it is answered: what ended may not have been told to the plugins yet. */
async function untilServed(asking: () => Promise<Response>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const response = await asking();
    await response.body?.cancel();
    if (response.status === 200) return;
    assertEquals(response.status, 429);
  }
  throw new Error("It is refused for ever");
}

Deno.test("load-shedding takes a key's own priority, then its owner's", async () => {
  const held = new Script();
  await using vendor = startUpstream(() => held.response());
  const env = { ...vendor.env, XROUTER_MAX_RUNNING: "1" };
  await using router = (await startUnhurried(env)).router;
  const accounts = new AccountStore(router.program.database);
  const own = await caller(router, "normal", "me");
  const shared = await caller(router, null, "me");
  await accounts.setLimits("owner:me", { priority: "high" });
  const arriving = vendor.nextChat();
  const running = router.chat(ask("openai/m", "hi", { stream: true }));
  await arriving;
  await refusal(own(ask("echo")));
  const served = await shared(ask("echo"));
  await served.body?.cancel();
  assertEquals(served.status, 200);
  await held.send(delta("Hi"), ...ending());
  await held.close();
  await (await running).text();
});

Deno.test("load-shedding counts no exchange that is over, however it ended", async () => {
  await using folder = await dropIn({
    "17_crash.ts": `export default { name: "crash", setup: () => ({
      onRequest(x) { if (x.headers.has("x-crash")) throw new Error("on purpose"); },
      onFinish() { throw new Error("on purpose"); },
    }) };`,
    "90_late.ts": `export default { name: "late", setup: () => ({
      onFinish() { return Promise.reject(new Error("on purpose")); },
    }) };`,
  });
  const script = new Script();
  await using vendor = startUpstream(({ body }) => {
    if (body.model === "stays") return script.response();
    return Response.json({ error: { message: "no" } }, { status: 500 });
  });
  const env = {
    ...vendor.env,
    XROUTER_PLUGINS_DIR: folder.path,
    XROUTER_RETRIES: "0",
    XROUTER_DRAIN_SECONDS: "0",
    XROUTER_MAX_RUNNING: "1",
  };
  await using router = (await startUnhurried(env)).router;
  const normal = await caller(router, "normal");
  const ends: [number, () => Promise<Response>][] = [
    [200, () => normal(ask("echo", "hi", { stream: true }))],
    [500, () => normal(ask("echo"), { headers: { "x-crash": "1" } })],
    [400, () => normal("{")],
    [404, () => normal(ask("nothing"))],
    [502, () => normal(ask("openai/fails"))],
    [200, () => normal(ask("echo-cut", "a b c d", { stream: true }))],
    [401, () => router.chat(ask("echo"), { headers: { authorization: "Bearer wrong" } })],
  ];
  for (const [status, asking] of ends) {
    const response = await asking();
    await response.text();
    assertEquals(response.status, status);
    await untilServed(() => normal(ask("echo")));
  }
  // Clients that leave: before anything was sent, and in the middle of a stream.
  const leaving = new AbortController();
  const arriving = vendor.nextChat();
  const left = normal(ask("openai/stays", "hi", { stream: true }), { signal: leaving.signal });
  await arriving;
  leaving.abort();
  await left.catch(() => {});
  await untilServed(() => normal(ask("echo")));
  await script.break();
  assert(router.log.some(({ message }) => message === 'plugin "crash" crashed in onFinish'));
});

Deno.test("load-shedding refuses while the event loop is late, and no longer", async () => {
  using clock = new HeldClock();
  const { router: started, looks } = await startUnhurried();
  await using router = started;
  const callers = [
    await caller(router, "low"),
    await caller(router, "normal"),
    await caller(router, "high"),
  ];
  const look = (times: number, ms: number) => {
    for (let i = 0; i < times; i++) {
      clock.pass(ms);
      for (const run of looks) run();
    }
  };
  const statuses = () =>
    Promise.all(callers.map(async (who) => {
      const response = await who(ask("echo"));
      await response.body?.cancel();
      return response.status;
    }));
  assertEquals(await statuses(), [200, 200, 200]);
  look(1, 60_000);
  assertEquals(await statuses(), [429, 200, 200], "a machine that slept");
  look(2, 1_300);
  assertEquals(await statuses(), [429, 429, 200]);
  assertMatch(await refusal(callers[1]!(ask("echo"))), /work waits \d+ ms for its turn/);
  look(8, 1_300);
  assertEquals(await statuses(), [429, 429, 429]);
  look(20, 100);
  assertEquals(await statuses(), [200, 200, 200]);
});
