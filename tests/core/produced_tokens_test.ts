import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import type { BreakPolicy, Exchange } from "../../core/plugin.ts";
import { startKernel, type TestKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream } from "../support/upstream.ts";

const words = Array.from({ length: 20 }, (_, i) => ` word ${i}`);

interface Place extends AsyncDisposable {
  readonly kernel: TestKernel;
  /** The exchange, once it has come. */
  readonly asked: Promise<Exchange>;
  /** Settles when a vendor's last word was read. */
  readonly read: Promise<void>;
  /** Settles when the second vendor is asked. */
  readonly second: Promise<unknown>;
  /** What the vendors say. */
  readonly scripts: Readonly<Record<"first" | "second", Script>>;
}

/** Two vendors whose answers the test writes. */
function twoVendors(onBreak: BreakPolicy): Place {
  const scripts = { first: new Script(), second: new Script() };
  const asked = Promise.withResolvers<Exchange>();
  const read = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const event = (data: string): ChatReply[] => {
    if (data.includes(words.at(-1)!)) read.resolve();
    return [JSON.parse(data)];
  };
  const decoder = () => ({ event, whole: (reply: ChatReply) => reply });
  const upstream = startUpstream(({ path }) => {
    if (path.startsWith("/first")) return scripts.first.response();
    second.resolve();
    return scripts.second.response();
  });
  const base = upstream.url.replace(/\/v1$/, "");
  const kernel = startKernel({
    route: { onBreak },
    providers: (["first", "second"] as const).map((name) => (
      { name, baseUrl: `${base}/${name}`, decoder }
    )),
    plugins: [{ hooks: { onRequest: (x) => asked.resolve(x) } }],
  });
  return {
    kernel,
    asked: asked.promise,
    read: read.promise,
    second: second.promise,
    scripts,
    async [Symbol.asyncDispose]() {
      await kernel[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

for (
  const [what, onBreak, stream] of [
    ["that its client reads", "error", true],
    ["that is read to its end before any of it goes out", "whole", true],
    ["that is gathered from events", "error", false],
  ] as const
) {
  Deno.test(`producedTokens counts an answer ${what}, while it comes`, async () => {
    await using place = twoVendors(onBreak);
    const answer = place.kernel.chat(ask("first/m", "hi", { stream })).then((got) => got.text());
    const x = await place.asked;
    await place.scripts.first.send(...words.map((word) => delta(word)));
    await place.read;
    const tokens = await x.producedTokens();
    // The last few may hold a report, and are counted at the end.
    assert(tokens >= words.length, String(tokens));
    await place.scripts.first.send(...ending());
    await place.scripts.first.close();
    await answer;
  });
}

Deno.test("producedTokens counts no try that is over: it has a row of its own", async () => {
  await using place = twoVendors("whole");
  const body = ask("first/m", "hi", { stream: true, models: ["second/m"] });
  const answer = place.kernel.chat(body).then((got) => got.text());
  const x = await place.asked;
  await place.scripts.first.send(...words.map((word) => delta(word)));
  await place.read;
  const before = await x.producedTokens();
  await place.scripts.first.close();
  await place.second;
  assertEquals([before > 0, await x.producedTokens()], [true, 0]);
  assertEquals(x.attempts[0]!.usage!.output >= before, true);
  await place.scripts.second.send(delta("fine"), ...ending());
  await place.scripts.second.close();
  assertStringIncludes(await answer, "fine");
});
