import { assertEquals, assertLess } from "@std/assert";
import type { ChatBody, Hooks } from "../../core/plugin.ts";
import { countInput, loadTokenizer } from "../../core/tokens.ts";
import { inParts, inProcess, startKernel, type TestKernel } from "../support/kernel.ts";
import { LeavingClient, watchClient } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

const opened = delta("one two three");
const hour = 3_600_000;

/** Tokens of the question that {@linkcode ask} makes of a text. */
async function inputOf(text: string): Promise<number> {
  return countInput(ask("m", text) as ChatBody, await loadTokenizer("o200k_base"));
}

const endless = { retries: 3, time: hour, timeouts: { firstByte: hour, idle: hour, total: hour } };

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
    await using kernel = startKernel({ providers: [provider], drainMs: hour, route: endless });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", "hi", { stream }), init)
    );
    await asked.promise;
    client.leave();
    await upstream.seen[0]!.closed;
    const { state, status, error, usage } = await kernel.ended();
    assertEquals([state, status, error?.code], ["aborted", 499, "aborted"]);
    assertEquals(usage, { input: await inputOf("hi"), output: 0, cached: 0, estimated: true });
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
      route: endless,
    });
    const client = new LeavingClient((init) =>
      kernel.chat(ask("vendor/m", "hi", { stream }), init)
    );
    await asked.promise;
    client.leave();
    await upstream.seen[0]!.closed;
    const { state, status, usage } = await kernel.ended();
    assertEquals([state, status, upstream.seen.length], ["aborted", 499, 1]);
    assertEquals(usage, { input: await inputOf("hi"), output: 0, cached: 0, estimated: true });
  });
}

Deno.test("Kernel counts no usage of a call that was not sent when its client left", async () => {
  const signingIn = Promise.withResolvers<void>();
  await using upstream = startUpstream(() => wholeAnswer());
  await using kernel = startKernel({
    providers: [{
      name: "vendor",
      baseUrl: upstream.url,
      onAbort: "cancel",
      authorize() {
        signingIn.resolve();
        return new Promise(() => {});
      },
    }],
    route: endless,
  });
  const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
  await signingIn.promise;
  client.leave();
  const { state, usage } = await kernel.ended();
  assertEquals([state, usage, upstream.seen.length], ["aborted", undefined, 0]);
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

Deno.test("Kernel waits for no hook once the client has gone", async () => {
  for (const moment of ["onRequest", "onRoute"] as const) {
    const reached = Promise.withResolvers<void>();
    const hangs: Hooks = {
      [moment]() {
        reached.resolve();
        return new Promise(() => {});
      },
    };
    await using upstream = startUpstream(() => wholeAnswer());
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      plugins: [{ hooks: hangs }],
    });
    const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
    await reached.promise;
    client.leave();
    const { state, status, durationMs } = await kernel.ended();
    assertEquals([state, status], ["aborted", 499], moment);
    assertLess(durationMs, 10_000, "It waited although nobody waited for it");
  }
});

for (const leaves of ["before it is refused", "while it waits to ask again"]) {
  Deno.test(`Kernel does not ask again for a client that leaves ${leaves}`, async () => {
    const { hooks, gone } = watchClient();
    const asked = Promise.withResolvers<void>();
    const refused = Promise.withResolvers<void>();
    let tries = 0;
    await using upstream = startUpstream(async () => {
      asked.resolve();
      if (leaves === "before it is refused") await gone;
      return new Response("", { status: 429, headers: { "retry-after": "15" } });
    });
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      plugins: [{ hooks }, { hooks: { onAttempt: () => void tries++ } }],
      route: endless,
    });
    // The log tells when a try has failed.
    const push = kernel.log.push.bind(kernel.log);
    kernel.log.push = (...lines) => {
      if (lines.some(({ message }) => message === "attempt failed")) refused.resolve();
      return push(...lines);
    };
    const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
    await (leaves === "before it is refused" ? asked : refused).promise;
    client.leave();
    const { state, status, usage, durationMs } = await kernel.ended();
    assertEquals([state, status, upstream.seen.length, tries], ["aborted", 499, 1, 1]);
    // Who refuses has done nothing that is to be paid.
    assertEquals(usage, undefined);
    assertLess(durationMs, 10_000, "It waited although nobody waited for it");
  });
}

/** Hands the kernel a streamed request; nobody reads the answer. */
async function handle({ kernel }: TestKernel, signal: AbortSignal): Promise<void> {
  const body = JSON.stringify(ask("vendor/m", "hi", { stream: true }));
  const request = new Request("http://xrouter.test/", { method: "POST", body, signal });
  await kernel.handle(request, "/v1/chat/completions", () => request.bytes());
}

Deno.test("Kernel cancels a call whose client had left before the request was read", async () => {
  const silent = inProcess(
    ({ signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason))
      ),
    { onAbort: "cancel" },
  );
  await using kernel = startKernel({ providers: [silent], route: endless });
  await handle(kernel, AbortSignal.abort());
  const { state, status } = await kernel.ended();
  assertEquals([state, status], ["aborted", 499]);
});

Deno.test("Kernel reads an answer to its end that nobody fetches", async () => {
  const client = new AbortController();
  const { hooks, gone } = watchClient();
  const vendor = inProcess(async () => {
    client.abort();
    await gone;
    return inParts([opened, ...ending()]);
  });
  await using kernel = startKernel({ providers: [vendor], plugins: [{ hooks }], route: endless });
  await handle(kernel, client.signal);
  const { state, status, usage } = await kernel.ended();
  assertEquals([state, status, usage?.output], ["aborted", 499, 5]);
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
