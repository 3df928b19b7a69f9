import { assertEquals } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream } from "../support/upstream.ts";

const price = { currency: "RUB", input: 1_000, output: 1_000 };

/** Bodies that a vendor sends with the status 200, and what the key pays for. */
const message = { role: "assistant", content: "half" };
const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const bodies: [body: object, isPaid: boolean][] = [
  ...[400, 402, 422, 429, 500].map((status): [object, boolean] => [
    { status, message: "Too many requests" },
    false,
  ]),
  [{ hello: 1 }, false],
  [{ error: { message: "no" } }, false],
  [{ choices: [], usage }, true],
  [{ choices: [{ index: 0, message, finish_reason: "error" }] }, true],
];

for (const provider of ["openai", "gigachat"]) {
  Deno.test(`a refusal that ${provider} sends with status 200 costs the key nothing`, async () => {
    // GigaChat has its own words for an answer that failed.
    const cases = provider === "openai" ? bodies : bodies.filter(([, isPaid]) => !isPaid);
    // Each of another model, so that no circuit opens.
    const models = cases.map((_case, at) => `${provider}/m${at}`);
    await using fake = await startFakeGigachat();
    await using vendor = startUpstream((_seen, number) => Response.json(cases[number - 1]![0]));
    await using router = await startRouter(
      { ...vendor.env, ...fake.env, XROUTER_RETRIES: "0" },
      { models: Object.fromEntries(models.map((model) => [model, { price }])) },
    );
    await new AccountStore(router.program.database).credit(router.keyId, 1_000_000_000, "test");
    for (const [at, [body]] of cases.entries()) {
      fake.failNext("chat", { status: 200, body });
      const response = await router.chat(ask(models[at]!));
      assertEquals(response.ok, false, await response.text());
    }
    const paid = (await router.usage()).map(({ charged }) => Number(charged) > 0);
    assertEquals(paid, cases.map(([, isPaid]) => isPaid));
  });
}
