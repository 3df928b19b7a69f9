import { assert, assertEquals, assertMatch } from "@std/assert";
import auth from "../../plugins/10_auth.ts";
import type { Exchange, Host } from "../../core/plugin.ts";
import { createLog } from "../../core/log.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { HeldClock } from "../support/clock.ts";
import { dropIn } from "../support/drop_in.ts";
import { sendRaw } from "../support/raw_http.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { watchStatements } from "../support/statements.ts";

/** Asks with these headers for a chat and for the list of models. */
async function statuses(router: TestRouter, headers: Record<string, string>): Promise<number[]> {
  const responses = await Promise.all([
    fetch(`${router.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(ask("echo")),
    }),
    fetch(`${router.url}/v1/models`, { headers }),
  ]);
  for (const response of responses) await response.body?.cancel();
  return responses.map(({ status }) => status);
}

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

Deno.test("auth takes a key as bearer and as x-api-key", async () => {
  await using router = await startRouter();
  const { secret } = router;
  for (
    const headers of [
      bearer(secret),
      { authorization: `bearer ${secret}` },
      { authorization: `BEARER   ${secret} ` },
      { "x-api-key": secret },
      { "x-api-key": ` ${secret} ` },
    ]
  ) assertEquals(await statuses(router, headers), [200, 200], JSON.stringify(headers));
});

Deno.test("auth answers 401 to all that is wrong, and never says which part", async () => {
  await using router = await startRouter();
  const keys = new KeyStore(router.program.database);
  const revoked = await keys.create({ name: "revoked" });
  await keys.revoke(revoked.key.id);
  const expired = await keys.create({ name: "expired", expiresAt: Date.now() + 1000 });
  await router.program.database.execute({
    sql: "UPDATE api_keys SET expires_at = ? WHERE id = ?",
    args: [Date.now() - 1, expired.key.id],
  });
  const { secret } = router;
  const wrong: Record<string, string>[] = [
    {},
    { authorization: "" },
    { authorization: "Bearer" },
    { authorization: secret },
    { authorization: `Basic ${btoa(`user:${secret}`)}` },
    { authorization: `Bearer ${secret} ${secret}` },
    { authorization: `Bearer ${secret}, Bearer ${secret}` },
    { "x-api-key": "" },
    { "x-api-key": `Bearer ${secret}` },
    bearer("xr-short"),
    bearer(`xr-${"x".repeat(10_000)}`),
    bearer(secret.toUpperCase()),
    bearer(secret.slice(0, -1)),
    bearer(`${secret}=`),
    bearer(`xr-${"A".repeat(43)}`),
    bearer(`xr-${"A".repeat(42)}'`),
    bearer(revoked.secret),
    bearer(expired.secret),
    { "x-api-key": revoked.secret },
  ];
  for (const path of ["/v1/chat/completions", "/v1/models", "/v1/models/echo", "/v1/nothing"]) {
    const answers = new Set<string>();
    for (const headers of wrong) {
      const response = await fetch(router.url + path, {
        ...path === "/v1/chat/completions" && { method: "POST", body: JSON.stringify(ask("echo")) },
        headers: { "content-type": "application/json", ...headers },
      });
      assertEquals(response.status, 401, JSON.stringify(headers));
      // A connection whose body was not read is closed, which says how long the request was.
      const own = /^(date|x-request-id|connection)$/;
      const shown = [...response.headers].filter(([name]) => !own.test(name));
      answers.add(JSON.stringify([shown, await response.json()]));
    }
    assertEquals(answers.size, 1, [...answers].join("\n"));
    assertMatch([...answers][0]!, /"code":"unauthorized"/);
  }
  assertEquals(await statuses(router, bearer(secret)), [200, 200]);
});

Deno.test("no spelling of a path leads round the key", async () => {
  await using router = await startRouter();
  const paths = [
    ..."/v1/models /%761/models /v1/%6dodels /v1//models //v1/models /V1/models /v1/models/".split(
      " ",
    ),
    ..."/./v1/models /x/../v1/models /v1/./models /v1/models? /v1/models# /v1/models%00".split(" "),
    ..."/v1%2fmodels /v1;/models /v1/models/%2e%2e http://x/v1/models /v1/models/echo".split(" "),
  ];
  for (const path of paths) {
    for (const method of ["GET", "HEAD", "POST", "X"]) {
      const { status } = await sendRaw(
        router.url,
        `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      assert(status === 401 || status === 404, `${method} ${path}: ${status}`);
    }
  }
});

Deno.test("a key that another process revokes stops working within two seconds", async () => {
  await using router = await startRouter();
  using clock = new HeldClock();
  const other = await openDatabase({ url: router.databaseUrl });
  try {
    const busy = await new KeyStore(other).create({ name: "busy" });
    const idle = await new KeyStore(other).create({ name: "idle" });
    for (const { secret } of [busy, idle]) {
      assertEquals(await statuses(router, bearer(secret)), [200, 200]);
    }
    await new KeyStore(other).revoke(busy.key.id);
    await new KeyStore(other).revoke(idle.key.id);
    let lastAdmitted = 0;
    while (clock.passed < 4_000) {
      clock.pass(100);
      const [status] = await statuses(router, bearer(busy.secret));
      if (status === 200) lastAdmitted = clock.passed;
      if (clock.passed === 2_000) {
        assertEquals(await statuses(router, bearer(idle.secret)), [401, 401]);
      }
    }
    assert(lastAdmitted < 2_000, `still admitted after ${lastAdmitted} ms`);
  } finally {
    other.close();
  }
});

Deno.test("a key that expires stops working at that moment, though it is cached", async () => {
  await using router = await startRouter();
  using clock = new HeldClock();
  const { secret } = await new KeyStore(router.program.database)
    .create({ name: "brief", expiresAt: Date.now() + 300 });
  assertEquals(await statuses(router, bearer(secret)), [200, 200]);
  clock.pass(299);
  assertEquals(await statuses(router, bearer(secret)), [200, 200]);
  clock.pass(1);
  assertEquals(await statuses(router, bearer(secret)), [401, 401]);
});

Deno.test("auth looks a key up once for many requests, and writes its use once", async () => {
  await using router = await startRouter({ API_RATE_LIMIT: "1000" });
  const statements = watchStatements(router.program.database);
  const count = (pattern: RegExp) => statements.filter((sql) => pattern.test(sql)).length;
  const before = Date.now();
  await (await router.chat(ask("echo"))).body?.cancel();
  using _clock = new HeldClock();
  await Promise.all(Array.from({ length: 60 }, () => statuses(router, bearer(router.secret))));
  assertEquals([count(/FROM api_keys\b.*WHERE hash/s), count(/UPDATE api_keys/)], [1, 0]);
  await router.stop();
  assertEquals(count(/UPDATE api_keys/), 1);
  const other = await openDatabase({ url: router.databaseUrl });
  const [key] = await new KeyStore(other).list();
  other.close();
  assert(key!.lastUsedAt! >= before && key!.lastUsedAt! <= Date.now());
});

Deno.test("a refused key is not noted as used", async () => {
  await using router = await startRouter();
  const keys = new KeyStore(router.program.database);
  const { key, secret } = await keys.create({ name: "gone" });
  await keys.revoke(key.id);
  assertEquals(await statuses(router, bearer(secret)), [401, 401]);
  await router.stop();
  const other = await openDatabase({ url: router.databaseUrl });
  const found = (await new KeyStore(other).list()).find(({ id }) => id === key.id);
  other.close();
  assertEquals(found!.lastUsedAt, null);
});

Deno.test("without the keys' table a cached key works for a moment, then all is 503, never 500", async () => {
  await using router = await startRouter();
  using clock = new HeldClock();
  assertEquals(await statuses(router, bearer(router.secret)), [200, 200]);
  await router.program.database.execute("ALTER TABLE api_keys RENAME TO hidden");
  assertEquals(await statuses(router, bearer(router.secret)), [200, 200]);
  assertEquals(await statuses(router, bearer(`xr-${"A".repeat(43)}`)), [503, 503]);
  clock.pass(1_000);
  assertEquals(await statuses(router, bearer(router.secret)), [200, 200]);
  clock.pass(1_000);
  const response = await router.chat(ask("echo"));
  assertEquals([response.status, response.headers.get("retry-after")], [503, "1"]);
  const text = await response.text();
  assertMatch(text, /"code":"unavailable"/);
  assert(!/SQL|table|hidden/i.test(text), text);
  assertEquals(await statuses(router, {}), [401, 401]);
  const ready = await fetch(`${router.url}/ready`);
  assertEquals(await ready.json(), { status: "not ready", failed: ["auth"] });
  await router.program.database.execute("ALTER TABLE hidden RENAME TO api_keys");
  assertEquals(await statuses(router, bearer(router.secret)), [200, 200]);
});

Deno.test("an admin key may read and call no model, and its refusal is recorded", async () => {
  await using router = await startRouter();
  const { key, secret } = await new KeyStore(router.program.database)
    .create({ name: "boss", admin: true });
  assertEquals(await statuses(router, bearer(secret)), [403, 200]);
  for (const body of [ask("echo", "hi", { stream: true }), "{"]) {
    const response = await router.chat(body, { headers: bearer(secret) });
    const { error } = await response.json();
    assertEquals([response.status, error.code], [403, "forbidden"]);
    assertMatch(error.message, /^"boss" is an admin key: .* calls no model/);
  }
  assertEquals(await statuses(router, bearer(router.secret)), [200, 200]);
  const rows = (await router.usage()).filter(({ key_id: id }) => id === key.id);
  assertEquals(rows.map(({ status, attempts }) => [status, attempts]), Array(3).fill([403, 0]));
});

const reader = `
import { definePlugin } from "xrouter/plugin";

export default definePlugin({
  name: "reader",
  setup: () => ({
    routes(app) {
      app.get("/v1/me", (c) => c.json(c.get("caller")));
    },
  }),
});
`;

Deno.test("routes of later plugins read the caller, with its limits of the moment", async () => {
  await using folder = await dropIn({ "95_reader.ts": reader });
  await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder.path });
  using clock = new HeldClock();
  const keys = new KeyStore(router.program.database);
  const { key, secret } = await keys.create({ name: "mine", owner: "me", admin: true });
  const me = async () =>
    await (await fetch(`${router.url}/v1/me`, { headers: bearer(secret) })).json();
  assertEquals(await me(), key);
  await new AccountStore(router.program.database).setLimits("owner:me", { requestsPerMinute: 3 });
  clock.pass(2_000);
  assertEquals((await me()).ownerLimits.requestsPerMinute, 3);
  const stranger = await fetch(`${router.url}/v1/me`);
  assertEquals([stranger.status, (await stranger.json()).error.code], [401, "unauthorized"]);
});

Deno.test("auth keeps 10,000 keys in mind and no more", async () => {
  let lookups = 0;
  const row = { id: "key_1", owner: null, active: 1, "expires_at": null, models: null };
  const database = {
    execute: () => {
      lookups++;
      return Promise.resolve({ rows: [row] });
    },
  };
  using _clock = new HeldClock();
  const host = { database, log: createLog(() => {}) } as unknown as Host;
  const hooks = await auth.setup({}, host);
  const use = (number: number) => {
    const secret = `xr-${String(number).padStart(43, "0")}`;
    return hooks.onRequest!({ headers: new Headers(bearer(secret)), state: {} } as Exchange);
  };
  for (let number = 0; number <= 10_000; number++) await use(number);
  assertEquals(lookups, 10_001);
  await use(10_000);
  await use(1);
  assertEquals(lookups, 10_001);
  await use(0);
  assertEquals(lookups, 10_002);
  await hooks.dispose!();
});
