import { assertEquals, assertMatch } from "@std/assert";
import openai from "../providers/openai.ts";
import { callOf } from "./support/call.ts";
import { ask, startRouter } from "./support/router.ts";
import { startUpstream } from "./support/upstream.ts";
import { inFolder, xrouter } from "./cli/xrouter.ts";

const priced = { models: { "openai/m": { price: { currency: "RUB", input: 10, output: 20 } } } };

Deno.test("an answer that takes too long is booked with the input that was sent, and charged to nobody", async () => {
  await using vendor = startUpstream(async ({ closed }) => {
    await closed;
    return new Response(null);
  });
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_LAST_MS: "100",
    XROUTER_WHOLE_MS: "100",
    XROUTER_RETRIES: "0",
  }, priced);
  const response = await router.chat(ask("openai/m"));
  assertEquals(response.status, 504);
  await response.body!.cancel();
  await router.stop();
  const [row] = await router.usage();
  assertEquals([row!.state, row!.output_tokens, row!.estimated], ["failed", 0, 1]);
  assertEquals([row!.cost, row!.charged], [10 * Number(row!.input_tokens), 0]);
});

Deno.test("openai itself gets the newer field for the most tokens, others what the client sent", async () => {
  const encode = (baseUrl: string, body: object) =>
    openai.encode!({ model: "m", messages: [], ...body }, callOf({ baseUrl }));
  const own = "https://api.openai.com/v1";
  const rest = { model: "m", messages: [] };
  assertEquals(await encode(own, { max_tokens: 5 }), { ...rest, max_completion_tokens: 5 });
  assertEquals(await encode(own, { max_tokens: 5, max_completion_tokens: 7 }), {
    ...rest,
    max_completion_tokens: 7,
  });
  assertEquals(await encode("http://127.0.0.1/v1", { max_tokens: 5 }), { ...rest, max_tokens: 5 });
  assertEquals(await encode(own, {}), rest);
});

Deno.test("commands about money refuse another currency than the accounts have", () =>
  inFolder(async (folder) => {
    const database = `file:${folder}/x.db`;
    await using _router = await startRouter({ DATABASE_URL: database, XROUTER_CURRENCY: "EUR" });
    for (
      const args of [["keys", "credit", "test", "5"], ["usage"], ["ledger", "check"]]
    ) {
      const ended = await xrouter(folder, args, { DATABASE_URL: database });
      assertEquals(ended.code, 1, args.join(" "));
      assertMatch(ended.stderr, /are kept in EUR, and XROUTER_CURRENCY is RUB/);
    }
    const right = await xrouter(folder, ["keys", "credit", "test", "5"], {
      DATABASE_URL: database,
      XROUTER_CURRENCY: "EUR",
    });
    assertEquals([right.code, right.stderr], [0, ""]);
  }));
