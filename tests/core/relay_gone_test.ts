import { assertEquals, assertLess } from "@std/assert";
import type { Hooks } from "../../core/plugin.ts";
import { startKernel } from "../support/kernel.ts";
import { readBeginning, watchClient } from "../support/leaving_client.ts";
import { seededRandom } from "../support/random.ts";
import { delta, ending, Script, startUpstream } from "../support/upstream.ts";

const opened = delta("one two three");
const hour = 3_600_000;
const endless = { retries: 3, time: hour, timeouts: { firstByte: hour, idle: hour, total: hour } };

Deno.test("Relay cancels a silent answer at once when the client leaves", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  const provider = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" } as const;
  await using kernel = startKernel({ providers: [provider] });
  await script.send(opened);
  const client = await readBeginning(kernel);
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
  const client = await readBeginning(kernel);
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
    route: endless,
  });
  await script.send(opened);
  const client = await readBeginning(kernel);
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
    route: endless,
  });
  await script.send(opened);
  const client = await readBeginning(kernel);
  client.leave();
  let closed = false;
  void upstream.seen[0]!.closed.then(() => closed = true);
  // A word in time, and the next one in time, must not add up to forever.
  while (!closed) {
    // The vendor may learn from its writing that it was hung up on.
    await script.send(opened).catch(() => {});
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
  const client = await readBeginning(kernel);
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

for (const onAbort of ["cancel", "drain"] as const) {
  Deno.test(`Relay notices a client that leaves just when it is sent something, ${onAbort}`, async () => {
    // Then it is the sending that tells, and not an event that comes by itself.
    const random = seededRandom();
    const drips: Promise<void>[] = [];
    await using upstream = startUpstream(({ closed }) => {
      const script = new Script();
      let open = true;
      void closed.then(() => open = false);
      const drip = async () => {
        while (open) {
          await script.send(opened);
          await new Promise((resolve) => setTimeout(resolve, random(3)));
        }
      };
      drips.push(drip().catch(() => {}));
      return script.response();
    });
    const provider = { name: "vendor", baseUrl: upstream.url, onAbort };
    await using kernel = startKernel({ providers: [provider], route: endless, drainMs: 40 });
    const visits = 200;
    for (let visit = 0; visit < visits; visit += 20) {
      await Promise.all(Array.from({ length: 20 }, async () => {
        const client = await readBeginning(kernel);
        await new Promise((resolve) => setTimeout(resolve, random(12)));
        client.leave();
      }));
    }
    await kernel.ended(visits);
    await Promise.all(drips);
    assertEquals(kernel.outcomes.map(({ state }) => state), Array(visits).fill("aborted"));
  });
}
