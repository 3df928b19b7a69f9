import { assertEquals } from "@std/assert";
import { defineProvider } from "../../core/provider.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream } from "../support/upstream.ts";

const [stop] = ending() as [string, string, string];

Deno.test("an answer is over when the alternatives have ended that were sent for, not those that were asked for", async () => {
  const scripts: Script[] = [];
  await using vendor = startUpstream(async () => {
    const script = new Script();
    scripts.push(script);
    // It has said why it ends, and neither says "[DONE]" nor hangs up.
    await script.send(delta("fine"), stop);
    return script.response();
  });
  const single = defineProvider({
    name: "single",
    baseUrl: vendor.url,
    encode: ({ n: _n, ...body }) => body,
  });
  await using kernel = startKernel({ providers: [single], env: { SINGLE_API_KEY: "k" } });
  const [whole, stream] = await Promise.all([
    kernel.chat(ask("single/m", "hi", { n: 2 })).then((response) => response.json()),
    kernel.chat(ask("single/m", "hi", { n: 2, stream: true })).then(readWholeStream),
  ]);
  assertEquals(vendor.seen.map(({ body }) => body.n), [undefined, undefined]);
  assertEquals(whole.choices?.[0]?.message.content, "fine", JSON.stringify(whole));
  assertEquals([stream.text, stream.done], ["fine", true]);
  for (const script of scripts) await script.close().catch(() => {});
});
