import { assertEquals } from "@std/assert";
import { mostUnits } from "../core/bounded_count.ts";
import { randomWords } from "./fixtures/tokens/worst_inputs.ts";
import { dropIn } from "./support/drop_in.ts";
import { seededRandom } from "./support/random.ts";
import { ask, startRouter } from "./support/router.ts";
import { startUpstream, wholeAnswer } from "./support/upstream.ts";

/** A plugin that writes a line for each long request that comes to it. */
const logs = (line: string) =>
  `import { definePlugin } from "xrouter/plugin";
  export default definePlugin({
    name: "says-${line}",
    setup: (_config, { log }) => ({
      onRequest: ({ parsedBody, body }) => {
        if (JSON.stringify(body).length > 1_000_000) log.info("${line}");
      },
    }),
  });`;

Deno.test("others are answered while ten megabytes are counted", async () => {
  const text = randomWords(seededRandom(), 600_000).repeat(16);
  await using folder = await dropIn({
    "29_before.ts": logs("before"),
    "31_after.ts": logs("after"),
  });
  await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder.path });
  const long = router.chat(ask("echo-busy", text));
  await router.logged("before");
  for (let i = 0; i < 3; i++) {
    const health = await fetch(`${router.url}/health`);
    assertEquals((await health.json()).status, "alive");
  }
  assertEquals(router.log.some(({ message }) => message === "after"), false);
  const response = await long;
  await response.body?.cancel();
  assertEquals(response.status, 429);
});

Deno.test("nothing is learnt of how a vendor counts from a text of which not all was counted", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env);
  const word = "word ";
  for (const units of [100, mostUnits + 100]) {
    const response = await router.chat(ask("openai/m", word.repeat(units / word.length)));
    await response.body?.cancel();
    assertEquals(response.status, 200);
  }
  const [short, long] = await router.usage();
  // A word each, one for the last space, the role, and the six of the form.
  assertEquals([short!.counted_tokens, long!.counted_tokens], [28, null]);
});
