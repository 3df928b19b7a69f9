import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Hono } from "hono";
import type { RouterError } from "../../core/errors.ts";
import { createLog } from "../../core/log.ts";
import type { Host } from "../../core/plugin.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { KeyStore } from "../../core/store/keys.ts";
import usage from "../../plugins/70_usage/mod.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import { get, makeKey, refusal } from "../support/usage_client.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";

const million = 1_000_000;

Deno.test("GET /v1/generation tells what became of a request, to those who may know", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env, {
    models: {
      "openai/vendor-model": { price: { currency: "RUB", input: 65, output: 130, cached: 6.5 } },
    },
  });
  const response = await router.chat(ask("vendor-model"));
  await response.text();
  const id = response.headers.get("x-request-id")!;
  const data = await settled(router, id);
  const { created_at, latency, generation_time, ...rest } = data;
  assert(Date.parse(created_at) <= Date.now() && latency >= 0 && generation_time >= latency);
  assertEquals(rest, {
    id,
    model: "vendor-model",
    model_asked: "vendor-model",
    model_served: "vendor-model-0613",
    provider_name: "openai",
    streamed: false,
    cancelled: false,
    tokens_prompt: 10,
    tokens_completion: 5,
    native_tokens_cached: 4,
    estimated: false,
    cost: 0.001066,
    total_cost: 0.001066,
    charged: 0.001066,
    usage: 0.001066,
    state: "completed",
    status: 200,
    error_code: null,
    attempts: 1,
    tag: null,
    price: { currency: "RUB", input: 65, output: 130, cached: 6.5 },
    route: null,
    tries: [],
    try_of: null,
  });
  const stranger = await makeKey(router, "stranger");
  const admin = await makeKey(router, "admin", { admin: true });
  for (const [unknown, secret] of [[id, stranger.secret], ["no-such-id", router.secret]] as const) {
    const error = await refusal(router, `generation?id=${unknown}`, 404, secret);
    assertEquals([error.code, error.param], ["not_found", "id"]);
    assertStringIncludes(error.message, `"${unknown}"`);
  }
  assertEquals((await get(router, `generation?id=${id}`, admin)).data, data);
});

/** Waits for the end of a request to be written. */
async function settled(router: TestRouter, id: string) {
  for (;;) {
    const response = await router.get(`/v1/generation?id=${id}`);
    const { data } = await response.json();
    if (data !== undefined && data.state !== "open") return data;
  }
}

Deno.test("GET /v1/generation says that a request is open while it is", async () => {
  await using router = await startRouter();
  const { database } = router.program;
  const id = await addHold(database, { key_id: router.keyId, output_tokens: 3 });
  const { data } = await get(router, `generation?id=${id}`);
  assertEquals(
    [data.id, data.state, data.status, data.cancelled, data.tokens_completion],
    [id, "open", null, false, 3],
  );
  assertEquals([data.total_cost, data.usage, data.generation_time], [null, 0, null]);
  const stranger = await makeKey(router, "stranger");
  await refusal(router, `generation?id=${id}`, 404, stranger.secret);
  await addUsage(database, { key_id: router.keyId, request_id: id, state: "aborted", status: 499 });
  const ended = (await get(router, `generation?id=${id}`)).data;
  assertEquals([ended.state, ended.cancelled, ended.total_cost], ["aborted", true, 0.0001]);
});

Deno.test("GET /v1/key and /v1/credits tell what is left of credit and limits", async () => {
  await using router = await startRouter();
  const { database } = router.program;
  const accounts = new AccountStore(database);
  const fresh = (await get(router, "key")).data;
  assertEquals(fresh, {
    label: "test",
    id: router.keyId,
    owner: null,
    limit: null,
    limit_period: null,
    limit_renews: null,
    used: null,
    held: 0,
    left: null,
    usage: 0,
    usage_daily: 0,
    usage_weekly: 0,
    usage_monthly: 0,
    prepaid: false,
    credit_left: null,
    requests_per_minute: null,
    tokens_per_minute: null,
    parallel: null,
    models: null,
    hold_cap: null,
    unsupported: null,
    exact_count: null,
    priority: null,
    expires_at: null,
    is_admin: false,
    owner_account: null,
    currency: "RUB",
  });
  const { limit_renews: _, owner_account: __, ...unlimited } = fresh;
  const none = { total_credits: 0, total_usage: 0, held: 0, left: null };
  assertEquals((await get(router, "credits")).data, {
    ...none,
    owner_account: null,
    currency: "RUB",
  });

  const expiresAt = Date.now() + 86_400_000;
  const anna = await makeKey(router, "anna", { owner: "Anna", expiresAt });
  await accounts.credit(anna.id, 10 * million, "credit");
  await accounts.setLimits(anna.id, {
    limit: { amount: 8 * million, period: "month" },
    requestsPerMinute: 5,
    tokensPerMinute: 6,
    parallel: 7,
    models: ["echo"],
    holdCap: 2 * million,
  });
  await accounts.setLimits("owner:Anna", { limit: { amount: 6 * million, period: "day" } });
  const own = { key_id: anna.id, owner: "Anna" };
  await addUsage(database, { ...own, cost: 1_500_000 });
  await addHold(database, { ...own, amount: 250_000 });
  const { owner_account, ...key } = (await get(router, "key", anna)).data;
  const { limit_renews, ...numbers } = key;
  assertEquals(Date.parse(limit_renews), Date.parse(nextMonth()));
  assertEquals(numbers, {
    ...unlimited,
    label: "anna",
    id: anna.id,
    owner: "Anna",
    limit: 8,
    limit_period: "month",
    used: 1.5,
    held: 0.25,
    left: 4.25,
    usage: 1.5,
    usage_daily: 1.5,
    usage_weekly: 1.5,
    usage_monthly: 1.5,
    prepaid: true,
    credit_left: 8.25,
    requests_per_minute: 5,
    tokens_per_minute: 6,
    parallel: 7,
    models: ["echo"],
    hold_cap: 2,
    expires_at: new Date(expiresAt).toISOString(),
  });
  assertEquals([owner_account.limit, owner_account.left, owner_account.prepaid], [6, 4.25, false]);
  assertEquals((await get(router, "credits", anna)).data, {
    total_credits: 10,
    total_usage: 1.5,
    held: 0.25,
    left: 8.25,
    owner_account: { ...none, total_usage: 1.5, held: 0.25 },
    currency: "RUB",
  });

  // Whatever is least bounds: first the key's own limit, then the owner's credit.
  const left = async () => (await get(router, "key", anna)).data.left;
  await accounts.setLimits(anna.id, { limit: { amount: 2 * million, period: "month" } });
  assertEquals(await left(), 0.25);
  await accounts.setLimits(anna.id, { limit: { amount: million, period: "month" } });
  assertEquals(await left(), 0);
  await accounts.setLimits(anna.id, { limit: null });
  await accounts.credit("owner:Anna", million, "credit");
  assertEquals(await left(), 0.75);
  const credits = (await get(router, "credits", anna)).data.owner_account;
  assertEquals(credits, { total_credits: 2.5, total_usage: 1.5, held: 0.25, left: 0.75 });
});

Deno.test("an admin key is told of all keys and owners", async () => {
  await using router = await startRouter();
  const { database } = router.program;
  const accounts = new AccountStore(database);
  const admin = await makeKey(router, "admin", { admin: true });
  const none = { total_credits: 0, total_usage: 0, held: 0, left: null };
  const credits = async (query = "") => (await get(router, `credits${query}`, admin)).data;
  assertEquals(await credits(), { ...none, owner_account: none, currency: "RUB" });

  const owner = "Anna";
  const [one, two] = [
    await makeKey(router, "one", { owner }),
    await makeKey(router, "two", { owner }),
  ];
  await accounts.credit(one.id, 10 * million, "credit");
  await accounts.credit("owner:Anna", 20 * million, "credit");
  await accounts.setLimits(two.id, { limit: { amount: 6 * million, period: "day" } });
  for (const [key, cost] of [[one, 1], [two, 2]] as const) {
    await addUsage(database, { key_id: key.id, owner, cost: cost * million });
  }
  await addUsage(database, { key_id: router.keyId, cost: 4 * million });
  await addHold(database, { key_id: two.id, owner, amount: million / 2 });
  const owners = { total_credits: 20, total_usage: 3, held: 0.5, left: 16.5 };
  const ofOne = { total_credits: 10, total_usage: 1, held: 0, left: 9 };
  assertEquals(await credits(), {
    ...{ total_credits: 10, total_usage: 7, held: 0.5, left: 9 },
    owner_account: owners,
    currency: "RUB",
  });
  assertEquals(await credits(`?key=${one.id}`), {
    ...ofOne,
    owner_account: owners,
    currency: "RUB",
  });

  await new KeyStore(database).revoke(one.id);
  const { data, currency } = await get(router, "keys", admin);
  assertEquals(currency, "RUB");
  const shown = ["label", "owner", "disabled", "is_admin", "used", "held", "left", "usage"];
  const told = data.map((key: Record<string, unknown>) => shown.map((name) => key[name]));
  assertEquals(told.sort(), [
    ["admin", null, false, true, null, 0, null, 0],
    ["one", "Anna", true, false, null, 0, 9, 1],
    ["test", null, false, false, null, 0, null, 4],
    ["two", "Anna", false, false, 2, 0.5, 3.5, 2],
  ]);
  for (const key of data) {
    const { disabled: _, created_at, last_used_at: __, ...same } = key;
    assert(Date.parse(created_at) <= Date.now());
    assertEquals((await get(router, `key?key=${key.id}`, admin)).data, { ...same, currency });
  }
  assertEquals((await get(router, "keys?offset=3", admin)).data, data.slice(3));
  assertEquals((await get(router, "keys?offset=4", admin)).data, []);
  assertEquals((await refusal(router, "keys?offset=-1", 400, admin.secret)).param, "offset");
  assertEquals((await refusal(router, "keys", 403)).code, "forbidden");
});

Deno.test("GET /v1/keys lists a hundred keys a page", async () => {
  await using router = await startRouter();
  const admin = await makeKey(router, "admin", { admin: true });
  for (let i = 0; i < 101; i++) await makeKey(router, `key ${i}`);
  const ids = async (query: string): Promise<string[]> =>
    (await get(router, `keys${query}`, admin)).data.map(({ id }: { id: string }) => id);
  const [first, rest] = [await ids(""), await ids("?offset=100")];
  assertEquals([first.length, rest.length], [100, 3]);
  assertEquals(new Set([...first, ...rest]).size, 103);
});

function nextMonth(): string {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
}

Deno.test("the usage routes answer 401 without a key, also when nobody checks keys", async () => {
  await using router = await startRouter();
  const paths = ["usage", "usage?from=x", "generation?id=x", "generation", "key", "credits"];
  for (const path of paths) {
    const error = await refusal(router, path, 401, "xr-wrong");
    assertEquals(error.code, "unauthorized", path);
  }
  const app = new Hono();
  app.onError((error) => Response.json((error as RouterError).body()));
  const { catalog, database } = router.program;
  const host = { catalog, database, log: createLog(() => {}), currency: "RUB" };
  (await usage.setup(undefined, host as Host)).routes?.(app);
  for (const path of paths) {
    const { error } = await (await app.request(`/v1/${path}`)).json();
    assertEquals(error.code, "unauthorized", path);
  }
});

Deno.test("GET /v1/key and /v1/credits tell an admin key about any key, and others only about themselves", async () => {
  await using router = await startRouter();
  const { secret } = await new KeyStore(router.program.database).create({
    name: "operator",
    admin: true,
  });
  const read = async (path: string, key: string) => {
    const headers = { authorization: `Bearer ${key}` };
    const response = await fetch(`${router.url}${path}`, { headers });
    return { status: response.status, body: await response.json() };
  };
  const found = await read(`/v1/key?key=${router.keyId}`, secret);
  assertEquals([found.status, found.body.data.label], [200, "test"]);
  assertEquals((await read(`/v1/credits?key=${router.keyId}`, secret)).status, 200);
  const unknown = await read("/v1/key?key=key_nobody", secret);
  assertEquals([unknown.status, unknown.body.error.param], [404, "key"]);
  const refused = await read("/v1/key?key=key_other", router.secret);
  assertEquals([refused.status, refused.body.error.param], [403, "key"]);
  assertEquals((await read(`/v1/key?key=${router.keyId}`, router.secret)).status, 200);
});
