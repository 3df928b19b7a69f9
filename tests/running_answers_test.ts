/** What is charged for answers whose key is revoked, or whose client leaves, while they run. */
import { assert, assertEquals } from "@std/assert";
import { AccountStore } from "../core/ledger/accounts.ts";
import { checkLedger } from "../core/ledger/ledger_check.ts";
import { openDatabase } from "../core/store/database.ts";
import { KeyStore } from "../core/store/keys.ts";
import { countInput, loadTokenizer } from "../core/tokens.ts";
import type { ChatBody } from "../core/plugin.ts";
import { HeldClock } from "./support/clock.ts";
import { dropIn } from "./support/drop_in.ts";
import { LeavingClient } from "./support/leaving_client.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "./support/upstream.ts";

const price = { currency: "RUB", input: 10, output: 100 };
const credit = 1_000_000_000;

/** Stops the router. @returns What its key has left, and the only row. */
async function settled(router: TestRouter) {
  const [row, ...others] = await router.usage();
  assertEquals(others, []);
  const database = await openDatabase({ url: router.databaseUrl });
  const account = (await new AccountStore(database).read(router.keyId))!;
  assertEquals((await checkLedger(database)).mismatches, []);
  database.close();
  assertEquals([account.held, account.balance], [0, credit - Number(row!.charged)]);
  return row!;
}

Deno.test("an answer whose key is revoked while it runs is finished and charged", async () => {
  using clock = new HeldClock();
  const script = new Script();
  await using vendor = startUpstream(() => script.response());
  await using router = await startRouter(vendor.env, { models: { "openai/m": { price } } });
  const { database } = router.program;
  await new AccountStore(database).credit(router.keyId, credit, "test");
  await script.send(delta("one two"));
  const client = new LeavingClient((init) =>
    router.chat(ask("openai/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two");
  await new KeyStore(database).revoke(router.keyId);
  clock.pass(2_000);
  const refused = await router.chat(ask("openai/m"));
  await refused.body?.cancel();
  assertEquals(refused.status, 401);
  await script.send(delta(" three"), ...ending());
  await script.close();
  const text = await client.readAll();
  assert(text.includes(" three") && text.endsWith("data: [DONE]\n\n"), text);
  const rows = (await router.usage()).filter(({ status }) => status !== 401);
  assertEquals(
    rows.map(({ state, cost, charged }) => [state, cost, charged]),
    [["completed", 10 * price.input + 5 * price.output, 10 * price.input + 5 * price.output]],
  );
  assertEquals(vendor.seen.length, 1);
});

const policies = { cancel: {}, drain: { XROUTER_DRAIN_SECONDS: "0" } };

for (const [onAbort, env] of Object.entries(policies)) {
  for (
    const [kind, stream, keepAlive] of [
      ["an unstreamed answer", false, "15"],
      ["a stream", true, "15"],
      ["a stream that had only comments", true, "1"],
    ] as const
  ) {
    Deno.test(`a client that leaves before ${kind} begins pays for the input, ${onAbort}`, async () => {
      await using vendor = startUpstream(async ({ closed }) => {
        await closed;
        return wholeAnswer();
      });
      await using folder = await dropIn({
        "slow.ts": `import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "slow", baseUrl: "${vendor.url}", onAbort: "${onAbort}" });
`,
      });
      await using router = await startRouter({
        XROUTER_PROVIDERS_DIR: folder.path,
        SLOW_API_KEY: "key",
        XROUTER_KEEP_ALIVE_SECONDS: keepAlive,
        ...env,
      }, { models: { "slow/m": { price } } });
      await new AccountStore(router.program.database).credit(router.keyId, credit, "test");
      const asked = vendor.nextChat();
      const body = ask("slow/m", "some words to be read", { stream, max_tokens: 50 });
      const client = new LeavingClient((init) => router.chat(body, init));
      const { closed } = await asked;
      if (keepAlive === "1") await client.readUntil(":");
      client.leave();
      await closed;
      const row = await settled(router);
      const input = countInput(body as ChatBody, await loadTokenizer("o200k_base"));
      const { state, estimated, input_tokens, output_tokens, cost, charged, error_code } = row;
      assertEquals([state, error_code, row.attempts], ["aborted", "aborted", 1]);
      assertEquals([input_tokens, output_tokens, estimated], [input, 0, 1]);
      assertEquals([cost, charged], [input * price.input, input * price.input]);
    });
  }
}
