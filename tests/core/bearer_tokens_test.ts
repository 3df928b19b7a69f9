import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { bearerTokens, readGrant } from "../../core/bearer_tokens.ts";
import { RouterError } from "../../core/errors.ts";
import type { Wire } from "../../core/provider.ts";
import { HeldClock } from "../support/clock.ts";

/** An issuer of numbered tokens that live as long as the test says. */
class Issuer {
  issued = 0;
  lifetimeMs = 3_600_000;
  down = false;
  readonly #authorize = bearerTokens<object>(async () => {
    await Promise.resolve();
    if (this.down) throw new RouterError("upstream_unavailable", "Down");
    return { token: `t${++this.issued}`, lifetimeMs: this.lifetimeMs };
  });

  /** The number of the token that a call of an account goes out with. */
  async sign(account: object, rejected?: string): Promise<string> {
    const wire = { settings: account } as Wire;
    const { authorization } = await this.#authorize(
      wire,
      rejected === undefined ? undefined : { authorization: `Bearer ${rejected}` },
    );
    return authorization!.replace("Bearer ", "");
  }
}

Deno.test("bearerTokens keeps a token until a minute before its end", async () => {
  using clock = new HeldClock();
  const issuer = new Issuer();
  const account = {};
  assertEquals(await issuer.sign(account), "t1");
  clock.pass(3_540_000 - 1);
  assertEquals(await issuer.sign(account), "t1");
  clock.pass(1);
  assertEquals(await issuer.sign(account), "t2");
});

Deno.test("bearerTokens uses a token that lives shorter than a minute for half its life", async () => {
  using clock = new HeldClock();
  const issuer = new Issuer();
  issuer.lifetimeMs = 20_000;
  const account = {};
  assertEquals([await issuer.sign(account), await issuer.sign(account)], ["t1", "t1"]);
  clock.pass(10_001);
  assertEquals(await issuer.sign(account), "t2");
});

Deno.test("bearerTokens asks once for all that wait, and for each account by itself", async () => {
  const issuer = new Issuer();
  const [one, two] = [{}, {}];
  const all = await Promise.all(Array.from({ length: 50 }, () => issuer.sign(one)));
  assertEquals([new Set(all).size, issuer.issued], [1, 1]);
  assertEquals(await issuer.sign(two), "t2");
  assertEquals(await issuer.sign(one), "t1");
});

Deno.test("bearerTokens replaces a refused token, unless that has been done", async () => {
  const issuer = new Issuer();
  const account = {};
  await issuer.sign(account);
  assertEquals(await issuer.sign(account, "t1"), "t2");
  assertEquals(await issuer.sign(account, "t1"), "t2");
  assertEquals(await issuer.sign(account, "t2"), "t3");
});

Deno.test("bearerTokens lives on what it has while no token is issued, but not on a refused one", async () => {
  using clock = new HeldClock();
  const issuer = new Issuer();
  const account = {};
  await issuer.sign(account);
  issuer.down = true;
  clock.pass(3_550_000);
  assertEquals(await issuer.sign(account), "t1");
  await assertRejects(() => issuer.sign(account, "t1"), RouterError, "Down");
  clock.pass(50_000);
  await assertRejects(() => issuer.sign(account), RouterError, "Down");
  issuer.down = false;
  assertEquals(await issuer.sign(account), "t2");
});

Deno.test("readGrant reads a token and its life", async () => {
  const grants: [body: unknown, lifetimeMs: number][] = [
    [{ access_token: "t", expires_in: 60, token_type: "Bearer" }, 60_000],
    [{ access_token: "t", expires_in: "60" }, 60_000],
    [{ access_token: "t" }, 3_600_000],
  ];
  for (const [body, lifetimeMs] of grants) {
    assertEquals(await readGrant(Response.json(body), "acme"), { token: "t", lifetimeMs });
  }
});

Deno.test("readGrant tells refused credentials from an issuer that fails, without its words", async () => {
  const answers: [status: number, body: string, code: string][] = [
    [400, '{"secret":"CANARY"}', "upstream_rejected"],
    [401, "CANARY", "upstream_rejected"],
    [302, "CANARY", "upstream_rejected"],
    [429, "CANARY", "upstream_unavailable"],
    [503, "CANARY", "upstream_unavailable"],
    [200, "<html>CANARY", "upstream_unavailable"],
    [200, '{"access_token":""}', "upstream_unavailable"],
    [200, '{"access_token":"CANARY","expires_in":-1}', "upstream_unavailable"],
    [200, "null", "upstream_unavailable"],
  ];
  for (const [status, body, code] of answers) {
    const error = await assertRejects(
      () => readGrant(new Response(body, { status }), "acme"),
      RouterError,
    );
    assertEquals(error.code, code, `${status} ${body}`);
    assertStringIncludes(error.message, 'The sign-in of provider "acme" ');
    assertEquals(`${error.message} ${error.detail}`.includes("CANARY"), false);
  }
});
