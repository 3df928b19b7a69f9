import { assertEquals } from "@std/assert";
import { type ErrorCode, errorTable, RouterError } from "../../core/errors.ts";
import {
  attempt,
  catalogOf,
  exchange,
  fault,
  labelsOf,
  startMetrics,
  usage,
} from "../support/metrics.ts";

Deno.test("a model's label is named in the configuration, or it is other", async () => {
  const strange = 'quote " backslash \\ newline \n';
  const catalog = catalogOf({
    models: { listed: {}, [strange]: {} },
    overrides: { "beta/overridden": {} },
    routes: { quick: ["beta/by-id", "beta/by-name"] },
  });
  using plugin = await startMetrics(catalog);
  const asked = [
    ["alpha", "listed"],
    ["alpha", strange],
    ["beta", "overridden"],
    ["beta", "by-id"],
    ["beta", "by-name"],
    ["beta", "listed"],
    ["beta", "quick"],
    ["alpha", "overridden"],
    ["alpha", "by-id"],
    ["alpha", "constructor"],
    ["alpha", "__proto__"],
    ["gamma", "listed"],
    ["constructor", "by-name"],
  ] as const;
  for (const [provider, model] of asked) {
    const target = catalog.target(provider, model);
    plugin.finish(exchange(target), { target, usage });
  }
  assertEquals((await plugin.scrape()).all("xrouter_unpriced_answers_total"), [
    { ...labelsOf("alpha", "listed"), value: 1 },
    { ...labelsOf("alpha", strange), value: 1 },
    { ...labelsOf("beta", "overridden"), value: 1 },
    { ...labelsOf("beta", "by-id"), value: 1 },
    { ...labelsOf("beta", "by-name"), value: 1 },
    { ...labelsOf("beta", "other"), value: 2 },
    { ...labelsOf("alpha", "other"), value: 4 },
    { ...labelsOf("other", "other"), value: 2 },
  ]);
});

Deno.test("10,000 names that clients make up add no series", async () => {
  using plugin = await startMetrics();
  const late = new RouterError("timeout", "late");
  const make = (i: number) => {
    const target = { provider: i % 2 ? "beta" : `vendor-${i}`, model: `model-${i}`, facts: {} };
    const x = { ...exchange(target, true), attempts: [attempt(target, late)] };
    const body = { ...x.body, model: `asked-${i}` };
    plugin.finish({ ...x, body, parsedBody: body }, {
      state: "failed",
      status: 504,
      error: fault("timeout"),
      target,
      usage,
      servedModel: `served-${i}`,
      firstChunkMs: i,
    });
  };
  make(0);
  make(1);
  const before = (await plugin.scrape()).samples.length;
  for (let i = 2; i < 10_000; i++) make(i);
  const page = await plugin.scrape();
  assertEquals(page.samples.length, before);
  assertEquals(page.all("xrouter_unpriced_answers_total"), [
    { ...labelsOf("other", "other"), value: 5000 },
    { ...labelsOf("beta", "other"), value: 5000 },
  ]);
});

Deno.test("every code and status of the error table has a label of its own", async () => {
  using plugin = await startMetrics();
  for (const [code, { status }] of Object.entries(errorTable)) {
    plugin.finish(exchange(), { state: "refused", status, error: fault(code as ErrorCode) });
  }
  assertEquals(
    (await plugin.scrape()).all("xrouter_requests_total"),
    Object.entries(errorTable).map(([code, { status }]) => ({
      state: "refused",
      http_response_status_code: String(status),
      error_type: code,
      value: 1,
    })),
  );
});

Deno.test("nonsense in an outcome is other or is dropped, and costs nothing else", async () => {
  const catalog = catalogOf();
  using plugin = await startMetrics(catalog);
  const target = catalog.target("alpha", "priced");
  for (const input of [NaN, -1, Infinity, "7", {}, null, undefined] as number[]) {
    plugin.finish(exchange(target), { target, usage: { ...usage, input, cached: input } });
  }
  for (let i = 0; i < 1000; i++) {
    const code = (i % 2 ? `code-${i}` : "toString") as ErrorCode;
    const state = `state-${i}` as "failed";
    plugin.finish(exchange(), { state, status: 600 + i, error: fault(code), durationMs: NaN });
  }
  const page = await plugin.scrape();
  assertEquals(page.all("gen_ai_client_token_usage_count"), [
    { ...labelsOf("alpha", "priced"), gen_ai_token_type: "output", value: 7 },
  ]);
  assertEquals(page.all("xrouter_cached_tokens_total"), [
    { ...labelsOf("alpha", "priced"), value: 0 },
  ]);
  assertEquals(page.all("xrouter_requests_total"), [
    { state: "completed", http_response_status_code: "200", value: 7 },
    {
      state: "other",
      http_response_status_code: "other",
      error_type: "other",
      value: 1000,
    },
  ]);
});
