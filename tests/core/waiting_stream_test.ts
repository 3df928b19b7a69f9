import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { keepAliveFrame } from "../../core/frames.ts";
import { Alarm } from "../../core/ticker.ts";
import { waitingStream } from "../../core/waiting_stream.ts";
import { startKernel } from "../support/kernel.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, startUpstream, streamed } from "../support/upstream.ts";

const streaming = { stream: true };
/** As long as real prompts are: Deno does not notice that the client of a long one has gone. */
const prompt = "a long prompt ".repeat(1000);

/** A vendor that answers when it is told to. */
function waitingVendor(answer: () => Response) {
  const begin = Promise.withResolvers<void>();
  const upstream = startUpstream(async () => {
    await begin.promise;
    return answer();
  });
  return { upstream, begin: begin.resolve };
}

Deno.test("Kernel sends comments before a slow answer, and then the answer", async () => {
  const { upstream: slow, begin } = waitingVendor(() => streamed(delta("at last"), ...ending()));
  await using upstream = slow;
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    keepAliveMs: 20,
  });
  const client = new LeavingClient((init) => kernel.chat(ask("vendor/m", prompt, streaming), init));
  const comments = await client.readUntil(": keep-alive\n\n: keep-alive\n\n");
  assertEquals(comments.replaceAll(": keep-alive\n\n", ""), "");
  begin();
  const text = await client.readAll();
  assertEquals(
    text.replaceAll(": keep-alive\n\n", ""),
    delta("at last") + ending()[0] + ending()[2],
  );
  const { state, status, usage, target } = await kernel.ended();
  assertEquals([state, status, target?.provider], ["completed", 200, "vendor"]);
  assertEquals([usage?.input, usage?.output], [10, 5]);
});

Deno.test("Kernel still falls back after comments, and ends with an error frame at last", async () => {
  const { upstream: ill, begin } = waitingVendor(() => new Response("ill", { status: 500 }));
  await using upstream = ill;
  await using well = startUpstream(() => streamed(delta("from the next"), ...ending()));
  const providers = [
    { name: "ill", baseUrl: upstream.url },
    { name: "well", baseUrl: well.url },
  ];
  await using kernel = startKernel({ providers, keepAliveMs: 20 });
  const models = { ...streaming, models: ["well/m"] };
  const first = new LeavingClient((init) => kernel.chat(ask("ill/m", prompt, models), init));
  await first.readUntil(": keep-alive");
  begin();
  assertStringIncludes(await first.readAll(), "from the next");
  assertEquals((await kernel.ended(1)).state, "completed");

  const { upstream: alone, begin: fail } = waitingVendor(() => new Response("", { status: 500 }));
  await using failing = alone;
  await using single = startKernel({
    providers: [{ name: "ill", baseUrl: failing.url }],
    keepAliveMs: 20,
  });
  const second = new LeavingClient((init) => single.chat(ask("ill/m", prompt, streaming), init));
  await second.readUntil(": keep-alive");
  fail();
  const text = await second.readAll();
  assertStringIncludes(text, '"finish_reason":"error"');
  assertStringIncludes(text, '"code":"upstream_unavailable"');
  assert(!text.includes("[DONE]"), text);
  const { state, status, error } = await single.ended();
  assertEquals([state, status, error?.code], ["failed", 200, "upstream_unavailable"]);
});

for (const onAbort of ["cancel", "drain"] as const) {
  Deno.test(`Kernel notices a client that leaves before a slow answer: ${onAbort}`, async () => {
    const { upstream: slow, begin } = waitingVendor(() => streamed(delta("unheard"), ...ending()));
    await using upstream = slow;
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url, onAbort }],
      keepAliveMs: 20,
    });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", prompt, streaming), init)
    );
    await client.readUntil(": keep-alive");
    client.leave();
    if (onAbort === "drain") begin();
    const { state, usage } = await kernel.ended();
    begin();
    // What was sent is paid for, and what was heard.
    assertEquals([state, usage?.output], ["aborted", onAbort === "drain" ? 5 : 0]);
    assertEquals(kernel.outcomes.length, 1);
  });
}

Deno.test("a waiting stream is silent once its own words have told that the client has gone", async () => {
  const { promise: gone, resolve: onGone } = Promise.withResolvers<void>();
  const reader = waitingStream({
    answer: new Promise(() => {}),
    comment: () => keepAliveFrame,
    keepAliveMs: 20,
    onGone,
    onFailure: () => new RouterError("aborted", "nobody reads this"),
  }).getReader();
  await reader.read();
  let said = 0;
  const { prototype } = ReadableStreamDefaultController;
  const { enqueue } = prototype;
  // As the runtime's server does that finds the connection closed when it writes.
  prototype.enqueue = function (chunk) {
    said++;
    enqueue.call(this, chunk);
    void reader.cancel();
  };
  try {
    void reader.read();
    await gone;
    // Two more comments would have been due by then.
    await new Promise<void>((resolve) => new Alarm(60, resolve));
    assertEquals(said, 1);
  } finally {
    prototype.enqueue = enqueue;
  }
});
