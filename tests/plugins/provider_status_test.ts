import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { HeldClock } from "../support/clock.ts";
import { statusOf, untilStatus } from "../support/provider_status.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import {
  delta,
  ending,
  modelList,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";
import { get, makeKey, refusal } from "../support/usage_client.ts";

const minute = 60_000;
const file = { models: { "openai/m": {} } };
const once = {
  XROUTER_RETRIES: "0",
  XROUTER_STATUS_PROBE_SECONDS: "0",
  // A test reads until it sees what it waits for.
  API_RATE_LIMIT: "1000000",
};

/** Asks the model `m` some times. */
async function askTimes(router: TestRouter, times: number, rest: object = {}): Promise<void> {
  for (let i = 0; i < times; i++) {
    await (await router.chat(ask("openai/m", "hi", rest))).body?.cancel();
  }
}

/** What the history has of a provider as a whole, once something is in it. */
async function historyOf(router: TestRouter, provider: string, secret: string, query = "") {
  for (;;) {
    const { data } = await get(
      router,
      `providers/status?history=2020-01-01&provider=${provider}${query}`,
      { secret },
    );
    if (data.length > 0) return data;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

Deno.test("GET /v1/providers/status follows a vendor that fails and recovers", async () => {
  using clock = new HeldClock();
  let fails = true;
  await using vendor = startUpstream(() =>
    fails ? Response.json({ error: { message: "disk full" } }, { status: 500 }) : wholeAnswer()
  );
  await using router = await startRouter({ ...vendor.env, ...once }, file);
  const admin = await makeKey(router, "admin", { admin: true });
  const fresh = await statusOf(router, "openai");
  assertEquals([fresh.status, fresh.attempts, fresh.models], ["unknown", 0, []]);

  await askTimes(router, 4);
  const few = await untilStatus(router, "openai", ({ attempts }) => attempts === 4);
  assertEquals([few.status, few.error_rate], ["unknown", 1], "four tries are too few to tell");
  await askTimes(router, 1);
  const down = await untilStatus(router, "openai", ({ attempts }) => attempts === 5);
  const at = new Date(Date.now()).toISOString();
  const bad = {
    status: "down",
    since: at,
    attempts: 5,
    errors: 5,
    error_rate: 1,
    errors_by_code: { upstream_unavailable: 5 },
    latency_ms: null,
    duration_ms: null,
    last_error: { code: "upstream_unavailable", at },
  };
  assertEquals(down, {
    provider: "openai",
    ...bad,
    probe: null,
    models: [{ model: "m", ...bad, circuit: down.models[0].circuit }],
  });
  const { circuit } = down.models[0];
  assertEquals([Object.keys(circuit), circuit.state], [["state", "retry_after_ms"], "open"]);
  assert(circuit.retry_after_ms > 4_499 && circuit.retry_after_ms <= 5_000);
  const toldAdmin = await statusOf(router, "openai", admin.secret);
  assertEquals(toldAdmin.models[0].circuit, {
    ...circuit,
    accounts: [{ account: "", ...circuit }],
  });
  const told = toldAdmin.last_error;
  assertStringIncludes(told.message, "HTTP 500");
  assertStringIncludes(told.detail, "disk full");

  fails = false;
  clock.pass(3 * minute);
  await askTimes(router, 10);
  const mending = await untilStatus(router, "openai", ({ attempts }) => attempts === 15);
  assertEquals(
    mending.status,
    "down",
    "a third of the tries failed, more than half of the threshold",
  );
  clock.pass(3 * minute);
  const up = await statusOf(router, "openai");
  assertEquals([up.status, up.attempts, up.errors], ["up", 10, 0]);
  assertEquals(up.models[0].circuit, { state: "closed", retry_after_ms: 0 });
  assertEquals(up.since, new Date(Date.now()).toISOString());
  assertEquals(up.last_error, { code: "upstream_unavailable", at });
  await router.stop();

  // Another process on the same database: the history is kept.
  await using next = await startRouter({ ...vendor.env, DATABASE_URL: router.databaseUrl });
  const secret = admin.secret;
  const history = await historyOf(next, "openai", secret);
  const ofStatus = history.filter(({ account }: { account: string | null }) => account === null);
  const rows = (model: string | null) =>
    ofStatus.filter((row: { model: string | null }) => row.model === model)
      .map(({ at, status, attempts, errors, error_rate, error_code }: Record<string, unknown>) => [
        at,
        status,
        attempts,
        errors,
        error_rate,
        error_code,
      ]);
  const expected = [
    [at, "down", 5, 5, 1, "upstream_unavailable"],
    [up.since, "up", 10, 0, 0, null],
  ];
  assertEquals(rows(null), expected);
  assertEquals(rows("m"), expected);
  const later = await get(next, `providers/status?history=${up.since}&provider=openai`, { secret });
  assertEquals(later.data.length, 2);
  const first = await get(next, `providers/status?history=2020-01-01&limit=3&model=m`, { secret });
  assertEquals([first.data.length, first.next === null], [3, false]);
  // Beside them, the account's circuit opened and closed.
  const circuitsOf = (of: string | null) =>
    history.filter(({ model, account }: Record<string, unknown>) => model === "m" && account === of)
      .map(({ circuit, changed }: Record<string, unknown>) => [circuit, changed]);
  assertEquals(circuitsOf(""), [["open", true], ["closed", true]]);
  assertEquals(circuitsOf(null), [["open", true], ["closed", true]]);
  const lines = router.log.filter(({ message }) => String(message).startsWith("a circuit"));
  assertEquals(
    lines.map(({ level, provider, account, model, reason }) =>
      [level, provider, account, model, reason].join(" ")
    ),
    [
      "warn openai  m 5 of the last 5 calls failed",
      "info openai  m the call that tried it was answered",
    ],
  );
  const page = await get(next, "providers/status?history=2020-01-01&limit=1", { secret });
  const rest = await get(next, `providers/status?history=2020-01-01&after=${page.next}`, {
    secret,
  });
  assertEquals([...page.data, ...rest.data], history);
});

Deno.test("GET /v1/providers/status tells times of streams and of whole answers", async () => {
  using clock = new HeldClock();
  await using vendor = startUpstream(({ body }) => {
    clock.pass(body.stream === true ? 200 : 3_000);
    return body.stream === true ? streamed(delta("Hi"), ...ending()) : wholeAnswer();
  });
  await using router = await startRouter({ ...vendor.env, ...once }, file);
  await askTimes(router, 2);
  await untilStatus(router, "openai", ({ attempts }) => attempts === 2);
  assertEquals((await statusOf(router, "openai")).latency_ms, null);
  for (let i = 0; i < 8; i++) {
    await (await router.chat(ask("openai/m", "hi", { stream: true }))).text();
  }
  const { status, models: [m] } = await untilStatus(
    router,
    "openai",
    ({ attempts }) => attempts === 10,
  );
  assertEquals(status, "up");
  assertAlmostEquals(m.latency_ms.p50 / 200, 1, 0.1);
  assertAlmostEquals(m.latency_ms.p95 / 200, 1, 0.1);
  assertAlmostEquals(m.duration_ms.p50 / 200, 1, 0.1);
  assertAlmostEquals(m.duration_ms.p95 / 3_000, 1, 0.1);
});

Deno.test("provider-status counts every try, also those that others made good", async () => {
  let number = 0;
  await using vendor = startUpstream(() =>
    ++number % 2 === 1 ? new Response("down", { status: 503 }) : wholeAnswer()
  );
  // Fewer than it takes to open the circuit.
  const few = { XROUTER_RETRIES: "1", XROUTER_STATUS_MIN_ATTEMPTS: "4" };
  await using router = await startRouter({ ...vendor.env, ...once, ...few }, file);
  await askTimes(router, 2);
  const status = await untilStatus(router, "openai", ({ attempts }) => attempts === 4);
  assertEquals([status.status, status.errors], ["down", 2]);
});

Deno.test("provider-status blames no provider for what the client did", async () => {
  const refuse = (status: number, error: object) => Response.json({ error }, { status });
  const answers: Record<string, () => Response> = {
    wrong: () => refuse(400, { message: "no" }),
    filtered: () => refuse(400, { code: "content_filter" }),
    long: () => refuse(400, { code: "context_length_exceeded" }),
    large: () => refuse(413, {}),
    unknown: () => refuse(404, { message: "The model does not exist" }),
    good: () => wholeAnswer(),
  };
  const open: Script[] = [];
  const hang = () => {
    open.push(new Script());
    return open.at(-1)!.response();
  };
  await using vendor = startUpstream(({ body }) => answers[body.model]?.() ?? hang());
  const models = Object.keys(answers).map((model) => [`openai/${model}`, {}]);
  await using router = await startRouter({ ...vendor.env, ...once, XROUTER_DRAIN_SECONDS: "1" }, {
    models: Object.fromEntries(models),
  });
  for (const model of Object.keys(answers)) {
    await (await router.chat(ask(`openai/${model}`))).body?.cancel();
  }
  // A client that leaves before and one that leaves within an answer; nothing more is ever sent.
  for (const isEarly of [true, false]) {
    const asked = vendor.nextChat();
    const client = new AbortController();
    const { signal } = client;
    const answer = router.chat(ask("openai/hangs", "hi", { stream: true }), { signal });
    await asked;
    if (!isEarly) {
      await open.at(-1)!.send(delta("Hi"));
      await (await answer).body!.getReader().read();
    }
    client.abort();
    await answer.catch(() => {});
  }
  const requests = await router.usage();
  assertEquals(requests.map(({ state }) => state).sort(), [
    ...["aborted", "aborted", "completed"],
    ...["failed", "failed", "failed", "failed", "failed"],
  ]);
  await using next = await startRouter({ DATABASE_URL: router.databaseUrl });
  const admin = await makeKey(next, "admin", { admin: true });
  const rows = await historyOf(next, "openai", admin.secret, "&snapshots=1");
  assertEquals(
    rows.map(({ model, status, attempts, errors }: Record<string, unknown>) =>
      [model, status, attempts, errors].join(" ")
    ).sort(),
    [" up 1 0", "good up 1 0"],
  );
});

Deno.test("provider-status probes a vendor that nobody asks, and only then", async () => {
  using clock = new HeldClock();
  let probes = 0;
  let seen = Promise.withResolvers<void>();
  let isAlive = true;
  await using vendor = startUpstream(() => wholeAnswer(), () => {
    probes++;
    seen.resolve();
    seen = Promise.withResolvers();
    return isAlive ? modelList("m") : new Response("", { status: 503 });
  });
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" }, file);
  const admin = await makeKey(router, "admin", { admin: true });
  const probe = async (isTold: (status: { status: string; probe: { ok: boolean } }) => boolean) => {
    const next = seen.promise;
    clock.pass(1.5 * minute);
    await next;
    return await untilStatus(router, "openai", isTold);
  };
  const up = await probe(({ status }) => status === "up");
  assertEquals([up.probe.ok, up.probe.at, up.attempts], [
    true,
    new Date(Date.now()).toISOString(),
    0,
  ]);
  assertEquals(probes, 1);
  // A busy vendor is not asked, though time goes by; the clock's timer runs at least twice.
  for (let i = 0; i < 5; i++) {
    clock.pass(0.9 * minute);
    await askTimes(router, 1);
    await untilStatus(router, "openai", ({ attempts }) => attempts === i + 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assertEquals(probes, 1);

  // Its failures: one is none, two are a vendor that is down, though what traffic there was succeeded.
  isAlive = false;
  const first = await probe(({ probe }) => !probe.ok);
  assertEquals(first.status, "up");
  const down = await probe(({ status }) => status === "down");
  assertEquals([down.last_error.code, down.errors], ["upstream_unavailable", 0]);
  isAlive = true;
  await probe(({ status }) => status === "up");
  const local = await statusOf(router, "echo");
  assertEquals([local.status, local.probe], ["unknown", null]);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const history = await historyOf(router, "openai", admin.secret);
  assertEquals(
    history.map(({ status, probe_ms }: Record<string, unknown>) => [status, probe_ms]),
    [["up", 0], ["down", 0], ["up", 0]],
  );
});

Deno.test("provider-status keeps a row a minute while there is traffic, and what a stop finds", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({ ...vendor.env, ...once }, file);
  const admin = await makeKey(router, "admin", { admin: true });
  await askTimes(router, 3);
  await untilStatus(router, "openai", ({ attempts }) => attempts === 3);
  await router.stop();
  await using next = await startRouter({ DATABASE_URL: router.databaseUrl });
  const rows = await historyOf(next, "openai", admin.secret, "&snapshots=1&model=m");
  assertEquals(rows.length, 1);
  const { status, changed, attempts, error_rate, duration_ms } = rows[0];
  assertEquals([status, changed, attempts, error_rate], ["up", false, 3, 0]);
  assert(duration_ms.p50 >= 1);
});

Deno.test("provider-status of two processes on one database has what both saw", async () => {
  await using vendor = startUpstream(() => new Response("", { status: 500 }));
  await using other = startUpstream(() => wholeAnswer());
  await using one = await startRouter({ ...vendor.env, ...once }, file);
  await using two = await startRouter(
    { ...other.env, ...once, DATABASE_URL: one.databaseUrl },
    file,
  );
  const admin = await makeKey(one, "admin", { admin: true });
  await Promise.all([askTimes(one, 20), askTimes(two, 20)]);
  await untilStatus(one, "openai", ({ status }) => status === "down");
  await untilStatus(two, "openai", ({ status }) => status === "up");
  await two.stop();
  const statuses = new Set<string>();
  while (statuses.size < 2) {
    for (const { status, account } of await historyOf(one, "openai", admin.secret)) {
      if (account === null) statuses.add(status);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals([...statuses].sort(), ["down", "up"]);
});

Deno.test("provider-status answers although its history cannot be written", async () => {
  await using router = await startRouter();
  await router.program.database.execute("DROP TABLE provider_status");
  await (await router.chat(ask("echo"))).body?.cancel();
  await untilStatus(router, "echo", ({ status }) => status === "up");
  const again = await router.chat(ask("echo"));
  assertEquals([again.status, (await again.json()).model], [200, "echo"]);
  await router.stop();
  const lines = router.log.filter(({ plugin }) => plugin === "provider-status");
  assert(lines.length > 0 && lines.every(({ level }) => level === "warn"), JSON.stringify(lines));
});

Deno.test("GET /v1/providers/status refuses what it does not understand, and history to most", async () => {
  await using router = await startRouter();
  const wrong: [query: string, status: number, param: string, message: string][] = [
    ["history=2026-12-01", 403, "history", "admin keys only"],
    ["history=yesterday", 400, "history", "must be a day such as 2026-12-01"],
    ["history=2026-02-30", 400, "history", "must be a day"],
    ["provider=openai", 400, "provider", "Add history="],
    ["snapshots=yes&history=2026-12-01", 400, "snapshots", "must be 1"],
    ["limit=0&history=2026-12-01", 400, "limit", "from 1 to 1000"],
    ["after=x&history=2026-12-01", 400, "after", '"next"'],
    ["since=2026-12-01", 400, "since", "is no parameter. There are: history"],
  ];
  for (const [query, status, param, message] of wrong) {
    const error = await refusal(router, `providers/status?${query}`, status);
    assertEquals(error.param, param, query);
    assertStringIncludes(error.message, message);
  }
  await get(router, "providers/status", { secret: "xr-none", status: 401 });
  const admin = await makeKey(router, "admin", { admin: true });
  for (const since of ["2026-12-01", "2026-12-01T20:00:00Z", "2026-12-01T20:00:00%2B03:00"]) {
    await get(router, `providers/status?history=${since}`, { secret: admin.secret });
  }
});
