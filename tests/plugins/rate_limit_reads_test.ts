import { assertEquals, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { HeldClock } from "../support/clock.ts";
import { ask, startRouter } from "../support/router.ts";
import { watchStatements } from "../support/statements.ts";
import { makeKey } from "../support/usage_client.ts";

const paths = ["usage", "usage?rows=1", "key", "credits", "generation?id=x", "models", "models/x"];

Deno.test("what a key reads beside chat is limited by the setting, and counted apart", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "4" });
  const { database } = router.program;
  const { id, secret } = await makeKey(router, "limited");
  await new AccountStore(database).setLimits(id, { requestsPerMinute: 1 });
  const headers = { authorization: `Bearer ${secret}` };
  const read = async (path: string, as: HeadersInit = headers) => {
    const response = await fetch(`${router.url}/v1/${path}`, { headers: as });
    return { response, text: await response.text() };
  };
  for (const path of paths) assertEquals((await read(path, {})).response.status, 401, path);
  for (const path of paths.slice(0, 4)) {
    assertEquals((await read(path)).response.status, 200, path);
  }
  const statements = watchStatements(database);
  for (const path of paths) {
    const { response, text } = await read(path);
    assertEquals(response.status, 429, path);
    assertStringIncludes(text, 'The limit of key \\"limited\\" is 4 reads a minute; 4 are used.');
  }
  assertEquals(statements, [], "what is refused reads nothing");

  const asked = await router.chat(ask("echo"), { headers });
  await asked.body?.cancel();
  assertEquals(asked.status, 200);
  const other = await router.get("/v1/key");
  await other.body?.cancel();
  assertEquals(other.status, 200);
  const { response: refused } = await read("key");
  clock.pass(Number(refused.headers.get("retry-after")) * 1000);
  assertEquals((await read("key")).response.status, 200);
});
