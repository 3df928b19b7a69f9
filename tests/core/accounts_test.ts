import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { setting } from "../../core/settings.ts";
import { z } from "zod";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { HeldClock } from "../support/clock.ts";
import { readWholeStream } from "../support/event_stream.ts";
import type { Exchange } from "../../core/plugin.ts";
import { inProcess, startKernel } from "../support/kernel.ts";
import {
  delta,
  ending,
  startUpstream,
  streamed as streamedReply,
  wholeAnswer,
} from "../support/upstream.ts";

const encoder = new TextEncoder();

/** A vendor with some accounts, each of which lets `parallel` calls run at a time. */
function vendorAt(url: string, keys: string[], parallel?: number): Provider {
  return defineProvider({
    name: "acme",
    baseUrl: url,
    settings: z.strictObject({
      apiKey: setting("ACME_API_KEY", z.string().default("none"), "The key", { secret: true }),
    }),
    onAbort: "cancel",
    accounts: () => keys.map((apiKey) => ({ name: apiKey, settings: { apiKey }, parallel })),
  }) as Provider;
}

/** A stream that goes on until `end` is called. */
function openStream(): { response: Response; end: () => void } {
  let end = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const say = (data: string) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      say('{"choices":[{"index":0,"delta":{"content":"a"}}]}');
      end = () => {
        say('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}');
        say("[DONE]");
        controller.close();
      };
    },
  });
  return {
    response: new Response(body, { headers: { "content-type": "text/event-stream" } }),
    end: () => end(),
  };
}

const question = { model: "acme/m", messages: [{ role: "user", content: "?" }] };
const streamed = { ...question, stream: true };

Deno.test("a stream keeps its call of a scarce account to the last byte, and the next one waits", async () => {
  const ends: (() => void)[] = [];
  await using vendor = startUpstream(() => {
    const { response, end } = openStream();
    ends.push(end);
    return response;
  });
  await using router = startKernel({
    providers: [vendorAt(vendor.url, ["one"], 1)],
    keepAliveMs: 20,
  });
  const first = await router.chat(streamed);
  assertEquals(first.headers.get("x-xrouter-queue"), null);
  // The headers of one who waits go out with the first comment.
  const second = await router.chat(streamed);
  assertEquals(second.headers.get("x-xrouter-queue"), "1");
  assertEquals(vendor.seen.length, 1);
  const asked = vendor.nextChat();
  const reader = second.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, ": queue 1\n\n");
  ends[0]!();
  assertEquals((await readWholeStream(first)).done, true);
  await asked;
  ends[1]!();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) rest += part.value;
  assertMatch(rest, /"content":"a"[^]*\[DONE\]\n\n$/);
  assertEquals((await router.ended(2)).state, "completed");
});

Deno.test("a client who leaves gives the call back, or his place in the queue", async () => {
  const streams: { end: () => void }[] = [];
  await using vendor = startUpstream(() => {
    const stream = openStream();
    streams.push(stream);
    return stream.response;
  });
  await using router = startKernel({
    providers: [vendorAt(vendor.url, ["one"], 1)],
    keepAliveMs: 20,
  });
  const first = await router.chat(streamed);
  const waiting = await router.chat(streamed);
  await waiting.body!.cancel();
  assertEquals((await router.ended(1)).state, "aborted");
  // Nobody was asked for the one who left the queue.
  assertEquals(vendor.seen.length, 1);
  assertEquals(router.outcomes[0]!.target, undefined);
  const asked = vendor.nextChat();
  const third = await router.chat(streamed);
  await first.body!.cancel();
  await asked;
  streams[1]!.end();
  assertEquals((await readWholeStream(third)).done, true);
});

for (const status of [401, 402, 403, 404, 429]) {
  Deno.test(`an account that answers ${status} is followed by the next, and avoided`, async () => {
    await using vendor = startUpstream(({ headers }) =>
      headers.get("authorization") === "Bearer poor"
        ? Response.json({ error: { message: "no" } }, {
          status,
          headers: { "retry-after": "100" },
        })
        : wholeAnswer()
    );
    await using router = startKernel({ providers: [vendorAt(vendor.url, ["poor", "rich"])] });
    for (let request = 0; request < 4; request++) {
      const response = await router.chat(question);
      assertEquals(response.status, 200);
      assertEquals(response.headers.get("x-xrouter-attempts"), "1");
      await response.body!.cancel();
    }
    const keys = vendor.seen.map(({ headers }) => headers.get("authorization"));
    assertEquals(keys.filter((key) => key === "Bearer poor").length, 1);
    assertEquals(keys.length, 5);
    const line = router.log.find(({ message }) => String(message).startsWith("an account refused"));
    assertEquals(line?.account, "poor");
  });
}

Deno.test("an account that is used up is avoided longer than a busy one, though both say 429", async () => {
  using clock = new HeldClock();
  await using vendor = startUpstream(({ headers }) =>
    headers.get("authorization") === "Bearer poor"
      ? Response.json({ error: { message: "no", code: "insufficient_quota" } }, { status: 429 })
      : wholeAnswer()
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["poor", "rich"])] });
  // A conversation would stay with the account that answers it.
  let conversations = 0;
  const chat = async () => {
    const messages = [{ role: "user", content: `${++conversations}` }];
    await (await router.chat({ ...question, messages })).body!.cancel();
  };
  for (const asked of [1, 1, 1, 2]) {
    await Promise.all([chat(), chat()]);
    const calls = vendor.seen.map(({ headers }) => headers.get("authorization"));
    assertEquals(calls.filter((key) => key === "Bearer poor").length, asked);
    clock.pass(20_001);
  }
});

Deno.test("what the client got wrong is not asked of the other accounts", async () => {
  await using vendor = startUpstream(() =>
    Response.json({ error: { message: "no" } }, { status: 400 })
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  const response = await router.chat(question);
  assertEquals(response.status, 400);
  await response.body!.cancel();
  assertEquals(vendor.seen.length, 1);
});

Deno.test("when every account refuses, the client reads the last refusal", async () => {
  await using vendor = startUpstream(() =>
    Response.json({ error: { message: "no" } }, { status: 402 })
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  const response = await router.chat(question);
  assertEquals(response.status, 429);
  const { error } = await response.json();
  assertEquals(error.code, "insufficient_quota");
  assertMatch(error.message, /asks XRouter's operator to pay/);
  assertEquals(vendor.seen.length, 2);
});

/** Refuses the first calls of an account. */
function busy(times: number, headers: Record<string, string> = {}): () => Response {
  return () =>
    times-- > 0
      ? Response.json({ error: { message: "no" } }, { status: 429, headers })
      : wholeAnswer();
}

Deno.test("a busy account that lets few calls run is asked again by whoever has its slot", async () => {
  await using vendor = startUpstream(busy(3));
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["one"], 1)] });
  const responses = await Promise.all([router.chat(question), router.chat(question)]);
  for (const response of responses) {
    assertEquals([response.status, response.headers.get("x-xrouter-attempts")], [200, "1"]);
    await response.body!.cancel();
  }
  assertEquals(vendor.seen.length, 5);
});

for (
  const [what, headers, parallel, calls] of [
    ["asks for more patience", { "retry-after": "3" }, 1, 1],
    ["is refused for ever", {}, 1, 6],
    ["lets any number run", {}, undefined, 1],
  ] as const
) {
  Deno.test(`a busy account that ${what} is asked ${calls} times`, async () => {
    await using vendor = startUpstream(busy(100, headers));
    await using router = startKernel({ providers: [vendorAt(vendor.url, ["one"], parallel)] });
    const response = await router.chat(question);
    assertEquals([response.status, vendor.seen.length], [429, calls]);
    await response.body!.cancel();
  });
}

Deno.test("a request waits for a busy account rather than ask one that has refused", async () => {
  let left = 0;
  await using vendor = startUpstream(({ headers }) => {
    if (headers.get("authorization") === "Bearer poor") {
      return Response.json({ error: { message: "no" } }, { status: 402 });
    }
    return left-- > 0
      ? Response.json({ error: { message: "no" } }, { status: 429 })
      : wholeAnswer();
  });
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["poor", "rich"], 1)] });
  const statuses: number[] = [];
  for (const refusals of [0, 2, 100]) {
    left = refusals;
    const response = await router.chat(question);
    statuses.push(response.status);
    await response.body!.cancel();
  }
  // At the end both refuse, and the one that passes by itself is told.
  assertEquals(statuses, [200, 200, 429]);
  const keys = vendor.seen.map(({ headers }) => headers.get("authorization"));
  assertEquals(keys.filter((key) => key === "Bearer poor").length, 2);
});

Deno.test("a client who leaves while its account is busy gives the call back", async () => {
  let refuse = true;
  await using vendor = startUpstream(() =>
    refuse ? Response.json({ error: { message: "no" } }, { status: 429 }) : wholeAnswer()
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["one"], 1)] });
  const leaving = new AbortController();
  const asked = vendor.nextChat();
  const left = router.chat(question, { signal: leaving.signal }).catch(() => {});
  await asked;
  leaving.abort();
  await left;
  assertEquals((await router.ended(1)).state, "aborted");
  refuse = false;
  const response = await router.chat(question);
  assertEquals(response.status, 200);
  await response.body!.cancel();
});

Deno.test("an account that fails is followed by the next, and avoided", async () => {
  await using vendor = startUpstream(({ headers }) =>
    headers.get("authorization") === "Bearer ill"
      ? new Response("no", { status: 500 })
      : wholeAnswer()
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["ill", "well"])] });
  for (let request = 0; request < 6; request++) {
    const response = await router.chat(question);
    assertEquals(response.status, 200);
    await response.body!.cancel();
  }
  const asked = vendor.seen.filter(({ headers }) => headers.get("authorization") === "Bearer ill");
  assertEquals(asked.length, 1);
});

Deno.test("an account whose address cannot be reached is followed by the next", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const provider = defineProvider({
    name: "acme",
    baseUrl: vendor.url,
    accounts: () => [
      { name: "gone", settings: {}, baseUrl: "http://127.0.0.1:1/v1" },
      { name: "there", settings: {} },
    ],
  }) as Provider;
  await using router = startKernel({
    providers: [provider],
    env: { ACME_API_KEY: "k" },
  });
  for (let request = 0; request < 4; request++) {
    const response = await router.chat(question);
    assertEquals(response.status, 200);
    await response.body!.cancel();
  }
});

Deno.test("clients are told not to ask again for what a vendor rejects", async () => {
  let refused = 404;
  await using vendor = startUpstream(() => new Response(null, { status: refused }));
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a"])] });
  for (const [status, told] of [[404, 502], [402, 429]] as const) {
    refused = status;
    const response = await router.chat(question);
    assertEquals([response.status, response.headers.get("x-should-retry")], [told, "false"]);
    assertEquals(response.headers.get("retry-after"), null);
    await response.body!.cancel();
  }
});

Deno.test("a stream that has to wait gets its head and its place soon, long before a silent one", async () => {
  const ends: (() => void)[] = [];
  await using vendor = startUpstream(() => {
    const { response, end } = openStream();
    ends.push(end);
    return response;
  });
  // Comments come once an hour.
  await using router = startKernel({
    providers: [vendorAt(vendor.url, ["one"], 1)],
    keepAliveMs: 3_600_000,
  });
  const first = await router.chat(streamed);
  const second = await router.chat(streamed);
  const reader = second.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, ": queue 1\n\n");
  // And so it is noticed that its client leaves.
  await reader.cancel();
  assertEquals((await router.ended(1)).state, "aborted");
  ends[0]!();
  assertEquals((await readWholeStream(first)).done, true);
  assertEquals(vendor.seen.length, 1);
});

Deno.test("a client that leaves the queue has no vendor called, and pays nothing", async () => {
  const { response, end } = openStream();
  await using vendor = startUpstream(() => response);
  const provider = defineProvider({
    name: "acme",
    baseUrl: vendor.url,
    // What has begun is read to its end, for its usage.
    onAbort: "drain",
    accounts: () => [{ name: "one", settings: {}, parallel: 1 }],
  }) as Provider;
  await using router = startKernel({ providers: [provider], keepAliveMs: 20 });
  const first = await router.chat(streamed);
  const leaving = new AbortController();
  const second = await router.chat(streamed, { signal: leaving.signal });
  leaving.abort();
  await second.text().catch(() => {});
  const { state, usage, attempt } = await router.ended();
  assertEquals([state, usage, attempt], ["aborted", undefined, undefined]);
  end();
  await first.text();
  await router.ended(2);
  assertEquals(vendor.seen.length, 1);
});

for (const kind of ["hangs", "breaks off", "says nothing of use"]) {
  Deno.test(`a conversation leaves the account whose answer ${kind}`, async () => {
    const asked: string[] = [];
    let bad = "none yet";
    const provider = inProcess(async (request) => {
      const account = request.headers.get("authorization")!;
      asked.push(account);
      if (account !== bad) return streamedReply(delta("fine"), ...ending());
      if (kind === "hangs") {
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        throw request.signal.reason;
      }
      return kind === "breaks off" ? streamedReply(delta("half")) : new Response("<html>");
    }, {
      name: "acme",
      onAbort: "cancel",
      accounts: () => ["a", "b"].map((name) => ({ name, settings: { name } })),
      authorize: ({ settings }) => ({ authorization: String((settings as { name: string }).name) }),
    });
    await using router = startKernel({
      providers: [provider],
      route: { timeouts: { firstByte: 60 } },
    });
    const ask = async () => await (await router.chat(streamed)).text();
    await ask();
    await ask();
    assertEquals(asked[0], asked[1]);
    bad = asked[0]!;
    await ask();
    assertStringIncludes(await ask(), "fine");
    assertEquals(asked.slice(2), [bad, asked[3]]);
    assertEquals(asked[3] === bad, false);
  });
}

for (const status of [503, 429]) {
  Deno.test(`nobody is called after a ${status} for a client who has gone`, async () => {
    const left = Promise.withResolvers<void>();
    const called = Promise.withResolvers<void>();
    let calls = 0;
    const provider = inProcess(async () => {
      if (++calls > 1) return streamedReply(delta("fine"), ...ending());
      called.resolve();
      await left.promise;
      return new Response("no", { status });
    }, {
      // What has begun is read to its end, for its usage.
      name: "acme",
      onAbort: "drain",
      accounts: () =>
        status === 503
          ? ["a", "b"].map((name) => ({ name, settings: {} }))
          : [{ name: "a", settings: {}, parallel: 1 }],
    });
    let x: Exchange | undefined;
    await using router = startKernel({
      providers: [provider],
      keepAliveMs: 20,
      plugins: [{ hooks: { onRequest: (each) => void (x = each) } }],
    });
    const leaving = new AbortController();
    const response = router.chat(streamed, { signal: leaving.signal });
    await called.promise;
    await response;
    const gone = new Promise((resolve) => x!.signal.addEventListener("abort", resolve));
    leaving.abort();
    await gone;
    left.resolve();
    assertEquals((await router.ended()).state, "aborted");
    assertEquals(calls, 1);
  });
}

Deno.test("a stream of a scarce account gets its head soon, so that its client may leave", async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await using vendor = startUpstream(async () => {
    await released;
    return wholeAnswer();
  });
  await using router = startKernel({
    providers: [vendorAt(vendor.url, ["one"], 1)],
    keepAliveMs: 15_000,
  });
  const leaving = new AbortController();
  // The runtime notices who leaves after a short request without that.
  const long = { ...streamed, messages: [{ role: "user", content: "x".repeat(5_000) }] };
  const response = await router.chat(long, { signal: leaving.signal });
  assertEquals(response.status, 200);
  leaving.abort();
  assertEquals((await router.ended()).state, "aborted");
  release();
});

Deno.test("a conversation keeps its account when another one fails it", async () => {
  const asked: string[] = [];
  const held = Promise.withResolvers<void>();
  let bad = "none yet";
  const provider = inProcess(async (request) => {
    const account = request.headers.get("authorization")!;
    const { messages } = await request.json();
    asked.push(account);
    if (messages[0].content === "another") await held.promise;
    return account === bad ? streamedReply(delta("half")) : streamedReply(delta("a"), ...ending());
  }, {
    name: "acme",
    accounts: () => ["a", "b", "c"].map((name) => ({ name, settings: { name }, parallel: 1 })),
    authorize: ({ settings }) => ({ authorization: String((settings as { name: string }).name) }),
  });
  await using router = startKernel({ providers: [provider], keepAliveMs: 20 });
  const say = async (content: string) =>
    await (await router.chat({ ...streamed, messages: [{ role: "user", content }] })).text();
  await say("mine");
  const [own] = asked;
  // The next two conversations take the other accounts; the third comes to the first one.
  await say("second");
  await say("third");
  const another = say("another");
  while (asked.length < 4) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(asked[3], own);
  bad = ["a", "b", "c"].find((each) => each !== own)!;
  await say("mine");
  held.resolve();
  await another;
  bad = "none any more";
  await say("mine");
  assertEquals(asked.at(-1), own);
});

Deno.test("a conversation stays with the account that answered it, and leaves it when it must", async () => {
  let busy = "";
  await using vendor = startUpstream(({ headers }) =>
    headers.get("authorization") === busy
      ? Response.json({ error: {} }, { status: 429, headers: { "retry-after": "60" } })
      : wholeAnswer()
  );
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b", "c"])] });
  const accountOf = async (...contents: string[]) => {
    const messages = contents.map((content, at) => (
      { role: at % 2 === 0 ? "user" : "assistant", content }
    ));
    await (await router.chat({ ...question, messages })).body!.cancel();
    return vendor.seen.at(-1)!.headers.get("authorization")!;
  };
  const first = await accountOf("one");
  const second = await accountOf("two");
  const third = await accountOf("three");
  assertEquals(new Set([first, second, third]).size, 3);
  for (let turn = 0; turn < 3; turn++) {
    assertEquals(await accountOf("two", "answer", "more"), second);
    assertEquals(await accountOf("one", "answer", "more"), first);
  }
  busy = first;
  const next = await accountOf("one", "answer", "more", "answer", "again");
  assertEquals(next === first, false);
  busy = "";
  assertEquals(await accountOf("one", "answer", "more"), next);
  // Nothing ties embeddings together.
  const embed = async () => {
    const response = await fetch(`http://127.0.0.1:${router.port}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "acme/m", input: "same" }),
    });
    await response.body!.cancel();
    return vendor.seen.at(-1)!.headers.get("authorization");
  };
  assertEquals(new Set([await embed(), await embed(), await embed()]).size > 1, true);
});

Deno.test("an answer that is of no use is not asked of the other accounts, and nobody is avoided", async () => {
  await using vendor = startUpstream(() => new Response("no JSON"));
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  for (let request = 1; request <= 4; request++) {
    const response = await router.chat(question);
    assertEquals(response.status, 502);
    await response.body!.cancel();
    assertEquals(vendor.seen.length, request);
  }
  const keys = new Set(vendor.seen.map(({ headers }) => headers.get("authorization")));
  assertEquals(keys.size, 2);
});
