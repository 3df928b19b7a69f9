import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Attempt } from "../../core/plugin.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { startKernel, type TestKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import {
  delta,
  ending,
  type Seen,
  startUpstream,
  streamed,
  type TestUpstream,
} from "../support/upstream.ts";

interface Hedged extends AsyncDisposable {
  readonly kernel: TestKernel;
  readonly upstream: TestUpstream;
  readonly attempts: Attempt[];
}

/** Two providers; the second is asked too when the first takes 30 ms. */
function hedged(answer: (seen: Seen, provider: string) => Response | Promise<Response>): Hedged {
  const upstream = startUpstream((seen) => answer(seen, seen.path.split("/")[1]!));
  const url = upstream.url.replace(/\/v1$/, "");
  const attempts: Attempt[] = [];
  const kernel = startKernel({
    providers: ["first", "second"].map((name) => ({
      name,
      baseUrl: `${url}/${name}`,
      onAbort: "cancel" as const,
    })),
    route: { hedgeAfter: 30 },
    plugins: [{ hooks: { onFinish: (x) => void attempts.push(...x.attempts) } }],
  });
  return {
    kernel,
    upstream,
    attempts,
    async [Symbol.asyncDispose]() {
      await kernel[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

const fine = (text: string) => streamed(delta(text), ...ending());
const both = { stream: true, models: ["second/m"] };

Deno.test("a hedge asks the second target when the first is slow, and ends the first", async () => {
  await using test = hedged(async ({ closed }, provider) => {
    if (provider === "first") await closed;
    return fine(provider);
  });
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertEquals(response.headers.get("x-xrouter-provider"), "second");
  assertStringIncludes(await response.text(), '"content":"second"');
  await test.upstream.seen[0]!.closed;
  const { state, target, usage } = await test.kernel.ended();
  assertEquals([state, target?.provider, usage?.output], ["completed", "second", 5]);
  // Both are paid for: the first for what it was sent.
  const [first, second] = test.attempts;
  assertEquals([first?.error?.code, first?.usage?.output, first?.unanswered], [
    "aborted",
    0,
    undefined,
  ]);
  assertEquals([(first?.usage?.input ?? 0) > 0, second?.usage], [true, undefined]);
});

Deno.test("a hedge takes the first target's answer if that comes first after all", async () => {
  const asked = Promise.withResolvers<void>();
  await using test = hedged(async ({ closed }, provider) => {
    if (provider === "second") {
      asked.resolve();
      await closed;
    } else await asked.promise;
    return fine(provider);
  });
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertEquals(response.headers.get("x-xrouter-provider"), "first");
  assertStringIncludes(await response.text(), '"content":"first"');
  const { target } = await test.kernel.ended();
  assertEquals(target?.provider, "first");
  assertEquals(test.attempts.map(({ error }) => error?.code), [undefined, "aborted"]);
});

Deno.test("a quick answer is not hedged", async () => {
  await using test = hedged((_seen, provider) => fine(provider));
  await (await test.kernel.chat(ask("first/m", "hi", both))).text();
  await test.kernel.ended();
  assertEquals(test.upstream.seen.length, 1);
});

Deno.test("quick answers leave hedges for the slow ones", async () => {
  let slow = false;
  await using test = hedged(async ({ closed }, provider) => {
    if (slow && provider === "first") await closed;
    return fine(provider);
  });
  for (let i = 0; i < 30; i++) await (await test.kernel.chat(ask("first/m", "hi", both))).text();
  slow = true;
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertEquals(response.headers.get("x-xrouter-provider"), "second");
  await response.text();
  await test.kernel.ended(31);
});

Deno.test("a hedge whose first target fails gets the second's answer", async () => {
  const asked = Promise.withResolvers<void>();
  await using test = hedged(async (_seen, provider) => {
    if (provider === "first") {
      await asked.promise;
      return Response.json({ error: { message: "no" } }, { status: 500 });
    }
    asked.resolve();
    return fine(provider);
  });
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertStringIncludes(await response.text(), '"content":"second"');
  assertEquals((await test.kernel.ended()).state, "completed");
});

for (const status of [400, 403]) {
  Deno.test(`a second target that refuses with ${status} ends nobody else's answer`, async () => {
    const refused = Promise.withResolvers<void>();
    await using test = hedged(async (_seen, provider) => {
      if (provider === "first") {
        await refused.promise;
        return fine("first");
      }
      setTimeout(refused.resolve, 30);
      return Response.json({ error: { message: "not for you" } }, { status });
    });
    const response = await test.kernel.chat(ask("first/m", "hi", both));
    assertStringIncludes(await response.text(), '"content":"first"');
    assertEquals((await test.kernel.ended()).state, "completed");
  });
}

Deno.test("a hedge ends with a refusal that nobody else is asked after", async () => {
  const asked = Promise.withResolvers<void>();
  await using test = hedged(async ({ closed }, provider) => {
    if (provider === "second") {
      asked.resolve();
      await closed;
      return fine(provider);
    }
    await asked.promise;
    const error = { code: "content_policy_violation", message: "not this" };
    return Response.json({ error }, { status: 400 });
  });
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertEquals([response.status, (await response.json()).error.code], [400, "content_filter"]);
  await test.upstream.seen[1]!.closed;
  await test.kernel.ended();
});

Deno.test("an answer that has begun is not hedged while it is read to its end", async () => {
  await using upstream = startUpstream(async () => {
    await Promise.resolve();
    const stream = new ReadableStream<Uint8Array>({
      async start(controller) {
        const send = (text: string) => controller.enqueue(new TextEncoder().encode(text));
        send(delta("one "));
        await new Promise((resolve) => setTimeout(resolve, 120));
        for (const text of [delta("two"), ...ending()]) send(text);
        controller.close();
      },
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  });
  await using kernel = startKernel({
    providers: ["first", "second"].map((name) => ({ name, baseUrl: upstream.url })),
    route: { hedgeAfter: 60, onBreak: "whole" },
  });
  const response = await kernel.chat(ask("first/m", "hi", both));
  assertStringIncludes(await response.text(), '"content":"two"');
  await kernel.ended();
  assertEquals(upstream.seen.length, 1);
});

Deno.test("a hedge whose targets both fail tells one of their errors", async () => {
  const asked = Promise.withResolvers<void>();
  await using test = hedged(async (_seen, provider) => {
    if (provider === "first") await asked.promise;
    asked.resolve();
    return Response.json({ error: { message: "no" } }, { status: 503 });
  });
  const response = await test.kernel.chat(ask("first/m", "hi", both));
  assertEquals(response.status, 502);
  await response.body?.cancel();
  const { state, usage } = await test.kernel.ended();
  assertEquals([state, usage], ["failed", undefined]);
});

for (const firstFails of [false, true]) {
  const what = firstFails ? "fails with the first target" : "is the first target's answer";
  Deno.test(`a hedge whose second target does not exist ${what}`, async () => {
    await using upstream = startUpstream(async () => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      return firstFails ? Response.json({ error: {} }, { status: 500 }) : fine("first");
    });
    await using kernel = startKernel({
      providers: [{ name: "first", baseUrl: upstream.url }],
      route: { hedgeAfter: 10 },
    });
    const response = await kernel.chat(
      ask("first/m", "hi", { stream: true, models: ["nobody/m"] }),
    );
    const text = await response.text();
    const { state } = await kernel.ended();
    assertEquals([text.includes('"content":"first"'), state], [
      !firstFails,
      firstFails ? "failed" : "completed",
    ]);
  });
}

Deno.test("a hedge's answer that comes together with a quicker one is ended, and counted", async () => {
  const asked = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const providers = ["first", "second"].map((name) =>
    defineProvider({
      name,
      baseUrl: `http://${name}.invalid`,
      fetch: async () => {
        if (name === "second") asked.resolve();
        await asked.promise;
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(new TextEncoder().encode(delta(name))),
          cancel: () => ended.resolve(name),
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      },
    }) as Provider
  );
  let attempts: readonly Attempt[] = [];
  await using kernel = startKernel({
    providers,
    // The quicker one falls silent, so that the exchange ends.
    route: { hedgeAfter: 10, timeouts: { idle: 100 } },
    plugins: [{ hooks: { onFinish: (x) => void (attempts = x.attempts) } }],
  });
  const response = await kernel.chat(ask("first/m", "hi", both));
  const quicker = response.headers.get("x-xrouter-provider");
  const slower = await ended.promise;
  assertEquals([quicker, slower].sort(), ["first", "second"]);
  assertStringIncludes(await response.text(), `"content":"${quicker}"`);
  await kernel.ended();
  const loser = attempts.find(({ target }) => target.provider === slower)!;
  assertEquals([loser.error?.code, loser.usage?.output], ["aborted", 1]);
  assertEquals((loser.usage?.input ?? 0) > 0, true);
});

Deno.test("a client that leaves ends both tries of a hedge", async () => {
  const asked = Promise.withResolvers<void>();
  await using test = hedged(async ({ closed }, provider) => {
    if (provider === "second") asked.resolve();
    await closed;
    return fine(provider);
  });
  const leaving = new AbortController();
  const chat = test.kernel.chat(ask("first/m", "hi", both), { signal: leaving.signal });
  await asked.promise;
  leaving.abort();
  await chat.catch(() => {});
  await Promise.all(test.upstream.seen.map(({ closed }) => closed));
  const { state, usage } = await test.kernel.ended();
  assertEquals([state, usage?.output], ["aborted", 0]);
  // Each was sent the input.
  assertEquals(test.attempts.map(({ usage: used }) => used?.output), [0, 0]);
});
