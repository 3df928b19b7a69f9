import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";
import { providerText, startReloading } from "./reloading.ts";

const text = async (response: Response) => (await response.json()).choices?.[0].message.content;

Deno.test("reload lets a stream finish with the plugins and the provider that it began with", async () => {
  const script = new Script();
  await using vendor = startUpstream(({ body }) =>
    body.stream ? script.response() : wholeAnswer("old")
  );
  await using newer = startUpstream(() => wholeAnswer("new"));
  await using running = await startReloading();
  const { router, events } = running;
  const closes = (url: string, word: string) =>
    providerText("vendor", url, `close: () => ${running.says(`close ${word}`)},`);
  await running.write({
    "plugins/90_probe.ts": running.plugin("one"),
    "providers/vendor.ts": closes(vendor.url, "one"),
  });
  await script.send(delta("Hel"));
  const response = await router.chat(ask("vendor/m", "hi", { stream: true }));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let read = (await reader.read()).value!;
  assertStringIncludes(read, "Hel");
  assertEquals(response.headers.get("x-probe"), "one");
  await running.write({
    "plugins/90_probe.ts": running.plugin("two"),
    "providers/vendor.ts": closes(newer.url, "two"),
  });
  const other = await router.chat(ask("vendor/m"));
  assertEquals(other.headers.get("x-probe"), "two");
  assertEquals(await text(other), "new");
  await running.write({ "providers/vendor.ts": null, "plugins/90_probe.ts": null });
  assertEquals(events.filter((each) => / one$/.test(each)), ["setup one", "chunk one"]);
  await script.send(delta("lo."), ...ending());
  await script.close();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    read += value;
  }
  assertStringIncludes(read, '"lo."');
  assertMatch(read, /data: \[DONE\]\n\n$/);
  const [row] = (await router.usage()).filter(({ stream }) => stream === 1);
  assertEquals([row!.state, row!.provider, row!.output_tokens], ["completed", "vendor", 5]);
  const ofOne = events.filter((each) => / one$/.test(each));
  assertEquals(ofOne.filter((each) => !each.startsWith("chunk")), [
    "setup one",
    "finish one",
    "dispose one",
    "close one",
  ]);
  assert(ofOne.filter((each) => each.startsWith("chunk")).length > 2);
  const ofTwo = events.filter((each) => / two$/.test(each));
  assertEquals(ofTwo, ["setup two", "chunk two", "finish two", "dispose two", "close two"]);
});

Deno.test("reload leaves a request the fallback that it began with", async () => {
  const failing = Promise.withResolvers<void>();
  await using first = startUpstream(async () => {
    await failing.promise;
    return new Response("no", { status: 503 });
  });
  await using second = startUpstream(() => wholeAnswer("saved"));
  await using running = await startReloading({
    "providers/first.ts": providerText("first", first.url),
    "providers/second.ts": providerText("second", second.url),
  }, { XROUTER_RETRIES: "0" });
  const called = first.nextChat();
  const asked = running.router.chat(ask("first/m", "hi", { models: ["first/m", "second/m"] }));
  await called;
  assertEquals(await running.write({ "providers/second.ts": null }), ['provider "second" removed']);
  failing.resolve();
  assertEquals(await text(await asked), "saved");
});

Deno.test("reload lets a request to a plugin's own route finish before it closes the plugin", async () => {
  await using running = await startReloading();
  const { router, events } = running;
  const routes = (word: string) =>
    running.plugin(word).replace(
      "onChunk:",
      `routes: (app) => void app.get("/slow", async (c) => {
         ${running.says(`asked ${word}`)};
         await new Promise((resolve) => globalThis.released = resolve);
         ${running.says(`released ${word}`)};
         return c.text("${word}");
       }), onChunk:`,
    ).replaceAll("globalThis.released", `globalThis["released ${router.url}"]`);
  await running.write({ "plugins/90_probe.ts": routes("one") });
  const slow = router.get("/slow");
  while (!events.includes("asked one")) await router.get("/health").then((r) => r.body?.cancel());
  await running.write({ "plugins/90_probe.ts": running.plugin("two") });
  const gone = await router.get("/slow");
  await gone.body?.cancel();
  assertEquals(gone.status, 404);
  (Reflect.get(globalThis, `released ${router.url}`) as () => void)();
  Reflect.deleteProperty(globalThis, `released ${router.url}`);
  assertEquals(await (await slow).text(), "one");
  await router.stop();
  assertEquals(events, [
    "setup one",
    "asked one",
    "setup two",
    "released one",
    "dispose one",
    "dispose two",
  ]);
});

Deno.test("a stop closes a replaced plugin too that an exchange still holds", async () => {
  const running = await startReloading({}, { XROUTER_STOP_SECONDS: "0" });
  const { router, events } = running;
  try {
    await running.write({
      "plugins/90_probe.ts": `import { definePlugin } from "xrouter/plugin";
        const onFinish = () => new Promise(() => {});
        const dispose = () => { ${running.says("dispose")}; };
        export default definePlugin({ name: "probe", setup: () => ({ onFinish, dispose }) });`,
    });
    await (await router.chat(ask("echo"))).text();
    await running.write({ "plugins/90_probe.ts": null });
    assertEquals(events, []);
  } finally {
    await running[Symbol.asyncDispose]();
  }
  assertEquals(events, ["dispose"]);
});
