import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ConfigError } from "../../core/config.ts";
import { createLog } from "../../core/log.ts";
import { Program } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { holdWriteLock } from "../store/write_lock.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { Exposition } from "../support/exposition.ts";
import { ask, startRouter } from "../support/router.ts";
import { watchStatements } from "../support/statements.ts";
import {
  delta,
  ending,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const price = { currency: "RUB", input: 65, output: 130, cached: 6.5 };
// A known encoding: then a hold has no margin.
const encoding = "o200k_base";
const priced = { models: { "openai/vendor-model": { price, encoding } } };

Deno.test("usage-record writes what was asked, served, used and charged, from the vendor's report", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env, {
    ...priced,
    routes: { fast: "openai/vendor-model" },
  });
  const before = Date.now();
  const response = await router.chat(ask("fast"));
  await response.text();
  const [row, ...others] = await router.usage();
  assertEquals(others, []);
  const { created_at: created, duration_ms: duration, first_token_ms: firstToken, ...rest } = row!;
  assert(created as number >= before && created as number <= Date.now());
  assert(firstToken as number >= 0 && duration as number >= (firstToken as number));
  assertEquals(rest, {
    "request_id": response.headers.get("x-request-id"),
    "key_id": router.keyId,
    owner: null,
    tag: null,
    model: "vendor-model",
    "counted_tokens": 10,
    charged: 6 * 65 + 4 * 6.5 + 5 * 130,
    provider: "openai",
    "model_asked": "fast",
    "model_served": "vendor-model-0613",
    stream: 0,
    "input_tokens": 10,
    "output_tokens": 5,
    "cached_tokens": 4,
    estimated: 0,
    cost: 6 * 65 + 4 * 6.5 + 5 * 130,
    currency: "RUB",
    "price_input": 65_000_000,
    "price_output": 130_000_000,
    "price_cached": 6_500_000,
    state: "completed",
    status: 200,
    "error_code": null,
    attempts: 1,
    "route": null,
    "try_of": null,
    "unanswered": 0,
    "charged_on": new Date(created as number).toISOString().slice(0, 10),
  });
});

Deno.test("usage-record counts a stream without a report itself, and marks it estimated", async () => {
  const [stop] = ending();
  await using vendor = startUpstream(() =>
    streamed(delta("one two three"), stop!, "data: [DONE]\n\n")
  );
  await using router = await startRouter(vendor.env, priced);
  await readWholeStream(await router.chat(ask("vendor-model", "one two three", { stream: true })));
  const [row] = await router.usage();
  assertEquals([row!.stream, row!.estimated, row!.state], [1, 1, "completed"]);
  assertEquals([row!.input_tokens, row!.output_tokens, row!.cached_tokens], [10, 3, 0]);
  assertEquals(row!.cost, 10 * 65 + 3 * 130);
});

Deno.test("usage-record writes one row for every exchange, however it ended", async () => {
  const broken = new Script();
  await using vendor = startUpstream(({ body }) =>
    body.model === "reject"
      ? Response.json({ error: { message: "no" } }, { status: 403 })
      : broken.response()
  );
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_RETRIES: "0",
    API_RATE_LIMIT: "8",
  });
  const ids: Record<string, string> = {};
  const end = async (name: string, answer: Promise<Response>) => {
    const response = await answer;
    ids[response.headers.get("x-request-id")!] = name;
    await response.text();
  };
  const streaming = { stream: true };
  await end("whole", router.chat(ask("echo")));
  await end("stream", router.chat(ask("echo", "hi", streaming)));
  await end("no key", router.chat(ask("echo"), { headers: { authorization: "" } }));
  await end("wrong body", router.chat("{"));
  await end("no model", router.chat(ask("nothing")));
  await end("failed", router.chat(ask("echo-fail")));
  await end("rejected", router.chat(ask("openai/reject")));
  await end("cut", router.chat(ask("echo-cut", "a b c d e f", streaming)));
  await broken.send(delta("Hel"));
  const left = await router.chat(ask("openai/x", "hi", streaming));
  ids[left.headers.get("x-request-id")!] = "left";
  const reader = left.body!.getReader();
  await reader.read();
  await reader.cancel();
  await vendor.seen[1]!.closed;
  await broken.break();
  await end("too many", router.chat(ask("echo")));

  const rows = Object.fromEntries((await router.usage()).map((row) => [
    ids[row.request_id as string],
    [row.state, row.status, row.error_code, row.provider, row.attempts, row.key_id !== null],
  ]));
  assertEquals(rows, {
    "whole": ["completed", 200, null, "echo", 1, true],
    "stream": ["completed", 200, null, "echo", 1, true],
    "no key": ["refused", 401, "unauthorized", null, 0, false],
    "wrong body": ["refused", 400, "invalid_request", null, 0, true],
    "no model": ["refused", 404, "no_route", null, 0, true],
    "failed": ["failed", 502, "upstream_unavailable", "echo", 1, true],
    "rejected": ["failed", 502, "upstream_rejected", "openai", 1, true],
    "cut": ["failed", 200, "upstream_unavailable", "echo", 1, true],
    "left": ["aborted", 200, "aborted", "openai", 1, true],
    "too many": ["refused", 429, "rate_limited", null, 0, true],
  });
});

Deno.test("usage-record charges what a broken answer used, and marks it estimated", async () => {
  const script = new Script();
  await using vendor = startUpstream(() => script.response());
  await using router = await startRouter(vendor.env, priced);
  const asked = router.chat(ask("vendor-model", "one two three", { stream: true }));
  await script.send(delta("one two"), delta(" three"));
  const response = await asked;
  await script.close();
  await response.text();
  const [row] = await router.usage();
  assertEquals([row!.state, row!.input_tokens, row!.output_tokens, row!.estimated], [
    "failed",
    10,
    3,
    1,
  ]);
  assertEquals([row!.cost, row!.model_served], [10 * 65 + 3 * 130, "vendor-model-0613"]);
});

Deno.test("without a price, or with one in another currency, the cost is unknown and not zero", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env, {
    models: { "openai/dollars": { price: { ...price, currency: "USD" } } },
  });
  for (const model of ["openai/unknown", "openai/dollars", "echo"]) {
    await (await router.chat(ask(model))).text();
  }
  const rows = (await router.usage()).map((row) => [row.cost, row.currency, row.price_input]);
  assertEquals(rows, [[null, null, null], [null, null, null], [0, "RUB", 0]]);
});

Deno.test("a report that no record can hold is counted instead, and every row is written", async () => {
  const reports = [
    { "prompt_tokens": 1.5, "completion_tokens": 2 },
    { "prompt_tokens": -1, "completion_tokens": 2 },
    { "prompt_tokens": 1e300, "completion_tokens": 2 },
    { "prompt_tokens": "10", "completion_tokens": 2 },
    { "prompt_tokens": 10 },
    "much",
    [],
  ];
  const strange = { name: { toString: 1 }, arguments: [] };
  const said = { content: "one two three", "tool_calls": [null, 5, { function: strange }] };
  const choice = { index: 0, message: said, delta: said, "finish_reason": "stop" };
  await using vendor = startUpstream((_, number) => {
    const rest = { usage: reports[Math.floor((number - 1) / 2)], choices: [choice] };
    return number % 2 === 0
      ? streamed(delta("", rest), "data: [DONE]\n\n")
      : wholeAnswer("", { ...rest, model: "\ud800\u0000" });
  });
  await using router = await startRouter(vendor.env, priced);
  for (let i = 0; i < reports.length; i++) {
    for (const stream of [false, true]) {
      await (await router.chat(ask("vendor-model", "one two three", { stream }))).text();
    }
  }
  const ready = await fetch(`${router.url}/ready`);
  assertEquals(await ready.json(), { status: "ready" });
  const rows = await router.usage();
  assertEquals(rows.length, 2 * reports.length);
  for (const row of rows) {
    assertEquals([row.input_tokens, row.output_tokens, row.estimated], [10, 3, 1]);
  }
});

Deno.test("usage-record writes in groups, and what is queued survives a graceful stop", async () => {
  await using router = await startRouter({ API_RATE_LIMIT: "1000" });
  const statements = watchStatements(router.program.database);
  await Promise.all(
    Array.from({ length: 100 }, async () => (await router.chat(ask("echo"))).text()),
  );
  await router.stop();
  const inserts = statements.filter((sql) => /INSERT INTO usage/.test(sql)).length;
  assert(inserts >= 1 && inserts < 25, `${inserts} statements for 100 rows`);
  assertEquals((await router.usage()).length, 100);
});

Deno.test("usage-record refuses before a provider is asked while the ledger is locked, and recovers", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env, priced);
  await (await router.chat(ask("vendor-model"))).text();
  const lock = await holdWriteLock(`${router.folder}/xrouter.db`);
  try {
    const response = await router.chat(ask("vendor-model"));
    const { error } = await response.json();
    assertEquals([response.status, error.code], [503, "unavailable"]);
    assertEquals(response.headers.get("retry-after"), "1");
  } finally {
    await lock.release();
  }
  const again = await router.chat(ask("vendor-model"));
  await again.text();
  assertEquals(again.status, 200);
  assertEquals(vendor.seen.length, 2);
  assertEquals((await router.usage()).map(({ state }) => state), [
    "completed",
    "refused",
    "completed",
  ]);
});

/** A router whose key has credit, in millionths. */
async function startPrepaid(
  credit: number,
  vendor: { env: Record<string, string> },
  models: object = priced.models,
  env: Record<string, string> = {},
) {
  const router = await startRouter({ ...vendor.env, ...env }, { models });
  await new AccountStore(router.program.database).credit(router.keyId, credit, "test");
  return router;
}

Deno.test("usage-record spends credit to its end and refuses what it cannot pay, naming it", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  // Each request holds 10 × 65 + 5 × 130 and costs 6 × 65 + 4 × 6.5 + 5 × 130.
  await using router = await startPrepaid(1_300 + 1_066, vendor);
  const body = ask("vendor-model", "one two three", { max_tokens: 5 });
  const spent = [];
  for (let i = 0; i < 2; i++) {
    const response = await router.chat(body);
    spent.push((await response.json()).usage.cost);
    assertEquals(response.status, 200);
  }
  const refused = await router.chat(body);
  const { error } = await refused.json();
  assertEquals([refused.status, error.code], [402, "insufficient_credits"]);
  assertEquals(
    error.message,
    'Key "test" has 0.000234 RUB of credit, 0.00 RUB of it held for requests under way; this ' +
      'request may cost 0.0013 RUB. Add credit, or ask for fewer tokens with "max_tokens"',
  );
  assertEquals(spent, [0.001066, 0.001066]);
  assertEquals(vendor.seen.length, 2);
  const rows = await router.usage();
  assertEquals(rows.map((row) => [row.state, row.status, row.charged, row.attempts]), [
    ["completed", 200, 1_066, 1],
    ["completed", 200, 1_066, 1],
    ["refused", 402, 0, 0],
  ]);
});

Deno.test("usage-record lets an answer be as long as the credit, where the client did not choose", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startPrepaid(650 + 20 * 130, vendor);
  const response = await router.chat(ask("vendor-model"));
  await response.text();
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("x-xrouter-max-tokens"), "20");
  assertEquals(vendor.seen[0]!.body.max_tokens, 20);
});

Deno.test("usage-record charges beyond the hold as far as the balance goes, and keeps the rest as a loss", async () => {
  const usage = { prompt_tokens: 10, completion_tokens: 1_000, total_tokens: 1_010 };
  await using vendor = startUpstream(() => wholeAnswer("long", { usage }));
  await using router = await startPrepaid(2_000, vendor);
  await (await router.chat(ask("vendor-model", "one two three", { max_tokens: 5 }))).text();
  await router.stop();
  const [row] = await router.usage();
  assertEquals([row!.cost, row!.charged], [10 * 65 + 1_000 * 130, 2_000]);
});

Deno.test("usage-record charges beyond a limit what the vendor reports, shows it, and refuses the next", async () => {
  const usage = { prompt_tokens: 10, completion_tokens: 1_000, total_tokens: 1_010 };
  await using vendor = startUpstream(() => wholeAnswer("long", { usage }));
  await using router = await startRouter(vendor.env, priced);
  await new AccountStore(router.program.database)
    .setLimits(router.keyId, { limit: { amount: 2_000, period: "month" } });
  const body = ask("vendor-model", "one two three", { max_tokens: 5 });
  await (await router.chat(body)).text();
  const cost = 10 * 65 + 1_000 * 130;
  const account = async () => (await (await router.get("/v1/key")).json()).data;
  // It is settled a moment after the answer.
  while ((await account()).used === 0);
  const { limit, used, held, left } = await account();
  assertEquals([limit, used, held, left], [0.002, cost / 1_000_000, 0, 0]);
  const page = new Exposition(await (await router.get("/metrics")).text());
  assertEquals(page.value("xrouter_over_limit_millionths"), cost - 2_000);
  const refused = await router.chat(body);
  await refused.text();
  assertEquals(refused.status, 402);
  const [row] = await router.usage();
  assertEquals([row!.cost, row!.charged], [cost, cost]);
});

Deno.test("usage-record asks the next target where the first cannot be paid", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const dear = { price: { currency: "RUB", input: 65_000, output: 130_000 }, encoding };
  await using router = await startPrepaid(5_000, vendor, {
    ...priced.models,
    "openai/dear": dear,
  });
  const body = ask("openai/dear", "one two three", { models: ["vendor-model"], max_tokens: 5 });
  const response = await router.chat(body);
  await response.text();
  assertEquals([response.status, response.headers.get("x-xrouter-attempts")], [200, "1"]);
  assertEquals(vendor.seen.map(({ body }) => body.model), ["vendor-model"]);
});

Deno.test("usage-record raises the hold before a dearer model is asked, or does not ask it", async () => {
  await using vendor = startUpstream(({ body }) =>
    body.model === "vendor-model" ? new Response("down", { status: 503 }) : wholeAnswer()
  );
  const dear = { price: { currency: "RUB", input: 650, output: 1_300 }, encoding };
  const models = { ...priced.models, "openai/dear": dear };
  const body = ask("vendor-model", "one two three", { models: ["openai/dear"], max_tokens: 5 });
  for (const [credit, status] of [[12_999, 502], [13_000, 200]] as const) {
    await using router = await startPrepaid(credit, vendor, models, { XROUTER_RETRIES: "0" });
    const response = await router.chat(body);
    await response.text();
    assertEquals(response.status, status);
    await router.stop();
  }
  assertEquals(vendor.seen.map(({ body }) => body.model), [
    "vendor-model",
    "vendor-model",
    "dear",
  ]);
});

Deno.test("usage-record refuses models without a price to keys with credit, and to all by setting", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startPrepaid(1_000_000, vendor);
  const response = await router.chat(ask("openai/unknown"));
  const { error } = await response.json();
  assertEquals([response.status, error.code, error.param], [402, "insufficient_credits", "model"]);
  await using strict = await startRouter({ ...vendor.env, XROUTER_UNPRICED: "refuse" });
  const refused = await strict.chat(ask("openai/unknown"));
  assertEquals([refused.status, (await refused.json()).error.code], [404, "no_route"]);
  assertEquals(vendor.seen.length, 0);
});

Deno.test("usage-record frees what is held as soon as an answer has ended", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startPrepaid(1_000_000, vendor);
  const store = new AccountStore(router.program.database);
  await store.setLimits(router.keyId, { parallel: 1 });
  for (let i = 0; i < 5; i++) {
    const response = await router.chat(ask("vendor-model"));
    await response.text();
    assertEquals(response.status, 200);
  }
  await router.usage();
});

Deno.test("usage-record keeps the client's tag, and refuses one that is none", async () => {
  await using router = await startRouter();
  const tagged = (tag: string) => router.chat(ask("echo"), { headers: { "x-xrouter-tag": tag } });
  await (await tagged("billing/eu")).text();
  const refused = await tagged("x".repeat(65));
  assertEquals([refused.status, (await refused.json()).error.param], [400, "x-xrouter-tag"]);
  assertEquals((await router.usage()).map(({ tag }) => tag), ["billing/eu", null]);
});

Deno.test("usage-record tells the vendor where to stop, where nothing else would bound a paid answer", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startPrepaid(1_000_000_000, vendor);
  await (await router.chat(ask("vendor-model"))).text();
  await (await router.chat(ask("vendor-model", "one two three", { max_tokens: 9 }))).text();
  await using unbounded = await startRouter(vendor.env, priced);
  await (await unbounded.chat(ask("vendor-model"))).text();
  await new AccountStore(unbounded.program.database)
    .setLimits(unbounded.keyId, { limit: { amount: 1_000_000_000, period: "day" } });
  const rotated = async () => {
    const response = await unbounded.chat(ask("vendor-model"));
    await response.text();
    return response.headers.get("x-xrouter-max-tokens");
  };
  // The key's limits are read anew within two seconds.
  while (await rotated() === null) await new Promise((resolve) => setTimeout(resolve, 100));
  const told = vendor.seen.map(({ body }) => body.max_tokens);
  assertEquals([...told.slice(0, 3), told.at(-1)], [4_096, 9, undefined, 4_096]);
});

Deno.test("usage-record lets no request cost more than the key's cap", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startPrepaid(1_000_000_000, vendor);
  await new AccountStore(router.program.database)
    .setLimits(router.keyId, { holdCap: 650 + 20 * 130 });
  const cut = await router.chat(ask("vendor-model"));
  await cut.text();
  assertEquals([cut.status, vendor.seen[0]!.body.max_tokens], [200, 20]);
  const refused = await router.chat(ask("vendor-model", "one two three", { max_tokens: 21 }));
  const { error } = await refused.json();
  assertEquals([refused.status, error.code], [402, "insufficient_credits"]);
  assertEquals(
    error.message,
    "A request of this key may cost 0.00325 RUB; this one may cost 0.00338 RUB. " +
      'Ask for fewer tokens with "max_tokens"',
  );
  assertEquals(vendor.seen.length, 1);
});

Deno.test("usage-record keeps accounts in one currency", async () => {
  await using router = await startRouter();
  await router.stop();
  const env = { DATABASE_URL: router.databaseUrl, XROUTER_CURRENCY: "USD" };
  const error = await assertRejects(() => Program.open(env, createLog(() => {})), ConfigError);
  assertStringIncludes(
    error.message,
    "the accounts of this database are kept in RUB, and XROUTER_CURRENCY is USD",
  );
});
