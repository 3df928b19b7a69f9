import { assertEquals } from "@std/assert";
import { z } from "zod";
import type { ChatReply } from "../../core/chat.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { Upstream } from "../../core/upstream.ts";
import { startKernel } from "../support/kernel.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const question = { model: "acme/m", messages: [{ role: "user", content: "?" }] };
const encoder = new TextEncoder();

/** A vendor that takes nothing but `word`, and a provider that tries these words in turn. */
function vendorAt(url: string, words: string[], seen: unknown[]): Provider {
  return defineProvider({
    name: "acme",
    baseUrl: url,
    settings: z.strictObject({}),
    encode: (body, call) => {
      seen.push(call);
      return { ...body, word: words[0] };
    },
    sendAgain: (refusal, body, call) => {
      seen.push(call);
      assertEquals([refusal.code, body.model], ["invalid_request", "m"]);
      return words.shift() !== undefined;
    },
    decoder: (_body, call) => {
      seen.push(call);
      return { event: () => [], whole: (json) => json as ChatReply };
    },
  }) as Provider;
}

Deno.test("a provider that learns from a refusal has its chat encoded and sent once more", async () => {
  await using vendor = startUpstream(({ body }) =>
    body.word === "yes" ? wholeAnswer("ok") : Response.json({ message: "no" }, { status: 400 })
  );
  const seen: unknown[] = [];
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["no", "yes"], seen)] });
  const response = await router.chat(question);
  assertEquals([response.status, (await response.json()).choices.length], [200, 1]);
  assertEquals(vendor.seen.map(({ body }) => body.word), ["no", "yes"]);
  // It is one call: what is learned from it can be kept by the call.
  assertEquals([seen.length, new Set(seen).size], [4, 1]);
});

Deno.test("a refusal that comes again, or that teaches nothing, is the answer", async () => {
  await using vendor = startUpstream(() => Response.json({ message: "no" }, { status: 400 }));
  for (const [words, calls] of [[["a", "b", "c"], 2], [[], 1]] as const) {
    await using router = startKernel({ providers: [vendorAt(vendor.url, [...words], [])] });
    const before = vendor.seen.length;
    const response = await router.chat(question);
    assertEquals([response.status, (await response.json()).error.code], [400, "invalid_request"]);
    assertEquals(vendor.seen.length - before, calls);
  }
});

Deno.test("an answer that its decoder calls done is complete, and its connection is not broken", async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode("data: a\n\ndata: last\n\ndata: more\n\n"));
      controller.close();
    },
    cancel: () => void (cancelled = true),
  });
  let done = false;
  const decoder = {
    event(said: string): ChatReply[] {
      done = said === "last";
      return [{ choices: [], said }];
    },
    whole: () => ({ choices: [] }),
    get done() {
      return done;
    },
  };
  const ended = Promise.withResolvers<void>();
  const upstream = Upstream.stream(new Response(body), {
    decoder,
    signal: new AbortController().signal,
    redact: (text) => text,
    onEnd: ended.resolve,
  });
  const said: unknown[] = [];
  for (let group = await upstream.read(); group; group = await upstream.read()) {
    for (const { json } of group.chunks) said.push(json!.said);
  }
  await upstream.finish();
  await ended.promise;
  assertEquals([said, upstream.done, cancelled], [["a", "last"], true, false]);
});
