import { assertEquals, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const price = { currency: "RUB", input: 1, output: 10 };
const file = {
  models: {
    "openai/first": { price },
    "openai/second": { price },
    "openai/dear": { price: { ...price, output: 1_000 } },
  },
  routes: { cheap: ["openai/first", "openai/second"], risky: ["openai/first", "openai/dear"] },
};

/** A router whose vendor fails for the model `first`, and a key with so many millionths of credit. */
async function withVendor(
  credit: number,
  run: (
    context: { router: Awaited<ReturnType<typeof startRouter>>; asked: () => unknown[] },
  ) => Promise<void>,
): Promise<void> {
  await using upstream = startUpstream(({ body }) =>
    body.model === "first"
      ? Response.json({ error: { message: "down" } }, { status: 500 })
      : wholeAnswer()
  );
  await using router = await startRouter({ ...upstream.env, XROUTER_RETRIES: "0" }, file);
  await new AccountStore(router.program.database).credit(router.keyId, credit, "test");
  const asked = () => upstream.seen.map(({ body }) => [body.model, body.max_tokens]);
  await run({ router, asked });
}

Deno.test("usage-record lets a request that was cut to the credit go on to the next target", () =>
  withVendor(1_000, async ({ router, asked }) => {
    const response = await router.chat(ask("cheap"));
    assertEquals(response.status, 200, await response.text());
    const cut = Number(response.headers.get("x-xrouter-max-tokens"));
    assertEquals(asked(), [["first", cut], ["second", cut]]);
    const [row] = await router.usage();
    assertEquals([row!.state, row!.model, row!.attempts], ["completed", "second", 2]);
  }));

Deno.test("usage-record blames no limit of requests at a time for a target that costs too much", () =>
  withVendor(1_000, async ({ router, asked }) => {
    await new AccountStore(router.program.database).setLimits(router.keyId, { parallel: 1 });
    const response = await router.chat(ask("risky", "hi", { max_tokens: 20 }));
    assertEquals(asked(), [["first", 20]]);
    assertEquals(response.status, 502);
    assertStringIncludes(await response.text(), "upstream_unavailable");
  }));
