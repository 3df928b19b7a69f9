import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import type { Hooks } from "../../core/plugin.ts";
import { startKernel } from "../support/kernel.ts";
import { ask, startRouter } from "../support/router.ts";
import { dropIn } from "../support/drop_in.ts";
import { delta, ending, startUpstream, streamed, wholeAnswer } from "../support/upstream.ts";

const never = new Promise<never>(() => {});
const route = { time: 80, timeouts: { firstByte: 40 } };

Deno.test("Kernel ends a try whose provider heeds no signal, and asks the next", async () => {
  const deaf = { name: "deaf", baseUrl: "http://deaf.invalid", fetch: () => never };
  await using upstream = startUpstream(() => wholeAnswer("from the next"));
  const next = { name: "next", baseUrl: upstream.url };
  // Time enough for the one that answers, however busy the machine is.
  const patient = { timeouts: { firstByte: 1_000 } };
  await using kernel = startKernel({ providers: [deaf, next], route: patient });
  const response = await kernel.chat(ask("deaf/m", "hi", { models: ["next/m"] }));
  assertEquals((await response.json()).choices[0].message.content, "from the next");
  await using alone = startKernel({ providers: [deaf], route });
  const refused = await alone.chat(ask("deaf/m"));
  assertEquals([refused.status, (await refused.json()).error.code], [504, "timeout"]);
});

Deno.test("Kernel ends a try that hangs in onAttempt or in encode", async () => {
  const provider = { name: "vendor", baseUrl: "http://127.0.0.1:1", encode: () => never };
  await using encoding = startKernel({ providers: [provider], route });
  const refused = await encoding.chat(ask("vendor/m"));
  assertEquals([refused.status, (await refused.json()).error.code], [504, "timeout"]);
  const hooks: Hooks = { onAttempt: () => never };
  await using upstream = startUpstream(() => wholeAnswer());
  await using hanging = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks }],
    route,
  });
  const response = await hanging.chat(ask("vendor/m"));
  assertEquals([response.status, (await response.json()).error.code], [504, "timeout"]);
  assertEquals(upstream.seen.length, 0);
});

Deno.test("Kernel's drain ends although a hook hangs, and says so", async () => {
  const reached = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const hooks: Hooks = {
    onFinish: () => {
      reached.resolve();
      return held.promise;
    },
  };
  await using upstream = startUpstream(() => wholeAnswer());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks }],
  });
  const asked = kernel.chat(ask("vendor/m"));
  await reached.promise;
  await kernel.kernel.drain(0);
  // What was given up is waited for no more.
  await kernel.kernel.drain(60_000);
  assertEquals(kernel.outcomes.length, 1);
  const lines = kernel.log.map(({ message }) => message);
  assertEquals(lines.filter((line) => String(line).includes("hangs")).length, 1);
  held.resolve();
  await (await asked).body?.cancel();
});

const beforeAnyTry = ["onRequest", "onRoute"] as const;

Deno.test("Kernel ends an exchange that hangs before it has a route, and names the plugin", async () => {
  for (const moment of beforeAnyTry) {
    await using kernel = startKernel({
      plugins: [{ name: "stuck", onError: "skip", hooks: { [moment]: () => never } }],
      route,
    });
    const response = await kernel.chat(ask("vendor/m"));
    const { error } = await response.json();
    const message = `The request took too long: plugin "stuck" ${moment} did not return`;
    assertEquals([response.status, error.code, error.message], [504, "timeout", message]);
    const { state, status } = await kernel.ended();
    assertEquals([state, status], ["refused", 504]);
  }
});

Deno.test("XROUTER_TOTAL_MS holds for the time before there is a route, too", async () => {
  await using folder = await dropIn({
    "12_stuck.ts": `
import { definePlugin } from "xrouter/plugin";
const onRequest = () => new Promise<void>(() => {});
export default definePlugin({ name: "stuck", setup: () => ({ onRequest }) });`,
  });
  await using router = await startRouter({
    XROUTER_PLUGINS_DIR: folder.path,
    XROUTER_TOTAL_MS: "100",
  });
  const response = await router.chat(ask("echo"));
  assertEquals([response.status, (await response.json()).error.code], [504, "timeout"]);
  assertEquals((await router.usage()).map(({ status }) => status), [504]);
});

Deno.test("Kernel's drain answers a client whose request hangs before it has a route", async () => {
  for (const moment of beforeAnyTry) {
    const reached = Promise.withResolvers<void>();
    const hooks: Hooks = {
      [moment]: () => {
        reached.resolve();
        return never;
      },
    };
    await using kernel = startKernel({ plugins: [{ hooks }] });
    const asked = kernel.chat(ask("vendor/m"));
    await reached.promise;
    await kernel.kernel.drain(0);
    const response = await asked;
    const { error } = await response.json();
    assertEquals([response.status, error.code], [503, "unavailable"]);
    assertEquals(kernel.outcomes.map(({ status }) => status), [503]);
  }
});

Deno.test("Kernel waits for no hook that begins after the exchange was to end", async () => {
  await using kernel = startKernel({ plugins: [{ hooks: { onRequest: () => never } }] });
  const body = Promise.withResolvers<Uint8Array>();
  const request = new Request("http://xrouter.test/", { method: "POST" });
  const asked = kernel.kernel.handle(request, "/v1/chat/completions", () => body.promise);
  const drained = kernel.kernel.drain(0);
  // A timer that was set later fires later.
  await new Promise((resolve) => setTimeout(resolve, 0));
  body.resolve(new TextEncoder().encode(JSON.stringify(ask("vendor/m"))));
  const response = await asked;
  await drained;
  assertEquals([response.status, (await response.json()).error.code], [503, "unavailable"]);
  assertEquals(kernel.log.filter(({ level }) => level === "error"), []);
});

Deno.test("a provider's broken list of models concerns nobody else", async () => {
  const provider = (name: string, list: string) => `
import { defineProvider } from "xrouter/provider";
export default defineProvider({
  name: "${name}",
  baseUrl: "https://${name}.invalid/v1",
  authorize: () => ({}),
  listModels: ${list},
});`;
  await using folder = await dropIn({
    "number.ts": provider("number", "() => Promise.resolve(42 as unknown as string[])"),
    "throws.ts": provider("throws", "() => { throw new Error('no list'); }"),
    "mixed.ts": provider("mixed", "() => Promise.resolve([7, 'real'] as string[])"),
  });
  await using router = await startRouter({ XROUTER_PROVIDERS_DIR: folder.path });
  const { data } = await (await router.get("/v1/models")).json();
  const ids = data.map(({ id }: { id: string }) => id);
  assertEquals(ids.filter((id: string) => !id.startsWith("echo/")), ["mixed/real"]);
  const known = await router.chat(ask("echo"));
  assertEquals([known.status, (await known.json()).model], [200, "echo"]);
  const unknown = await router.chat(ask("nobody-has-it"));
  assertEquals([unknown.status, (await unknown.json()).error.code], [404, "no_route"]);
});

Deno.test("an answer that is no chat completion falls back, streamed or not", async () => {
  for (const body of ['{"id":"x"}', '{"choices":null}', '{"choices":[null]}', "[]", "7"]) {
    for (const stream of [false, true]) {
      await using vendor = startUpstream(() =>
        new Response(body, { headers: { "content-type": "application/json" } })
      );
      await using router = await startRouter(vendor.env);
      const response = await router.chat(ask("openai/m", "hi", { stream, models: ["echo"] }));
      assertEquals(response.headers.get("x-xrouter-provider"), "echo", `${body} ${stream}`);
      await response.body?.cancel();
    }
  }
});

Deno.test("a vendor's media type may be written in any case, and a redirect is not followed", async () => {
  await using vendor = startUpstream((_seen, number) =>
    number === 1
      ? new Response([delta("one"), ...ending()].join(""), {
        headers: { "content-type": "Text/Event-Stream; Charset=UTF-8" },
      })
      : number === 2
      ? new Response(null, { status: 307, headers: { location: "http://127.0.0.1:1/" } })
      : streamed(delta("three"), ...ending())
  );
  await using router = await startRouter(vendor.env);
  const text = await (await router.chat(ask("openai/m", "hi", { stream: true }))).text();
  assertStringIncludes(text, '"content":"one"');
  const redirected = await router.chat(ask("openai/m", "hi", { stream: true }));
  assertEquals(redirected.status, 502);
  assertStringIncludes((await redirected.json()).error.message, "HTTP 307");
  assertLess(vendor.seen.length, 3);
});
