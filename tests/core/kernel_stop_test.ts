import { assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import type { Hooks } from "../../core/plugin.ts";
import { startKernel } from "../support/kernel.ts";
import { readBeginning, watchClient } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

const opened = delta("one two three");
const [stop, , done] = ending() as [string, string, string];
const streaming = { stream: true };
const restarting = "XRouter is restarting. Send the request again";

/** The state of a promise, to be read at any time. */
function watch(promise: Promise<unknown>): { done: boolean } {
  const watched = { done: false };
  void promise.then(() => watched.done = true);
  return watched;
}

Deno.test("Kernel drains at once when nothing runs", async () => {
  await using kernel = startKernel({});
  await kernel.kernel.drain(60_000);
  await kernel.kernel.drain(60_000);
});

Deno.test("Kernel lets running answers finish, and their records be written", async () => {
  const script = new Script();
  const written = Promise.withResolvers<void>();
  let recording = false;
  const slow: Hooks = {
    async onFinish() {
      recording = true;
      await written.promise;
    },
  };
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks: slow }],
  });
  await script.send(opened);
  const client = await readBeginning(kernel);
  const drained = kernel.kernel.drain(60_000);
  const watched = watch(drained);
  await script.send(delta(" four"), stop, done);
  await script.close();
  assertEquals(await client.readAll(), opened + delta(" four") + stop + done);
  assertEquals((await kernel.ended()).state, "completed");
  assertEquals([recording, watched.done], [true, false]);
  written.resolve();
  await drained;
  assertEquals(kernel.kernel.running, 0);
});

Deno.test("Kernel ends a stream whose time has passed, and records it", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "vendor", baseUrl: upstream.url }] });
  await script.send(opened);
  const client = await readBeginning(kernel);
  await kernel.kernel.drain(30);
  const text = await client.readAll();
  assertStringIncludes(text, restarting);
  assertStringIncludes(text, '"finish_reason":"error"');
  assertEquals(text.includes("[DONE]"), false);
  await upstream.seen[0]!.closed;
  const { state, status, error, usage } = await kernel.ended();
  assertEquals([state, status, error?.code], ["failed", 200, "unavailable"]);
  assertEquals(usage?.output, 3);
});

Deno.test("Kernel ends what still waits for an answer", async () => {
  await using upstream = startUpstream(async ({ closed }) => {
    await closed;
    return wholeAnswer();
  });
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 3 },
  });
  const asked = kernel.chat(ask("vendor/m", "hi", { models: ["vendor/n"] }));
  while (upstream.seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await kernel.kernel.drain(30);
  const response = await asked;
  assertEquals([response.status, (await response.json()).error.message], [503, restarting]);
  const { state, error } = await kernel.ended();
  assertEquals([state, error?.code, upstream.seen.length], ["failed", "unavailable", 1]);
});

Deno.test("Kernel ends what waits to ask again", async () => {
  const headers = { "retry-after": "4" };
  await using upstream = startUpstream(() => new Response("", { status: 429, headers }));
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 3 },
  });
  const asked = kernel.chat(ask("vendor/m", "hi", { models: ["vendor/n"] }));
  while (kernel.log.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await kernel.kernel.drain(30);
  const response = await asked;
  assertEquals([response.status, (await response.json()).error.message], [503, restarting]);
  assertEquals([upstream.seen.length, kernel.outcomes.length], [1, 1]);
  assertLess((await kernel.ended()).durationMs, 3_000, "It waited although it was to stop");
});

for (const reply of [undefined, { choices: [{ index: 0, message: { content: "ready" } }] }]) {
  const what = reply === undefined ? "asks nobody" : "begins no answer";
  Deno.test(`Kernel ${what} any more once its time has passed`, async () => {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const slow: Hooks = {
      async onRequest() {
        reached.resolve();
        await released.promise;
        return reply;
      },
    };
    await using upstream = startUpstream(() => wholeAnswer());
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      plugins: [{ hooks: slow }],
    });
    const asked = kernel.chat(ask("vendor/m"));
    await reached.promise;
    const drained = kernel.kernel.drain(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    released.resolve();
    const response = await asked;
    assertEquals([response.status, (await response.json()).error.message], [503, restarting]);
    await drained;
    assertEquals(upstream.seen.length, 0);
  });
}

Deno.test("Kernel ends answers that nobody reads, from a vendor and from a plugin", async () => {
  const cancelled = Promise.withResolvers<void>();
  const headers = { "content-type": "text/event-stream" };
  await using upstream = startUpstream(() =>
    new Response(
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new TextEncoder().encode(opened.repeat(100))),
        cancel: () => cancelled.resolve(),
      }),
      { headers },
    )
  );
  const cache: Hooks = {
    onRequest: ({ body }) =>
      body.model === "cached" ? { choices: [{ index: 0, message: { content: "hi" } }] } : undefined,
  };
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks: cache }],
  });
  const client = await readBeginning(kernel);
  // Without a socket nothing reads ahead: the answer waits for its reader for ever.
  const body = JSON.stringify(ask("cached", "hi", streaming));
  const request = new Request("http://xrouter.test/", { method: "POST", body });
  const unread = await kernel.kernel.handle(
    request,
    "/v1/chat/completions",
    () => request.bytes(),
  );
  await kernel.kernel.drain(30);
  assertEquals(kernel.outcomes.map(({ state }) => state), ["failed", "failed"]);
  await cancelled.promise;
  await unread.body?.cancel();
  client.leave();
});

Deno.test("Kernel ends what it reads on for a client that has gone", async () => {
  const script = new Script();
  const { hooks, gone } = watchClient();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks }],
    drainMs: 60_000,
  });
  await script.send(opened);
  const client = await readBeginning(kernel);
  client.leave();
  await gone;
  await kernel.kernel.drain(30);
  await upstream.seen[0]!.closed;
  const { state, usage } = await kernel.ended();
  assertEquals([state, usage?.output], ["aborted", 3]);
});
