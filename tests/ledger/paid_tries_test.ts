import { assert, assertEquals, assertRejects } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { dropIn } from "../support/drop_in.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import { withAccounts } from "./account_place.ts";
import { MovedTime } from "./moved_time.ts";

/** A plugin that says of each failed try what it has used, as the kernel does where it knows. */
const spending = `
import { definePlugin } from "xrouter/plugin";
const used = (x) => {
  for (const attempt of x.attempts) {
    if (attempt.error) attempt.usage = { input: 10, output: 2, cached: 0, estimated: true };
  }
};
export default definePlugin({
  name: "spending",
  setup: () => ({ onAttempt: used }),
});
`;

Deno.test("a failed try that cost something is billed to its model, shown with its request and counted once", async () => {
  await using dropped = await dropIn({ "48_spending.ts": spending });
  await using upstream = startUpstream(({ body }) =>
    body.model === "first"
      ? Response.json({ error: { message: "down" } }, { status: 500 })
      : wholeAnswer()
  );
  const price = { currency: "RUB", input: 1, output: 10 };
  await using router = await startRouter(
    { ...upstream.env, XROUTER_RETRIES: "0", XROUTER_PLUGINS_DIR: dropped.path },
    {
      models: { "openai/first": { price }, "openai/second": { price } },
      routes: { both: ["openai/first", "openai/second"] },
    },
  );
  await new AccountStore(router.program.database).credit(router.keyId, 1_000_000, "test");
  const response = await router.chat(ask("both"));
  assertEquals(response.status, 200, await response.text());
  const id = response.headers.get("x-request-id")!;
  const get = async (path: string) => await (await router.get(`/v1/${path}`)).json();
  // It is settled a moment after the answer.
  while ((await get("usage")).totals.requests === 0);

  const { data } = await get(`generation?id=${id}`);
  const own = 10 + 5 * 10;
  assertEquals([data.model, data.cost, data.total_cost, data.charged, data.usage, data.attempts], [
    "second",
    own / 1e6,
    (own + 30) / 1e6,
    (own + 30) / 1e6,
    (own + 30) / 1e6,
    2,
  ]);
  const [{ generation_time: took, ...first }, ...others] = data.tries;
  assertEquals(others, []);
  assert(took >= 0);
  assertEquals(first, {
    id: `${id}.1`,
    provider_name: "openai",
    model: "first",
    tokens_prompt: 10,
    tokens_completion: 2,
    native_tokens_cached: 0,
    estimated: true,
    cost: 0.00003,
    charged: 0.00003,
    state: "failed",
    error_code: "upstream_unavailable",
    latency: null,
  });

  const byModel = await get("usage?group_by=model");
  const sums = byModel.data.map(({ model, requests, failed, output_tokens, cost }: {
    [name: string]: unknown;
  }) => [model, requests, failed, output_tokens, cost]);
  assertEquals(sums, [["first", 0, 0, 2, 0.00003], ["second", 1, 0, 5, own / 1e6]]);
  assertEquals([byModel.totals.requests, byModel.totals.cost], [1, (own + 30) / 1e6]);

  const pages = [];
  let next: string | null = "";
  while (next !== null) {
    const page = await get(`usage?rows=1&limit=1${next && `&after=${next}`}`);
    next = page.next as string | null;
    pages.push(...page.data.map((row: Record<string, unknown>) => [row.id, row.try_of]));
  }
  assertEquals(pages, [[`${id}.1`, id], [id, null]]);
  const csv = await (await router.get("/v1/usage?rows=1&format=csv")).text();
  const [head, line] = csv.split("\r\n").map((text) => text.split(","));
  assertEquals([head!.at(-1), line!.at(-1), line![0]], ["try_of", id, `${id}.1`]);
  assertEquals((await checkLedger(router.program.database)).mismatches, []);
});

Deno.test("a try takes what it cost out of its request's hold, so that nobody else's room changes", () =>
  withAccounts(async ({ client, accounts, id }) => {
    await accounts.credit(id, 1_000, "test");
    const written = { key_id: id, owner: "me" };
    const request = await addHold(client, { ...written, amount: 300 });
    await addHold(client, { ...written, amount: 500 });
    const addTry = (number: number, cost: number) =>
      addUsage(client, {
        ...written,
        request_id: `${request}.${number}`,
        try_of: request,
        state: "failed",
        cost,
      });
    const read = async () => {
      const { balance, held, open } = (await accounts.read(id))!;
      return [balance, held, open];
    };
    await addTry(1, 120);
    assertEquals(await read(), [880, 680, 2]);
    // Beyond the hold it goes as far as the balance does that nobody else holds.
    await addTry(2, 700);
    assertEquals(await read(), [500, 500, 2]);
    await addUsage(client, { ...written, request_id: request, cost: 10 });
    assertEquals(await read(), [500, 500, 1]);
    const { rows } = await client.execute("SELECT cost, charged FROM usage ORDER BY request_id");
    assertEquals(rows.map((row) => [...Object.values(row)]), [[10, 0], [120, 120], [700, 380]]);
    assertEquals((await checkLedger(client)).mismatches, []);
  }));

Deno.test("a hold that shrinks is never refused, whatever its account may do since", () =>
  withAccounts(async ({ client, accounts, id }) => {
    const request = await addHold(client, { key_id: id, amount: 300, currency: null });
    await accounts.setLimits(id, { limit: { amount: 1, period: "day" } });
    await addUsage(client, { key_id: id, request_id: `${request}.1`, try_of: request, cost: 100 });
    await client.execute("UPDATE holds SET amount = 150, currency = 'RUB', attempts = 2");
    assertEquals((await accounts.read(id))!.held, 150);
    const moves = [
      "UPDATE holds SET amount = 151, attempts = 3",
      "UPDATE holds SET amount = 0, currency = NULL, attempts = 3",
    ];
    for (const move of moves) {
      await assertRejects(() => client.execute(move), Error, "the hold does not fit", move);
    }
  }));

Deno.test("a try has the id of its request", () =>
  withAccounts(async ({ client }) => {
    const wrong = { request_id: "other.1", try_of: "request" };
    await assertRejects(() => addUsage(client, wrong), Error, "CHECK constraint failed");
  }));

Deno.test("a guess is taken back from the day on which it was charged", () =>
  withAccounts(async ({ client, accounts, id }) => {
    await accounts.setLimits(id, { limit: { amount: 1_000, period: "day" } });
    const time = await MovedTime.install(client);
    await time.set("2026-11-30T23:59:59.000Z");
    const day = "2026-11-30";
    const request_id = await addUsage(client, {
      key_id: id,
      cost: 90,
      state: "interrupted",
      charged_on: day,
    });
    await time.set("2026-12-01T00:00:01.000Z");
    await addUsage(client, { key_id: id, request_id, cost: 40 });
    const { rows } = await client.execute("SELECT day, charged FROM spending ORDER BY day");
    assertEquals(rows.map((row) => [...Object.values(row)]), [[day, 0], ["2026-12-01", 40]]);
    assertEquals((await accounts.read(id))!.used, 40);
  }));
