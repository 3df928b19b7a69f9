import { createNoopMeter, metrics, type ObservableCallback } from "@opentelemetry/api";
import { assert, assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import process from "node:process";
import type { Catalog } from "../../core/catalog.ts";
import type { ChatBody } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import type { Exchange } from "../../core/plugin.ts";
import { HeldClock } from "../support/clock.ts";
import { Exposition } from "../support/exposition.ts";
import {
  attempt,
  catalogOf,
  exchange,
  fault,
  labelsOf,
  startMetrics,
  usage,
} from "../support/metrics.ts";
import { ask, startRouter } from "../support/router.ts";

Deno.test("metrics answers a scrape in Prometheus' text format", async () => {
  using plugin = await startMetrics();
  const response = await plugin.page();
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const page = new Exposition(await response.text());
  assertEquals(Object.fromEntries(page.types), {
    gen_ai_client_token_usage: "histogram",
    gen_ai_server_request_duration_seconds: "histogram",
    gen_ai_server_time_to_first_token_seconds: "histogram",
    process_cpu_seconds_total: "counter",
    process_resident_memory_bytes: "gauge",
    process_start_time_seconds: "gauge",
    xrouter_active_requests: "gauge",
    xrouter_attempts_total: "counter",
    xrouter_cached_tokens_total: "counter",
    xrouter_circuit_openings_total: "counter",
    xrouter_circuit_state: "gauge",
    xrouter_cost_millionths_total: "counter",
    xrouter_estimated_answers_total: "counter",
    xrouter_event_loop_delay_seconds: "histogram",
    xrouter_loss_millionths: "gauge",
    xrouter_over_limit_millionths: "gauge",
    xrouter_requests_total: "counter",
    xrouter_unpriced_answers_total: "counter",
  });
});

Deno.test("metrics tells processor time, memory and start of the process", async () => {
  using plugin = await startMetrics();
  const page = await plugin.scrape();
  const cpu = page.value("process_cpu_seconds_total")!;
  assert(cpu > 0);
  assert(page.value("process_resident_memory_bytes")! > 1_000_000);
  const age = Date.now() / 1000 - page.value("process_start_time_seconds")!;
  assert(age > 0 && age < 3600, `the process is ${age} seconds old`);
  const later = (await plugin.scrape()).value("process_cpu_seconds_total")!;
  const { user, system } = process.cpuUsage();
  assert(cpu <= later && later <= (user + system) / 1_000_000, `${cpu}, then ${later}`);
});

Deno.test("metrics tells embeddings and chats of one model apart", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  const target = catalog.target("alpha", "priced");
  const rest = { target, usage };
  plugin.finish({ ...exchange(target), path: "/v1/embeddings" }, rest);
  for (let i = 0; i < 2; i++) plugin.finish(exchange(target), rest);
  const page = await plugin.scrape();
  const model = labelsOf("alpha", "priced");
  for (const [operation, count] of [["chat", 2], ["embeddings", 1]] as const) {
    const labels = { ...model, gen_ai_operation_name: operation };
    assertEquals(page.value("gen_ai_server_request_duration_seconds_count", labels), count);
    assertEquals(page.value("xrouter_cached_tokens_total", labels), usage.cached * count);
  }
});

Deno.test("metrics measures a stream: time, first token, tokens, cost and the try", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  const target = catalog.target("alpha", "priced");
  for (let i = 0; i < 2; i++) {
    const x = exchange(target, true);
    plugin.hooks.onRequest!(x);
    plugin.finish(x, { target, usage, firstChunkMs: 250, durationMs: 1500 });
  }
  const page = await plugin.scrape();
  const model = labelsOf("alpha", "priced");
  const ended = { "state": "completed", "http_response_status_code": 200 };
  assertEquals(page.value("xrouter_requests_total", ended), 2);
  assertEquals(page.value("xrouter_attempts_total", { gen_ai_provider_name: "alpha" }), 2);

  const duration = "gen_ai_server_request_duration_seconds";
  assertEquals(page.value(`${duration}_sum`, model), 3);
  assertEquals(page.value(`${duration}_bucket`, { ...model, le: 1.28 }), 0);
  assertEquals(page.value(`${duration}_bucket`, { ...model, le: 2.56 }), 2);
  assertEquals(page.value(`${duration}_bucket`, { ...model, le: 81.92 }), 2);
  assertEquals(page.value("gen_ai_server_time_to_first_token_seconds_sum", model), 0.5);

  const tokens = "gen_ai_client_token_usage";
  const output = { ...model, "gen_ai_token_type": "output" };
  assertEquals(page.value(`${tokens}_sum`, { ...model, gen_ai_token_type: "input" }), 40);
  assertEquals(page.value(`${tokens}_sum`, output), 6);
  assertEquals(page.value(`${tokens}_bucket`, { ...output, le: 1 }), 0);
  assertEquals(page.value(`${tokens}_bucket`, { ...output, le: 4 }), 2);
  assertEquals(page.value(`${tokens}_bucket`, { ...output, le: 67108864 }), 2);

  const cost = 15 * 65 + 5 * 0 + 3 * 130;
  assertEquals(
    page.value("xrouter_cost_millionths_total", { ...model, currency: "RUB" }),
    2 * cost,
  );
  assertEquals(page.value("xrouter_cached_tokens_total", model), 10);
  assertEquals(page.value("xrouter_unpriced_answers_total", model), 0);
  assertEquals(page.value("xrouter_estimated_answers_total", model), 0);
});

Deno.test("metrics shows what prepaid balances could not pay", async () => {
  using plugin = await startMetrics();
  await plugin.database.executeMultiple(`
    INSERT INTO api_keys (id, hash, name, created_at) VALUES ('key_1', 'h', 'n', 1);
    UPDATE accounts SET prepaid = 1;
    INSERT INTO credits VALUES ('c', 'key_1', 1, 100, 'test');
    INSERT INTO usage (request_id, created_at, key_id, stream, estimated, cost, charged, state,
      status, attempts, duration_ms)
      VALUES ('r', 1, 'key_1', 0, 0, 130, 130, 'completed', 200, 1, 1);
  `);
  assertEquals((await plugin.scrape()).value("xrouter_loss_millionths"), 30);
});

Deno.test("metrics shows what was charged beyond limits, until they renew", async () => {
  using plugin = await startMetrics();
  const shown = async () => (await plugin.scrape()).value("xrouter_over_limit_millionths");
  await plugin.database.executeMultiple(`
    INSERT INTO api_keys (id, hash, name, owner, created_at) VALUES ('key_1', '1', 'n', 'o', 1);
    INSERT INTO api_keys (id, hash, name, created_at) VALUES ('key_2', '2', 'n', 1);
    UPDATE accounts SET limit_amount = 100, limit_period = 'day' WHERE id <> 'owner:o';
    INSERT INTO spending VALUES ('key_1', date('now'), 100), ('key_2', date('now'), 99),
      ('key_2', date('now', '-1 day'), 5000), ('owner:o', date('now'), 5000);
  `);
  assertEquals(await shown(), 0);
  await plugin.database.executeMultiple(`
    UPDATE spending SET charged = charged + 7 WHERE day = date('now');
    UPDATE accounts SET limit_amount = 5000, limit_period = 'month' WHERE id = 'owner:o';
  `);
  assertEquals(await shown(), 7 + 6 + 7);
});

Deno.test("metrics takes no first token from an answer that is not streamed", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  const target = catalog.target("alpha", "priced");
  plugin.finish(exchange(target), { target, usage, firstChunkMs: 250 });
  const page = await plugin.scrape();
  assertEquals(page.all("gen_ai_server_request_duration_seconds_count").length, 1);
  assertEquals(page.all("gen_ai_server_time_to_first_token_seconds_count"), []);
});

Deno.test("metrics counts an unknown cost, and never as 0", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  for (const name of ["unpriced", "dollars"]) {
    const target = catalog.target("alpha", name);
    plugin.finish(exchange(target), { target, usage: { ...usage, estimated: true } });
  }
  const page = await plugin.scrape();
  const both = [
    { ...labelsOf("alpha", "unpriced"), value: 1 },
    { ...labelsOf("alpha", "dollars"), value: 1 },
  ];
  assertEquals(page.all("xrouter_unpriced_answers_total"), both);
  assertEquals(page.all("xrouter_estimated_answers_total"), both);
  assertEquals(page.all("xrouter_cost_millionths_total"), []);
});

Deno.test("metrics counts every state, and every try with its error", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  const [one, two] = [catalog.target("alpha", "priced"), catalog.target("beta", "two")];
  const unreadable: Exchange = {
    ...exchange(),
    parsedBody: undefined,
    get body(): ChatBody {
      throw new RouterError("invalid_request", "The body is not valid JSON");
    },
  };
  plugin.finish(unreadable, { state: "refused", status: 401, error: fault("unauthorized") });
  const busy = new RouterError("upstream_busy", "busy");
  const late = new RouterError("timeout", "late");
  const attempts = [attempt(one, busy), attempt(one, busy), attempt(two, late)];
  plugin.finish(
    { ...exchange(), attempts },
    { state: "failed", status: 504, error: fault("timeout"), target: two },
  );
  plugin.finish(
    exchange(one, true),
    { state: "failed", error: fault("upstream_unavailable"), target: one, usage },
  );
  plugin.finish(exchange(one, true), { state: "aborted", target: one, usage, firstChunkMs: 10 });
  plugin.finish(exchange(), { state: "aborted", status: 499, error: fault("aborted") });
  // An answer of a plugin: nobody was asked, and nobody charges.
  plugin.finish(exchange(), { usage });

  const page = await plugin.scrape();
  const ended = (state: string, status: number, error?: string) => ({
    state,
    http_response_status_code: String(status),
    ...(error && { error_type: error }),
    value: 1,
  });
  assertEquals(page.all("xrouter_requests_total"), [
    ended("refused", 401, "unauthorized"),
    ended("failed", 504, "timeout"),
    ended("failed", 200, "upstream_unavailable"),
    ended("aborted", 200),
    ended("aborted", 499, "aborted"),
    ended("completed", 200),
  ]);
  assertEquals(page.all("xrouter_attempts_total"), [
    { gen_ai_provider_name: "alpha", error_type: "upstream_busy", value: 2 },
    { gen_ai_provider_name: "beta", error_type: "timeout", value: 1 },
    { gen_ai_provider_name: "alpha", value: 2 },
  ]);
  assertEquals(page.all("gen_ai_server_request_duration_seconds_count"), [
    { ...labelsOf("beta", "other"), error_type: "timeout", value: 1 },
    { ...labelsOf("alpha", "priced"), error_type: "upstream_unavailable", value: 1 },
    { ...labelsOf("alpha", "priced"), value: 1 },
  ]);
  assertEquals(page.all("gen_ai_client_token_usage_count"), [
    { ...labelsOf("alpha", "priced"), gen_ai_token_type: "input", value: 2 },
    { ...labelsOf("alpha", "priced"), gen_ai_token_type: "output", value: 2 },
  ]);
});

Deno.test("metrics shows the requests that were let in and have not ended", async () => {
  using plugin = await startMetrics();
  const active = async () => (await plugin.scrape()).value("xrouter_active_requests");
  const [first, second] = [exchange(), exchange()];
  assertEquals(await active(), 0);
  plugin.hooks.onRequest!(first);
  plugin.hooks.onRequest!(second);
  assertEquals(await active(), 2);
  // Refused by an earlier plugin: it ends here without having begun here.
  plugin.finish(exchange(), { state: "refused", status: 401, error: fault("unauthorized") });
  assertEquals(await active(), 2);
  plugin.finish(first);
  plugin.finish(second);
  assertEquals(await active(), 0);
});

Deno.test("metrics sees an event loop that is held up", async () => {
  using plugin = await startMetrics();
  const end = performance.now() + 300;
  while (performance.now() < end);
  let page = await plugin.scrape();
  while (!page.value("xrouter_event_loop_delay_seconds_count")) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    page = await plugin.scrape();
  }
  // A look each 100 ms: of 300 at least 200 show.
  assertGreaterOrEqual(page.value("xrouter_event_loop_delay_seconds_sum")!, 0.199);
});

Deno.test("metrics writes to OpenTelemetry what it writes to Prometheus", async () => {
  const written: unknown[] = [];
  const options = new Map<string, unknown>();
  const callbacks = new Set<ObservableCallback>();
  const writer = (name: string) => (value: number, attributes: unknown) => {
    if (name !== "xrouter.event_loop.delay") written.push([name, value, attributes]);
  };
  const meter = Object.assign(createNoopMeter(), {
    createCounter: (name: string) => ({ add: writer(name) }),
    createHistogram(name: string, given: unknown) {
      options.set(name, given);
      return { record: writer(name) };
    },
    createObservableUpDownCounter: () => ({
      addCallback: (callback: ObservableCallback) => callbacks.add(callback),
      removeCallback: (callback: ObservableCallback) => callbacks.delete(callback),
    }),
  });
  assert(metrics.setGlobalMeterProvider({ getMeter: () => meter }));
  try {
    const catalog = catalogOf();
    using plugin = await startMetrics(catalog);
    const target = catalog.target("alpha", "priced");
    const x = exchange(target, true);
    plugin.hooks.onRequest!(x);
    const active: number[] = [];
    for (const callback of callbacks) await callback({ observe: (value) => active.push(value) });
    assertEquals(active, [1, 0, 0]);
    plugin.finish(x, {
      state: "failed",
      error: fault("timeout"),
      target,
      usage,
      firstChunkMs: 250,
      durationMs: 1500,
    });
    const model = {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "alpha",
      "gen_ai.request.model": "priced",
    };
    const ended = { state: "failed", "http.response.status_code": 200, "error.type": "timeout" };
    assertEquals(written, [
      ["xrouter.requests", 1, ended],
      ["xrouter.attempts", 1, { "gen_ai.provider.name": "alpha" }],
      ["gen_ai.server.request.duration", 1.5, { ...model, "error.type": "timeout" }],
      ["gen_ai.client.token.usage", 20, { ...model, "gen_ai.token.type": "input" }],
      ["gen_ai.client.token.usage", 3, { ...model, "gen_ai.token.type": "output" }],
      ["xrouter.cached_tokens", 5, model],
      ["xrouter.cost", 1365, { ...model, currency: "RUB" }],
      ["gen_ai.server.time_to_first_token", 0.25, model],
    ]);
    const { unit, advice } = options.get("gen_ai.server.request.duration") as {
      unit: string;
      advice: { explicitBucketBoundaries: number[] };
    };
    assertEquals(unit, "s");
    assertEquals(
      advice.explicitBucketBoundaries,
      [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
    );
    plugin.hooks.dispose!();
    assertEquals(callbacks.size, 0);
    plugin.hooks.dispose!();
  } finally {
    metrics.disable();
  }
});

Deno.test("a running XRouter measures what it answers and what it refuses", async () => {
  await using router = await startRouter();
  await (await router.chat(ask("echo", "one two three", { stream: true }))).text();
  await (await router.chat(ask("echo"), { headers: { authorization: "Bearer wrong" } })).text();
  const page = new Exposition(await (await fetch(`${router.url}/metrics`)).text());
  assertEquals(page.all("xrouter_requests_total"), [
    { state: "completed", http_response_status_code: "200", value: 1 },
    {
      state: "refused",
      http_response_status_code: "401",
      error_type: "unauthorized",
      value: 1,
    },
  ]);
  const echo = labelsOf("echo", "echo");
  assertEquals(page.value("gen_ai_server_time_to_first_token_seconds_count", echo), 1);
  assertEquals(page.value("xrouter_cost_millionths_total", { ...echo, currency: "RUB" }), 0);
  assertEquals(page.value("xrouter_active_requests"), 0);
});

/** Asks a model of a vendor that nobody can reach. */
async function askInVain(catalog: Catalog, provider: string, model: string, times: number) {
  for (let i = 0; i < times; i++) {
    const opening = catalog.providers.get(provider)!.open({
      body: { model, messages: [] },
      headers: {},
      clientHeaders: new Headers(),
      keyId: undefined,
      signal: new AbortController().signal,
      cannotKeep: () => {},
      changed: () => {},
    });
    await assertRejects(() => opening);
  }
}

Deno.test("metrics shows circuits of the models that the configuration names, and counts openings", async () => {
  using clock = new HeldClock();
  const callbacks = new Set<ObservableCallback>();
  const meter = Object.assign(createNoopMeter(), {
    createObservableUpDownCounter: (name: string) => ({
      addCallback: (each: ObservableCallback) =>
        name === "xrouter.circuit.state" && callbacks.add(each),
      removeCallback: (each: ObservableCallback) => callbacks.delete(each),
    }),
  });
  assert(metrics.setGlobalMeterProvider({ getMeter: () => meter }));
  try {
    const catalog = catalogOf();
    using plugin = await startMetrics(catalog);
    await askInVain(catalog, "alpha", "priced", 6);
    await askInVain(catalog, "alpha", "unpriced", 2);
    await askInVain(catalog, "beta", "made-up", 5);
    const labels = (gen_ai_provider_name: string, gen_ai_request_model: string) => ({
      gen_ai_provider_name,
      gen_ai_request_model,
    });
    const page = await plugin.scrape();
    const unpriced = { ...labels("alpha", "unpriced"), value: 0 };
    assertEquals(page.all("xrouter_circuit_state"), [
      { ...labels("alpha", "priced"), value: 2 },
      unpriced,
    ]);
    const openings = [
      { ...labels("alpha", "priced"), value: 1 },
      { ...labels("beta", "other"), value: 1 },
    ];
    assertEquals(page.all("xrouter_circuit_openings_total"), openings);

    clock.pass(5_000);
    const later = await plugin.scrape();
    const halfOpen = { ...labels("alpha", "priced"), value: 1 };
    assertEquals(later.all("xrouter_circuit_state"), [halfOpen, unpriced]);
    // A try that fails is no other opening.
    await askInVain(catalog, "alpha", "priced", 1);
    const last = await plugin.scrape();
    assertEquals(last.all("xrouter_circuit_openings_total"), openings);

    const observed: unknown[] = [];
    for (const callback of callbacks) {
      await callback({ observe: (value, attributes) => observed.push([value, attributes]) });
    }
    const attributes = { "gen_ai.provider.name": "alpha", "gen_ai.request.model": "priced" };
    assertEquals(observed[0], [2, attributes]);
    await plugin.hooks.dispose!();
    assertEquals(callbacks.size, 0);
  } finally {
    metrics.disable();
  }
});
