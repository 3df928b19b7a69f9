import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, askStream, connectTo, open } from "../support/fake_gigachat_call.ts";
import { lifetimeOf } from "../../providers/gigachat/token.ts";

const oauth = "/api/v2/oauth";
const minute = 60_000;

Deno.test("gigachat asks for one token while 50 calls wait for it", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_PARALLEL: "50" });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(connection)));
  assertEquals(answers.length, 50);
  assertEquals(fake.tokensIssued, 1);
  assertEquals(fake.requestsTo(oauth).length, 1);
});

Deno.test("gigachat signs in the way GigaChat documents it", async () => {
  await using fake = await startFakeGigachat({ scope: "GIGACHAT_API_B2B" });
  using connection = connectTo(fake);
  await ask(connection);
  const [request] = fake.requestsTo(oauth);
  assertEquals(request!.headers.get("authorization"), `Basic ${fake.account.credentials}`);
  assertEquals(request!.headers.get("accept"), "application/json");
  assertEquals(request!.headers.get("user-agent"), "xrouter");
  assertEquals(request!.body, "scope=GIGACHAT_API_B2B");
  fake.expireTokens();
  await ask(connection);
  const ids = fake.requestsTo(oauth).map(({ headers }) => headers.get("rquid"));
  assertEquals(new Set(ids).size, 2);
});

Deno.test("gigachat refreshes once when a token ends early, and repeats the calls", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_PARALLEL: "50" });
  await ask(connection);
  fake.expireTokens();
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(connection)));
  assertEquals(answers.every((answer) => answer.choices.length === 1), true);
  assertEquals(fake.tokensIssued, 2);
  fake.expireTokens();
  assertEquals((await askStream(connection)).length > 1, true);
  assertEquals(fake.tokensIssued, 3);
});

Deno.test("gigachat gives up when the new token is refused too", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.failNext("chat", { status: 401 }, { status: 401 });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_rejected");
  assertEquals(fake.requestsTo("/v1/chat/completions").length, 2);
  assertEquals(fake.tokensIssued, 2);
  await ask(connection);
});

Deno.test("lifetimeOf goes by the issuer's clock and takes seconds and milliseconds", () => {
  const issued = Date.parse("2026-11-21T12:00:00Z");
  const date = new Date(issued).toUTCString();
  assertEquals(lifetimeOf(issued + 30 * minute, date), 30 * minute);
  assertEquals(lifetimeOf((issued + 30 * minute) / 1000, date), 30 * minute);
  const now = lifetimeOf(Date.now() + 30 * minute, null);
  assertEquals(now > 29 * minute && now <= 30 * minute, true);
  assertEquals(lifetimeOf(undefined, date), 30 * minute);
  assertEquals(lifetimeOf(0, date), 30 * minute);
  assertEquals(lifetimeOf(Date.now() + 30 * minute, "no date") > 29 * minute, true);
});

Deno.test("lifetimeOf does not believe a clock by which a new token has ended", () => {
  const ends = Date.now() - 40 * minute;
  assertEquals(lifetimeOf(ends, null), 30 * minute);
  assertEquals(lifetimeOf(Date.now() + minute / 2, null), 30 * minute);
  assertEquals(lifetimeOf(ends, new Date(Date.now() + 5 * minute).toUTCString()), 30 * minute);
  assertEquals(lifetimeOf(Date.now() + 90 * minute, null) > 89 * minute, true);
});

Deno.test("gigachat uses a token that still lives when its renewal fails", async () => {
  await using fake = await startFakeGigachat({ tokenLifetimeMs: minute - 5_000 });
  using connection = connectTo(fake);
  await ask(connection);
  fake.failNext("oauth", { status: 500 });
  await ask(connection);
  assertEquals(fake.requestsTo(oauth).length, 2);
  assertEquals(fake.tokensIssued, 1);
});

Deno.test("gigachat recovers at the next call after a failed sign-in", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_PARALLEL: "10" });
  fake.failNext("oauth", { status: 503, body: "<html>503</html>" });
  // Fewer than it takes to open the circuit.
  const failures = await Promise.all(
    Array.from({ length: 4 }, () => assertRejects(() => ask(connection), RouterError)),
  );
  assertEquals(new Set(failures.map(({ code }) => code)), new Set(["upstream_unavailable"]));
  assertEquals(fake.requestsTo(oauth).length, 1);
  await ask(connection);
  fake.expireTokens();
  fake.failNext("oauth", { status: 429, headers: { "retry-after": "3" } });
  const busy = await assertRejects(() => ask(connection), RouterError);
  assertEquals([busy.code, busy.retryAfterMs], ["upstream_busy", 3000]);
  await ask(connection);
});

Deno.test("gigachat does not lend one caller's signal to the sign-in", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_PARALLEL: "2" });
  const leaving = new AbortController();
  const reason = new RouterError("aborted", "The client closed the connection");
  const first = assertRejects(() => open(connection, {}, leaving.signal), RouterError);
  const second = ask(connection);
  leaving.abort(reason);
  assertEquals((await second).choices.length, 1);
  assertEquals((await first).code, "aborted");
  assertEquals(fake.tokensIssued, 1);
});

const wrongSignIns: { what: string; code: number; cure: string; env: Record<string, string> }[] = [
  {
    what: "an unknown key",
    code: 6,
    cure: "Set GIGACHAT_CREDENTIALS",
    env: { GIGACHAT_CREDENTIALS: btoa("other:key") },
  },
  {
    what: "the key of another scope",
    code: 7,
    cure: "Set GIGACHAT_SCOPE",
    env: { GIGACHAT_SCOPE: "GIGACHAT_API_CORP" },
  },
];
for (const { what, code, cure, env } of wrongSignIns) {
  Deno.test(`gigachat names the cure for ${what}`, async () => {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake, env);
    const error = await assertRejects(() => ask(connection), RouterError);
    assertEquals(error.code, "upstream_rejected");
    assertStringIncludes(error.message, "xrouter doctor");
    assertStringIncludes(error.detail ?? "", cure);
    assertStringIncludes(error.detail ?? "", `"code":${code}`);
    assertEquals(fake.requestsTo("/v1/chat/completions").length, 0);
  });
}

Deno.test("gigachat calls a sign-in without a token broken, and does not repeat what it said", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  for (const body of [{ token: "secret" }, "<html>secret</html>", { access_token: "" }]) {
    fake.failNext("oauth", { status: 200, body });
    const error = await assertRejects(() => ask(connection), RouterError);
    assertEquals(error.code, "upstream_unavailable");
    assertEquals(error.detail?.includes("secret"), false);
  }
});

Deno.test("gigachat strikes its key out of what a refusal repeats", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const { credentials } = fake.account;
  fake.failNext("oauth", { status: 401, body: { code: 6, message: `bad key ${credentials}` } });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.detail?.includes(credentials), false);
  assertStringIncludes(error.detail ?? "", "bad key [credentials]");
});

Deno.test("gigachat follows no redirect of its sign-in", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const elsewhere = { location: `https://127.0.0.1:${fake.port}/elsewhere` };
  fake.failNext("oauth", { status: 307, body: "", headers: elsewhere });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_unavailable");
  assertEquals(fake.requestsTo("/elsewhere").length, 0);
});

Deno.test("gigachat keeps the tokens of two credentials apart", async () => {
  await using one = await startFakeGigachat({ credentials: btoa("same-prefix-of-both:1") });
  await using two = await startFakeGigachat({ credentials: btoa("same-prefix-of-both:2") });
  using first = connectTo(one);
  using second = connectTo(two);
  await Promise.all([ask(first), ask(second), ask(first), ask(second)]);
  assertEquals([one.tokensIssued, two.tokensIssued], [1, 1]);
  assertMatch(one.requests.at(-1)!.headers.get("authorization") ?? "", /^Bearer fake\./);
});
