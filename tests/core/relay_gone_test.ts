import { assertEquals, assertLess, assertStrictEquals } from "@std/assert";
import type { Hooks } from "../../core/plugin.ts";
import { inProcess, startKernel } from "../support/kernel.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

const opened = delta("one two three");
const hour = 3_600_000;

/** Hooks that tell when the client has gone. */
function watchClient(): { hooks: Hooks; gone: Promise<void> } {
  const gone = Promise.withResolvers<void>();
  return {
    gone: gone.promise,
    hooks: {
      onRequest: (x) => x.signal.addEventListener("abort", () => gone.resolve(), { once: true }),
    },
  };
}

for (const stream of [true, false]) {
  const kind = stream ? "a stream" : "a whole answer";

  Deno.test(`Kernel cancels a call for ${kind} whose client leaves before it begins`, async () => {
    const asked = Promise.withResolvers<void>();
    await using upstream = startUpstream(async ({ closed }) => {
      asked.resolve();
      await closed;
      return wholeAnswer();
    });
    const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" } as const;
    await using kernel = startKernel({ providers: [provider] });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", "hi", { stream }), init)
    );
    await asked.promise;
    client.leave();
    await upstream.seen[0]!.closed;
    const { state, status, error, usage } = await kernel.ended();
    assertEquals([state, status, error?.code], ["aborted", 499, "aborted"]);
    assertStrictEquals(usage, undefined);
    assertEquals(upstream.seen.length, 1);
  });

  Deno.test(`Kernel reads ${kind} to its end whose client leaves before it begins`, async () => {
    const asked = Promise.withResolvers<void>();
    const { hooks, gone } = watchClient();
    await using upstream = startUpstream(async () => {
      asked.resolve();
      await gone;
      if (!stream) return wholeAnswer();
      const script = new Script();
      await script.send(opened, ...ending());
      await script.close();
      return script.response();
    });
    const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "drain" } as const;
    await using kernel = startKernel({ providers: [provider], plugins: [{ hooks }] });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", "hi", { stream }), init)
    );
    await asked.promise;
    client.leave();
    const { state, status, error, usage } = await kernel.ended();
    assertEquals([state, status, error], ["aborted", 499, undefined]);
    assertEquals([usage?.input, usage?.output, usage?.estimated], [10, 5, false]);
    assertEquals(kernel.outcomes.length, 1);
  });

  Deno.test(`Kernel drains ${kind} that never begins only for a while`, async () => {
    const asked = Promise.withResolvers<void>();
    await using upstream = startUpstream(async ({ closed }) => {
      asked.resolve();
      await closed;
      return wholeAnswer();
    });
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      drainMs: 50,
      route: { retries: 3, timeouts: { firstByte: hour, total: hour } },
    });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", "hi", { stream }), init)
    );
    await asked.promise;
    client.leave();
    await upstream.seen[0]!.closed;
    const { state, status } = await kernel.ended();
    assertEquals([state, status, upstream.seen.length], ["aborted", 499, 1]);
  });
}

Deno.test("Relay cancels a silent answer at once when the client leaves", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" } as const;
  await using kernel = startKernel({ providers: [provider] });
  await script.send(opened);
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two three");
  client.leave();
  // Not one more chunk comes: only the cancelled stream can have told.
  await upstream.seen[0]!.closed;
  const { state, status, error, usage, servedModel } = await kernel.ended();
  assertEquals([state, status, error?.code], ["aborted", 200, "aborted"]);
  assertEquals([usage?.output, usage?.estimated], [3, true]);
  assertEquals(servedModel, "vendor-model-0613");
  // Nobody has to look at a client that leaves.
  assertEquals(kernel.log.map(({ level }) => level), ["info"]);
});

Deno.test("Relay reads an answer on when the client leaves, to learn its usage", async () => {
  const script = new Script();
  const { hooks, gone } = watchClient();
  let shown = 0;
  const count: Hooks = { onChunk: () => void shown++ };
  await using upstream = startUpstream(() => script.response());
  const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "drain" } as const;
  await using kernel = startKernel({
    providers: [provider],
    plugins: [{ hooks }, { hooks: count }],
  });
  await script.send(opened);
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two three");
  client.leave();
  await gone;
  await script.send(delta(" four"), ...ending());
  await script.close();
  const { state, status, error, usage } = await kernel.ended();
  assertEquals([state, status, error], ["aborted", 200, undefined]);
  assertEquals([usage?.input, usage?.output, usage?.estimated], [10, 5, false]);
  // Plugins see what the provider is paid for.
  assertEquals(shown, 4);
});

Deno.test("Relay drains a silent answer only for a while", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    drainMs: 50,
    route: { timeouts: { idle: hour, total: hour } },
  });
  await script.send(opened);
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two three");
  client.leave();
  await upstream.seen[0]!.closed;
  const { state, error, usage } = await kernel.ended();
  assertEquals([state, error?.code, usage?.output], ["aborted", "timeout", 3]);
});

Deno.test("Relay drains an endless answer only for a while", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    drainMs: 100,
    route: { timeouts: { idle: hour, total: hour } },
  });
  await script.send(opened);
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two three");
  client.leave();
  let closed = false;
  void upstream.seen[0]!.closed.then(() => closed = true);
  // A word in time, and the next one in time, must not add up to forever.
  while (!closed) {
    await script.send(opened);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals((await kernel.ended()).state, "aborted");
});

Deno.test("Relay ends the call of a client that had stopped reading and leaves", async () => {
  const cancelled = Promise.withResolvers<void>();
  let words = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      words++;
      controller.enqueue(new TextEncoder().encode(opened.repeat(100)));
    },
    cancel: () => cancelled.resolve(),
  });
  const headers = { "content-type": "text/event-stream" };
  await using upstream = startUpstream(() => new Response(endless, { headers }));
  const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" } as const;
  await using kernel = startKernel({ providers: [provider] });
  const client = new LeavingClient((init) =>
    kernel.chat(ask("vendor/m", "hi", { stream: true }), init)
  );
  await client.readUntil("one two three");
  // The vendor has stood still for a while when every buffer on the way is full.
  for (let before = 0; before < words;) {
    before = words;
    assertLess(words, 5_000, "The provider is read although the client does not read");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  client.leave();
  await cancelled.promise;
  assertEquals((await kernel.ended()).state, "aborted");
});

Deno.test("Kernel asks nobody for a client that left while a plugin waited", async () => {
  for (const moment of ["onRequest", "onRoute", "onAttempt"] as const) {
    const reached = Promise.withResolvers<void>();
    const wait: Hooks = {
      async [moment](x: Parameters<NonNullable<Hooks["onRequest"]>>[0]) {
        reached.resolve();
        if (!x.signal.aborted) {
          await new Promise((resolve) => x.signal.addEventListener("abort", resolve));
        }
      },
    };
    await using upstream = startUpstream(() => wholeAnswer());
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      plugins: [{ hooks: wait }],
    });
    const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
    await reached.promise;
    client.leave();
    const { state, status, usage } = await kernel.ended();
    assertEquals([state, status, usage], ["aborted", 499, undefined], moment);
    assertEquals(upstream.seen.length, 0, moment);
  }
});

Deno.test("Kernel does not ask again for a client that left while it waited to", async () => {
  await using upstream = startUpstream(() =>
    Response.json({ error: { message: "later" } }, {
      status: 429,
      headers: { "retry-after": "15" },
    })
  );
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 1 },
  });
  const refused = Promise.withResolvers<void>();
  const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
  // The log tells when the first try has failed.
  const push = kernel.log.push.bind(kernel.log);
  kernel.log.push = (...lines) => {
    if (lines.some(({ message }) => message === "attempt failed")) refused.resolve();
    return push(...lines);
  };
  await refused.promise;
  client.leave();
  const { state, status, durationMs } = await kernel.ended();
  assertEquals([state, status, upstream.seen.length], ["aborted", 499, 1]);
  assertLess(durationMs, 10_000, "It waited although nobody waited for it");
});

Deno.test("Kernel notices a client that had left before it was handed its request", async () => {
  const signal = AbortSignal.abort();
  const silent = inProcess(
    (request) =>
      new Promise((_resolve, reject) =>
        request.signal.addEventListener("abort", () => reject(request.signal.reason))
      ),
    { onAbort: "cancel" },
  );
  await using kernel = startKernel({
    providers: [silent],
    route: { timeouts: { firstByte: hour } },
  });
  const response = await kernel.kernel.handle(
    new Request("http://xrouter.test/", { method: "POST", signal }),
    new TextEncoder().encode(JSON.stringify(ask("vendor/m"))),
  );
  assertEquals(response.status, 503);
  const { state, status } = await kernel.ended();
  assertEquals([state, status], ["aborted", 499]);
});

Deno.test("Kernel records a client that left in the middle of its own request", async () => {
  await using kernel = startKernel({ providers: [] });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: kernel.port });
  await connection.write(new TextEncoder().encode(
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
  ));
  connection.close();
  const { state, status, error } = await kernel.ended();
  assertEquals([state, status, error?.code], ["aborted", 499, "aborted"]);
});
