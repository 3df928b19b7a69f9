import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../core/ledger/accounts.ts";
import { xrouter } from "./cli/xrouter.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";
import { startUpstream, type TestUpstream, wholeAnswer } from "./support/upstream.ts";

const price = { currency: "RUB", input: 1_000, output: 10_000 };
const file = {
  models: {
    "openai/dear": { price: { ...price, output: 100_000 }, maxOutput: 1_000 },
    "openai/cheap": { price, maxOutput: 1_000 },
    "openai/blind": { price, images: false },
    "openai/small": { price, context: 16 },
  },
  routes: {
    best: {
      strategy: "cheapest",
      targets: ["openai/dear", "openai/cheap", "openai/small", "gigachat/GigaChat-2"],
      attempts: 3,
      onBreak: "continue",
    },
  },
};

async function start(upstream: TestUpstream): Promise<TestRouter> {
  return await startRouter({ ...upstream.env, XROUTER_RETRIES: "0" }, file);
}

const text =
  "a question that is longer than sixteen tokens, so that the small model cannot have it";

// deno-lint-ignore no-explicit-any
async function explain(router: TestRouter, body: unknown): Promise<any> {
  const response = await fetch(`${router.url}/v1/route/explain`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.secret}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...await response.json() };
}

Deno.test("explain names the targets in order, what would be held, and who is not asked and why", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  await using router = await start(upstream);
  const told = await explain(router, ask("best", text));
  assertEquals([told.status, told.route, told.strategy], [200, "best", "cheapest"]);
  assertEquals(told.targets.map(({ target }: { target: string }) => target), [
    "openai/cheap",
    "openai/dear",
  ]);
  const [cheap, dear] = told.targets;
  // The input, and a thousand tokens of output at 0.01 and 0.1 each.
  assertEquals([Math.floor(cheap.held), Math.floor(dear.held)], [10, 100]);
  assertEquals([cheap.circuit, cheap.running, cheap.refusal], ["closed", 0, null]);
  const reasons = Object.fromEntries(
    told.excluded.map(({ target, reason }: { target: string; reason: string }) => [target, reason]),
  );
  assertStringIncludes(reasons["openai/small"], "16");
  assertStringIncludes(reasons["gigachat/GigaChat-2"], "not configured");
  assertEquals([told.attempts, told.on_break, told.hedge_after_ms], [3, "continue", null]);
  // Nobody was asked, nothing is held, and nothing is recorded.
  assertEquals(upstream.seen.length, 0);
  const { rows } = await router.program.database.execute("SELECT count(*) AS n FROM holds");
  assertEquals(rows[0]!.n, 0);
  assertEquals(await router.usage(), []);
});

Deno.test("explain says of a target whose circuit is open that it would be refused", async () => {
  await using upstream = startUpstream(() => Response.json({ error: {} }, { status: 500 }));
  await using router = await start(upstream);
  for (let i = 0; i < 5; i++) await (await router.chat(ask("openai/cheap", text))).body?.cancel();
  const { targets } = await explain(router, ask("best", text));
  assertEquals(
    // deno-lint-ignore no-explicit-any
    targets.map(({ target, circuit, refusal }: any) => [target, circuit, refusal?.code ?? null]),
    [["openai/cheap", "open", "circuit_open"], ["openai/dear", "closed", null]],
  );
  const [{ retry_after_ms: open }, { retry_after_ms: closed }] = targets;
  assertEquals([Number.isInteger(open) && open > 0, closed], [true, null]);
});

Deno.test("explain says what a key can afford", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  await using router = await start(upstream);
  const accounts = new AccountStore(router.program.database);
  await accounts.credit(router.keyId, 20_000_000, "test");
  const { targets: [cheap, dear] } = await explain(router, ask("best", text));
  assertEquals([cheap.refusal, cheap.max_tokens], [null, null]);
  // 20 pay for some 199 tokens of the dear one.
  assert(dear.held <= 20 && dear.max_tokens > 100 && dear.max_tokens < 200, JSON.stringify(dear));
  await accounts.credit(router.keyId, -20_000_000, "test");
  const { targets } = await explain(router, ask("best", text));
  assertEquals(
    targets.map(({ refusal }: { refusal: { code: string } }) => refusal.code),
    ["insufficient_credits", "insufficient_credits"],
  );
});

Deno.test("explain uses none of the tokens that a key has a minute", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  await using router = await start(upstream);
  const { database } = router.program;
  await new AccountStore(database).setLimits(router.keyId, { tokensPerMinute: 30 });
  for (let i = 0; i < 5; i++) assertEquals((await explain(router, ask("best", text))).status, 200);
  const response = await router.chat(ask("best", text));
  assertEquals(response.status, 200, await response.text());
});

Deno.test("explain refuses what the request itself would be refused for", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  await using router = await start(upstream);
  const wrong = await explain(router, { model: "best", messages: "none" });
  assertEquals([wrong.status, wrong.error.param], [400, "messages"]);
  const unknown = await explain(router, ask("nowhere/at-all"));
  assertEquals([unknown.status, unknown.error.code], [404, "no_route"]);
  const embeddings = await explain(router, { model: "openai/cheap", input: "words" });
  assertEquals([embeddings.status, embeddings.kind], [200, "embeddings"]);
  const stranger = await fetch(`${router.url}/v1/route/explain`, { method: "POST", body: "{}" });
  assertEquals(stranger.status, 401);
  await stranger.body?.cancel();
});

Deno.test("why a request went where it went is told afterwards, by its id", async () => {
  await using upstream = startUpstream(({ body }) =>
    body.model === "cheap"
      ? Response.json({ error: { message: "no" } }, { status: 500 })
      : wholeAnswer()
  );
  await using router = await start(upstream);
  const response = await router.chat(ask("best", text));
  await response.body?.cancel();
  const id = response.headers.get("x-request-id")!;
  const plain = await router.chat(ask("openai/dear"));
  await plain.body?.cancel();
  await router.stop();
  const rows = await router.usage();
  const route = JSON.parse(String(rows.find(({ request_id }) => request_id === id)!.route));
  assertEquals([route.route, route.strategy, route.targets], [
    "best",
    "cheapest",
    ["openai/cheap", "openai/dear"],
  ]);
  assertEquals(
    route.attempts.map(({ target, error }: Record<string, string>) => [target, error]),
    [["openai/cheap", "upstream_unavailable"], ["openai/dear", null]],
  );
  // A plain way is not kept: the row has it all.
  assertEquals(rows.find(({ request_id }) => request_id !== id)!.route, null);
  const ended = await xrouter(router.folder, ["explain", "--id", id], {
    DATABASE_URL: router.databaseUrl,
  });
  assertEquals([ended.code, JSON.parse(ended.stdout)], [0, route]);
});

Deno.test("xrouter explain asks a running server, and says what is missing", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  await using router = await start(upstream);
  const env = { XROUTER_API_KEY: router.secret };
  const args = ["explain", "--model", "best", "--text", text, "--url", router.url];
  const told = await xrouter(router.folder, args, env);
  assertEquals([told.code, told.stderr], [0, ""]);
  assertStringIncludes(told.stdout, 'Route "best"; cheapest.');
  assertStringIncludes(told.stdout, "1. openai/cheap");
  assertStringIncludes(told.stdout, "openai/small: ");
  const keyless = await xrouter(router.folder, args);
  assertEquals([keyless.code, keyless.stderr.includes("XROUTER_API_KEY")], [1, true]);
  const nobody = await xrouter(
    router.folder,
    ["explain", "--model", "best", "--url", "http://127.0.0.1:1"],
    env,
  );
  assertEquals([nobody.code, nobody.stderr.includes("No server answers")], [1, true]);
  const both = await xrouter(router.folder, ["explain", "--model", "a", "--id", "b"], env);
  assertEquals(both.code, 2);
});
