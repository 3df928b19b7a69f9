import { assertEquals, assertStringIncludes } from "@std/assert";
import { tickMs } from "../../core/ticker.ts";
import { inParts, inProcess, startKernel } from "../support/kernel.ts";
import { LeavingClient, readBeginning } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

const encoder = new TextEncoder();
const opened = delta("one two three");
const [stop, , done] = ending() as [string, string, string];
const streaming = { stream: true };

for (const stream of [true, false]) {
  Deno.test(`Kernel answers 504 when the first byte is late, stream ${stream}`, async () => {
    await using upstream = startUpstream(async ({ closed }) => {
      await closed;
      return wholeAnswer();
    });
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      route: { timeouts: { firstByte: 40 }, retries: 2 },
    });
    const response = await kernel.chat(ask("vendor/m", "hi", { stream }));
    assertEquals(response.status, 504);
    assertEquals(await response.json(), {
      error: {
        message: `The provider was too slow: no sign of the ${
          stream ? "first byte" : "whole answer"
        }`,
        type: "timeout_error",
        code: "timeout",
        param: null,
      },
    });
    await upstream.seen[0]!.closed;
    const { state, status, error } = await kernel.ended();
    assertEquals([state, status, error?.code], ["failed", 504, "timeout"]);
    assertEquals(upstream.seen.length, 1);
  });
}

Deno.test("Kernel counts headers without a body as no first byte", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { timeouts: { firstByte: 40 } },
  });
  const response = await kernel.chat(ask("vendor/m", "hi", streaming));
  assertEquals(response.status, 504);
  await response.body?.cancel();
  await upstream.seen[0]!.closed;
});

Deno.test("Relay ends an answer that falls silent, and the call with it", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { timeouts: { idle: 40 } },
  });
  await script.send(opened);
  const response = await kernel.chat(ask("vendor/m", "hi", streaming));
  const text = await response.text();
  assertStringIncludes(text, "The provider was too slow: no sign of the next chunk");
  assertStringIncludes(text, '"finish_reason":"error"');
  assertEquals(text.includes("[DONE]"), false);
  await upstream.seen[0]!.closed;
  const { state, error, usage } = await kernel.ended();
  assertEquals([state, error?.code, usage?.output], ["failed", "timeout", 3]);
});

Deno.test("Relay ends an answer that never ends, and the call with it", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { time: 150 },
  });
  await script.send(opened);
  const answer = kernel.chat(ask("vendor/m", "hi", streaming)).then((response) => response.text());
  let ended = false;
  void kernel.ended().then(() => ended = true);
  while (!ended) {
    await script.send(opened);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertStringIncludes(await answer, "longer than its route allows");
  await upstream.seen[0]!.closed;
  assertEquals((await kernel.ended()).error?.code, "timeout");
});

Deno.test("Relay ends an answer in time also when its client reads nothing", async () => {
  const cancelled = Promise.withResolvers<void>();
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encoder.encode(opened.repeat(100))),
    cancel: () => cancelled.resolve(),
  });
  const headers = { "content-type": "text/event-stream" };
  await using upstream = startUpstream(() => new Response(endless, { headers }));
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { time: 300 },
  });
  const client = await readBeginning(kernel);
  await cancelled.promise;
  const { state, error } = await kernel.ended();
  assertEquals([state, error?.code], ["failed", "timeout"]);
  client.leave();
});

Deno.test("Relay ends an answer in time also when the provider's body heeds no signal", async () => {
  const cancelled = Promise.withResolvers<void>();
  const silent = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encoder.encode(opened)),
      cancel: () => cancelled.resolve(),
    });
  const headers = { "content-type": "text/event-stream" };
  await using kernel = startKernel({
    providers: [inProcess(() => new Response(silent(), { headers }))],
    route: { timeouts: { idle: 40 } },
  });
  const response = await kernel.chat(ask("vendor/m", "hi", streaming));
  assertStringIncludes(await response.text(), "no sign of the next chunk");
  await cancelled.promise;
});

Deno.test("Relay keeps a silent connection alive with comments", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    keepAliveMs: 40,
  });
  await script.send(opened);
  const client = new LeavingClient((init) => kernel.chat(ask("vendor/m", "hi", streaming), init));
  await client.readUntil(": keep-alive\n\n: keep-alive\n\n");
  await script.send(delta(" four"), stop, done);
  await script.close();
  const text = await client.readAll();
  assertEquals(text.replaceAll(": keep-alive\n\n", ""), opened + delta(" four") + stop + done);
  assertEquals((await kernel.ended()).state, "completed");
});

Deno.test("Relay reads the provider at the client's pace", async () => {
  let reads = 0;
  const headers = { "content-type": "text/event-stream" };
  const vendor = inProcess(() =>
    new Response(
      new ReadableStream<Uint8Array>({
        pull(controller) {
          reads++;
          controller.enqueue(encoder.encode(opened));
        },
      }, { highWaterMark: 0 }),
      { headers },
    ), { onAbort: "cancel" });
  await using kernel = startKernel({ providers: [vendor], keepAliveMs: 2 });
  // Without a socket there is no buffer on the way that would hide what is read ahead.
  const body = JSON.stringify(ask("vendor/m", "hi", streaming));
  const request = new Request("http://xrouter.test/", { method: "POST", body });
  const response = await kernel.kernel.handle(
    request,
    "/v1/chat/completions",
    () => request.bytes(),
  );
  const reader = response.body!.getReader();
  for (let read = 1; read <= 5; read++) {
    assertEquals(new TextDecoder().decode((await reader.read()).value), opened);
    // Time for whoever wanted to read ahead, or to pile up comments.
    await new Promise((resolve) => setTimeout(resolve, 4 * tickMs));
    assertEquals(reads, read);
  }
  await reader.cancel();
  assertEquals((await kernel.ended()).state, "aborted");
});

Deno.test("Relay does not blame the provider for a client that reads slowly", async () => {
  await using kernel = startKernel({
    providers: [inProcess(() => inParts([opened, opened, stop, done]))],
    route: { timeouts: { idle: 40 } },
  });
  const body = JSON.stringify(ask("vendor/m", "hi", streaming));
  const request = new Request("http://xrouter.test/", { method: "POST", body });
  const response = await kernel.kernel.handle(
    request,
    "/v1/chat/completions",
    () => request.bytes(),
  );
  const reader = response.body!.getReader();
  for (const event of [opened, opened, stop, done]) {
    assertEquals(new TextDecoder().decode((await reader.read()).value), event);
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
  assertEquals((await reader.read()).done, true);
  assertEquals((await kernel.ended()).state, "completed");
});

Deno.test("Relay leaves no timer behind when all ends well", async () => {
  // The sanitizer fails this test when the limits or the comments' timer go on.
  await using kernel = startKernel({
    providers: [
      inProcess(async (request) =>
        (await request.json()).stream ? inParts([opened, stop, done]) : new Response("no JSON")
      ),
    ],
    drainMs: 60_000,
    keepAliveMs: 60_000,
    route: { time: 60_000, timeouts: { firstByte: 60_000, idle: 60_000, total: 60_000 } },
  });
  await (await kernel.chat(ask("vendor/m", "hi", streaming))).text();
  assertEquals((await kernel.ended(1)).state, "completed");
  await (await kernel.chat(ask("vendor/m", "hi"))).text();
  assertEquals((await kernel.ended(2)).state, "failed");
});
