import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import type { Attempt, BreakPolicy, Hooks } from "../../core/plugin.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { inProcess, type KernelSetup, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import {
  delta,
  ending,
  event,
  type Seen,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const words = ["One ", "two ", "three ", "four ", "five."];
const [stop, usage, done] = ending() as [string, string, string];

/** An answer's events, each with another id than those of other answers. */
function say(id: string, texts: readonly string[], ...end: string[]): Response {
  return streamed(...texts.map((text) => delta(text, { id })), ...end);
}

interface Told {
  readonly text: string;
  readonly content: string;
  readonly frames: Record<string, unknown>[];
  readonly attempts: readonly Attempt[];
  readonly asked: readonly Seen[];
  readonly state: string;
  readonly usage: unknown;
}

/** Asks for a stream whose first part breaks off after three words. */
async function tell(
  onBreak: BreakPolicy,
  rest: (seen: Seen) => Response,
  {
    body = {},
    prefill,
    prefillOf,
    timeouts = {},
    retries = 0,
    first = () => say("one", words.slice(0, 3)),
    ...setup
  }:
    & {
      body?: object;
      prefill?: boolean;
      prefillOf?: string;
      timeouts?: { idle?: number };
      retries?: number;
      first?: () => Response;
    }
    & Omit<KernelSetup, "route"> = {},
): Promise<Told> {
  await using upstream = startUpstream((seen) =>
    seen.path.startsWith("/first") ? first() : rest(seen)
  );
  const url = upstream.url.replace(/\/v1$/, "");
  let attempts: readonly Attempt[] = [];
  const providers = ["first", "second", "third"].map((name) => {
    const prefills = name === prefillOf ? true : prefill;
    const models = prefills === undefined ? {} : { m: { prefill: prefills } };
    return defineProvider({ name, baseUrl: `${url}/${name}`, models }) as Provider;
  });
  await using kernel = startKernel({
    ...setup,
    providers,
    route: { onBreak, retries, timeouts },
    plugins: [...setup.plugins ?? [], { hooks: { onFinish: (x) => void (attempts = x.attempts) } }],
  });
  const response = await kernel.chat(
    ask("first/m", "hi", { stream: true, models: ["second/m"], ...body }),
  );
  const text = await response.text();
  const outcome = await kernel.ended();
  const frames = text.split("\n\n").filter((frame) => frame.startsWith("data: {"))
    .map((frame) => JSON.parse(frame.slice(6)));
  const content = frames.flatMap(({ choices }) => choices)
    .map((choice) => choice?.delta?.content ?? "").join("");
  return {
    text,
    content,
    frames,
    attempts,
    asked: [...upstream.seen],
    state: outcome.state,
    usage: outcome.usage,
  };
}

const whole = () => say("two", words, stop, usage, done);

Deno.test("a route's answer that breaks off ends with an error by default", async () => {
  const { text, state, asked } = await tell("error", whole);
  assertStringIncludes(text, '"finish_reason":"error"');
  assertEquals([text.includes("[DONE]"), state, asked.length], [false, "failed", 1]);
});

Deno.test("a route may show nothing before the answer is whole", async () => {
  const { text, content, state, attempts, usage } = await tell("whole", whole);
  assertEquals([content, state], [words.join(""), "completed"]);
  assertEquals(text.includes('"one"'), false);
  const [first, second] = attempts;
  // Three words were made for nothing; the provider wants them paid.
  assertEquals([first?.error?.code, first?.usage?.estimated], ["upstream_unavailable", true]);
  assertEquals([(first?.usage?.output ?? 0) > 0, second?.usage], [true, undefined]);
  assertEquals(usage, { input: 10, output: 5, cached: 0, estimated: false });
});

Deno.test("a route that shows only whole answers bounds their silence", async () => {
  await using upstream = startUpstream(({ path }) => {
    if (!path.startsWith("/first")) return whole();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(delta("One "))),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const url = upstream.url.replace(/\/v1$/, "");
  await using kernel = startKernel({
    providers: ["first", "second"].map((name) => ({ name, baseUrl: `${url}/${name}` })),
    route: { onBreak: "whole", timeouts: { idle: 50 } },
  });
  const response = await kernel.chat(ask("first/m", "hi", { stream: true, models: ["second/m"] }));
  assertStringIncludes(await response.text(), "five.");
  await upstream.seen[0]!.closed;
  await kernel.ended();
});

Deno.test("a route that shows only whole answers asks others rather than the same target again", async () => {
  const { asked, content } = await tell("whole", whole, { retries: 3 });
  assertEquals([asked.map(({ path }) => path.split("/")[1]), content], [
    ["first", "second"],
    words.join(""),
  ]);
});

Deno.test("a whole answer may end in silence", async () => {
  await using upstream = startUpstream(() => {
    const events = [...words.map((word) => delta(word)), stop, usage].join("");
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(events)),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  await using kernel = startKernel({
    providers: [{ name: "only", baseUrl: upstream.url }],
    route: { onBreak: "whole", timeouts: { idle: 50 } },
  });
  const response = await kernel.chat(ask("only/m", "hi", { stream: true }));
  assertEquals(await response.text(), [...words.map((word) => delta(word)), stop, done].join(""));
  assertEquals((await kernel.ended()).state, "completed");
  await upstream.seen[0]!.closed;
});

Deno.test("a route may have the next target go on, which repeats the beginning", async () => {
  const { content, state, attempts, frames, text, asked } = await tell("continue", whole, {
    body: { stream_options: { include_usage: true } },
  });
  assertEquals([content, state, asked.length], [words.join(""), "completed", 2]);
  assertEquals(text.split("[DONE]").length, 2);
  // The client reads one answer.
  assertEquals(new Set(frames.slice(0, -1).map(({ id }) => id)), new Set(["one"]));
  // Both parts were paid for: three words that were counted, five tokens as reported.
  const [first] = attempts;
  const counted = first!.usage!;
  assertEquals([counted.estimated, counted.output > 0], [true, true]);
  const report = frames.at(-1)!.usage as Record<string, number>;
  assertEquals(report.completion_tokens, 5 + counted.output);
  assertEquals(report.prompt_tokens, 10 + counted.input);
  assertEquals(asked[1]!.body.messages.length, 1);
});

Deno.test("white space may differ where the next target repeats the beginning", async () => {
  const other = ["One", "\n two  thr", "ee four", " five."];
  const { content, state } = await tell("continue", () => say("two", other, stop, usage, done));
  assertEquals([content, state], ["One two three four five.", "completed"]);
});

Deno.test("white space that did not go out is kept", async () => {
  for (const prefill of [true, false]) {
    const said = ["def f():", "\n"];
    const rest = ["    return", " 1"];
    const { content, state } = await tell(
      "continue",
      () => say("two", prefill ? rest : [...said, ...rest], stop, usage, done),
      { first: () => say("one", said), prefill },
    );
    assertEquals([content, state], ["def f():\n    return 1", "completed"], `${prefill}`);
  }
});

Deno.test("another answer that ends while it still repeats is no rest, whatever its vendor says", async () => {
  const short = () => say("two", words.slice(0, 1), done);
  const { text, state } = await tell("continue", short);
  assertEquals([text.includes("[DONE]"), state], [false, "failed"]);
});

Deno.test("a target that began another answer is not asked again", async () => {
  const other = () => say("two", ["Something ", "else."], stop, usage, done);
  const { asked, state } = await tell("continue", other, { retries: 1 });
  assertEquals([asked.length, state], [2, "failed"]);
});

Deno.test("an answer is gone on with as its provider said it, not as a plugin shows it", async () => {
  const loud: Hooks = {
    onChunk(_x, chunk) {
      const { json, text } = chunk;
      if (text === "") return;
      const [choice] = json!.choices;
      chunk.replace({
        ...json!,
        choices: [{ ...choice!, delta: { content: text.toUpperCase() } }],
      });
    },
  };
  const { content, state } = await tell("continue", whole, { plugins: [{ hooks: loud }] });
  assertEquals([content, state], [words.join("").toUpperCase(), "completed"]);
});

Deno.test("a function that is called in the old way is not gone on with", async () => {
  const call = event({ choices: [{ index: 0, delta: { function_call: { name: "f" } } }] });
  const { asked } = await tell("continue", whole, { first: () => streamed(delta("One "), call) });
  assertEquals(asked.length, 1);
});

/** One event of a choice, with its words or why it ends. */
const choiceEvent = (index: number, content: string | null) =>
  event({
    object: "chat.completion.chunk",
    choices: [
      content === null
        ? { index, delta: {}, finish_reason: "stop" }
        : { index, delta: { content }, finish_reason: null },
    ],
  });

for (const onBreak of ["error", "whole"] as const) {
  Deno.test(`of several alternatives each has to end, on break ${onBreak}`, async () => {
    const first = () =>
      streamed(choiceEvent(0, "a"), choiceEvent(1, "b"), choiceEvent(0, null), choiceEvent(1, "c"));
    const second = () =>
      streamed(
        choiceEvent(1, "x"),
        choiceEvent(0, "y"),
        choiceEvent(1, null),
        choiceEvent(0, null),
      );
    const { text, state, asked } = await tell(onBreak, second, { first, body: { n: 2 } });
    assertEquals(
      [asked.length, state, text.includes("[DONE]")],
      onBreak === "whole" ? [2, "completed", true] : [1, "failed", false],
    );
  });
}

for (const onBreak of ["error", "whole"] as const) {
  Deno.test(`a vendor may give fewer alternatives than it was asked for, on break ${onBreak}`, async () => {
    const first = () => streamed(choiceEvent(0, "a"), choiceEvent(0, null));
    const { content, state, asked } = await tell(onBreak, whole, { first, body: { n: 2 } });
    assertEquals([asked.length, content, state], [1, "a", "completed"]);
  });
}

Deno.test("an answer that may not end yet breaks off, also for one who does not read", async () => {
  let calls = 0;
  const provider = inProcess(() => {
    if (++calls === 1) return streamed(delta("Hello world "), delta("again "));
    // All in one read: nothing tells that it will not go on.
    return streamed([delta("Hello"), event({ choices: [] }), done].join(""));
  });
  await using kernel = startKernel({
    providers: [provider],
    route: { onBreak: "continue", retries: 1, time: 400 },
  });
  const response = await kernel.chat(ask("vendor/m", "hi", { stream: true }));
  assertEquals((await response.text()).includes("[DONE]"), false);
  assertEquals((await kernel.ended()).state, "failed");
});

Deno.test("only words that are sent again are counted as input, and each once", async () => {
  const thoughts = event({
    choices: [{ index: 0, delta: { reasoning_content: "long thoughts ".repeat(50) } }],
  });
  const { attempts, asked } = await tell(
    "continue",
    ({ path }) => path.startsWith("/second") ? say("two", words.slice(0, 4)) : whole(),
    {
      prefill: true,
      first: () => streamed(thoughts, ...words.slice(0, 3).map((word) => delta(word))),
      body: { models: ["second/m", "third/m"], max_tokens: 1_000 },
    },
  );
  assert(attempts.slice(1).every(({ prefilled }) => prefilled! < 30), JSON.stringify(attempts));
  // What is left of the limit is less by the thoughts, too.
  const [, second] = asked.map(({ body }) => body.max_tokens);
  const { output } = attempts[0]!.usage!;
  assertEquals([second, output > 90], [1_000 - output, true]);
});

Deno.test("an answer that is said again from its beginning uses the limit once", async () => {
  const long = Array.from({ length: 20 }, (_, i) => `word${i} `);
  const { asked } = await tell(
    "continue",
    ({ path }) =>
      path.startsWith("/second")
        ? say("two", long.slice(0, 15))
        : say("three", long.slice(15), stop, usage, done),
    {
      prefill: false,
      prefillOf: "third",
      first: () => say("one", long.slice(0, 10)),
      body: { models: ["second/m", "third/m"], max_tokens: 100 },
    },
  );
  const third = asked[2]!.body.max_tokens;
  // Some three tokens a word, fifteen words.
  assert(third > 30, `${third}`);
});

for (const kind of ["fails", "falls silent"]) {
  Deno.test(`an answer of which an alternative is missing when its provider ${kind} is not whole`, async () => {
    const first = () => {
      const events = [choiceEvent(0, "a"), choiceEvent(0, null)];
      const encoder = new TextEncoder();
      const body = new ReadableStream<Uint8Array>({
        async start(controller) {
          controller.enqueue(encoder.encode(events.join("")));
          if (kind === "falls silent") return;
          await new Promise((resolve) => setTimeout(resolve, 30));
          controller.enqueue(encoder.encode(event({ error: { message: "no" } })));
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    const { state, text } = await tell("error", whole, {
      first,
      body: { n: 2 },
      timeouts: { idle: 100 },
    });
    assertEquals([state, text.includes("[DONE]")], ["failed", false]);
  });
}

Deno.test("an alternative that is null harms nobody", async () => {
  const nothing = event({ id: "two", choices: [null] });
  const { content, state } = await tell(
    "continue",
    () => streamed(nothing, ...words.map((word) => delta(word, { id: "two" })), stop, usage, done),
    { first: () => streamed(nothing, ...words.slice(0, 3).map((word) => delta(word))) },
  );
  assertEquals([content, state], [words.join(""), "completed"]);
});

Deno.test("an answer that is whole is shown, however its connection ended", async () => {
  const first = () => {
    const frames = [delta("One."), stop, usage].join("");
    let sent = false;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent) return controller.error(new Error("reset"));
        sent = true;
        controller.enqueue(new TextEncoder().encode(frames));
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  const { asked, content, state } = await tell("whole", whole, { first });
  assertEquals([asked.length, content, state], [1, "One.", "completed"]);
});

for (
  const [what, failed] of [
    ["a reason that is an error", { choices: [{ index: 0, delta: {}, finish_reason: "error" }] }],
    ["an alternative with an error", { choices: [{ index: 0, delta: {}, error: { code: 1 } }] }],
  ] as const
) {
  Deno.test(`a stream that begins with ${what} is followed by the next target`, async () => {
    const { content, state } = await tell("error", whole, {
      first: () => streamed(event({ object: "chat.completion.chunk", ...failed }), done),
    });
    assertEquals([content, state], [words.join(""), "completed"]);
  });

  Deno.test(`a stream that ends with ${what} is no success`, async () => {
    const failure = event({ object: "chat.completion.chunk", ...failed });
    const { text, state } = await tell("error", whole, {
      first: () => streamed(delta("One "), failure, done),
    });
    assertEquals([text.includes("[DONE]"), state], [false, "failed"]);
  });
}

for (
  const [what, choices] of [
    ["without alternatives", []],
    ["of an error", [{ index: 0, message: { content: "" }, finish_reason: "error" }]],
    ["with an error", [{ index: 0, message: { content: "" }, error: { message: "no" } }]],
  ] as const
) {
  Deno.test(`an answer that is no stream, ${what}, is followed by the next target`, async () => {
    const { attempts, state } = await tell("error", () => wholeAnswer(), {
      first: () => Response.json({ object: "chat.completion", choices }),
      body: { stream: false },
    });
    assertEquals([attempts.length, state], [2, "completed"]);
    assertEquals(attempts[0]!.error?.code, "upstream_unavailable");
  });
}

Deno.test("another answer is not taken for the rest of the one that broke off", async () => {
  const other = () => say("two", ["One ", "two ", "eight"], stop, usage, done);
  const { content, state, text, attempts } = await tell("continue", other);
  assertEquals([content, state], ["One two three ", "failed"]);
  assertStringIncludes(text, "began another answer");
  assertEquals(text.includes("[DONE]"), false);
  // Both were asked for something, and the answer ends with the second.
  assertEquals(attempts.map(({ usage }) => usage !== undefined), [true, true]);
});

Deno.test("an answer that ends before the place where the other broke off is no rest of it", async () => {
  const { state } = await tell("continue", () => say("two", ["One "], stop, usage, done));
  assertEquals(state, "failed");
});

Deno.test("a target that declares it goes on from the last words", async () => {
  const rest = () => say("two", ["four ", "five."], stop, usage, done);
  const { content, state, asked, attempts } = await tell("continue", rest, {
    prefill: true,
    body: { max_tokens: 100 },
  });
  assertEquals([content, state], [words.join(""), "completed"]);
  const { messages, max_tokens } = asked[1]!.body;
  assertEquals(messages.at(-1), { role: "assistant", content: "One two three " });
  assertEquals(max_tokens < 100 && max_tokens > 80, true, `${max_tokens}`);
  // What it was sent beside the request is input, too: a hold and an estimate count it.
  assertEquals(attempts.map(({ prefilled }) => prefilled), [undefined, 100 - max_tokens]);
});

Deno.test("the words that a target goes on from are counted as its input", async () => {
  const rest = () => say("two", ["four ", "five."], stop, done);
  const { attempts, usage: used } = await tell("continue", rest, { prefill: true });
  const [first, second] = attempts;
  const { input } = used as { input: number };
  assertEquals(input, first!.usage!.input + second!.prefilled!);
});

Deno.test("a refusal to go on from the last words is followed by a try afresh", async () => {
  const picky = ({ body }: Seen) =>
    body.messages.at(-1).role === "assistant"
      ? Response.json({ error: { message: "must end with a user message" } }, { status: 400 })
      : whole();
  const { content, state } = await tell("continue", picky, { prefill: true });
  assertEquals([content, state], [words.join(""), "completed"]);
});

Deno.test("a refusal of those who should go on never becomes the final error", async () => {
  const refusal = () => Response.json({ error: { message: "no such thing" } }, { status: 400 });
  const { text, state } = await tell("continue", refusal);
  assertStringIncludes(text, "broke the answer off");
  assertEquals([text.includes("no such thing"), state], [false, "failed"]);
});

Deno.test("an answer that broke off amid a tool call is not gone on with", async () => {
  const call = event({
    id: "one",
    choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: "c", function: {} }] } }],
  });
  const { state, asked } = await tell("continue", whole, {
    first: () => streamed(delta("One "), call),
  });
  assertEquals([state, asked.length], ["failed", 1]);
});

Deno.test("an answer may break off twice", async () => {
  const { content, state, attempts } = await tell(
    "continue",
    ({ path }) => path.startsWith("/second") ? say("two", words.slice(0, 4)) : whole(),
    { body: { models: ["second/m", "third/m"] } },
  );
  assertEquals([content, state, attempts.length], [words.join(""), "completed", 3]);
});

Deno.test("plugins see each word of an answer that was gone on with once", async () => {
  let seen = "";
  await tell("continue", whole, {
    plugins: [{ hooks: { onChunk: (_x, { text }) => void (seen += text) } }],
  });
  assertEquals(seen, words.join(""));
});

Deno.test("whole answers that are no stream know nothing of breaking off", async () => {
  const { state, content } = await tell("continue", whole, {
    first: () => wholeAnswer(),
    body: { stream: false },
  });
  assertEquals([state, content], ["completed", ""]);
});

Deno.test("what a plugin refuses is asked of nobody else", async () => {
  const refuse: Hooks = {
    onChunk(_x, { text }) {
      if (text === "two ") throw new RouterError("content_filter", "not this");
    },
  };
  const { asked, text, state } = await tell("continue", whole, { plugins: [{ hooks: refuse }] });
  assertEquals([asked.length, state], [1, "failed"]);
  assertStringIncludes(text, "not this");
});

Deno.test("alternatives of which some have not begun are not gone on with", async () => {
  const { asked, state } = await tell("continue", whole, { prefill: true, body: { n: 2 } });
  assertEquals([asked.length, state], [1, "failed"]);
});

Deno.test("a target goes on with less of max_tokens each time", async () => {
  const { asked } = await tell(
    "continue",
    ({ path }) => path.startsWith("/second") ? say("two", ["four "]) : whole(),
    { prefill: true, body: { models: ["second/m", "third/m"], max_tokens: 100 } },
  );
  const [, second, third] = asked.map(({ body }) => body.max_tokens);
  assert(second < 100 && third < second, `${second}, ${third}`);
});

Deno.test("an answer that goes on elsewhere gives its call back before it waits for another", async () => {
  const { promise: never } = Promise.withResolvers<void>();
  await using upstream = startUpstream(({ body }) => {
    if (body.model === "n") return whole();
    // It says that it failed, and leaves the connection open.
    const events = [...words.slice(0, 2).map((word) => delta(word)), event({ error: "broken" })];
    const stream = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode(events.join("")));
        await never;
      },
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  });
  const provider = defineProvider({
    name: "narrow",
    baseUrl: upstream.url,
    accounts: () => [{ name: "only", settings: {}, parallel: 1 }],
  }) as Provider;
  await using kernel = startKernel({
    providers: [provider],
    route: { onBreak: "continue", time: 5_000 },
  });
  const response = await kernel.chat(
    ask("narrow/m", "hi", { stream: true, models: ["narrow/n"] }),
  );
  assertStringIncludes(await response.text(), "[DONE]");
  const { durationMs } = await kernel.ended();
  assert(durationMs < 4_000, `${durationMs}`);
});

Deno.test("a whole answer that its client reads slowly is not taken for sent when it is stopped", async () => {
  // More than lies between the two on its way.
  const padding = "-".repeat(3_000);
  const many = Array.from({ length: 3_000 }, (_, i) => `word ${i} `);
  const events = many.map((text) => delta(text, { padding }));
  await using upstream = startUpstream(() => streamed(...events, stop, usage, done));
  await using kernel = startKernel({
    providers: [{ name: "only", baseUrl: upstream.url }],
    route: { onBreak: "whole" },
  });
  const response = await kernel.chat(ask("only/m", "hi", { stream: true }));
  const reader = response.body!.getReader();
  await reader.read();
  const stopped = kernel.kernel.drain(0);
  let rest = "";
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    rest += decoder.decode(value, { stream: true });
  }
  await stopped;
  const { state } = await kernel.ended();
  const isWhole = rest.includes(many.at(-1)!);
  assertEquals([rest.includes("[DONE]"), state], isWhole ? [true, "completed"] : [false, "failed"]);
});

Deno.test("answers that end in silence are no failures of their provider", async () => {
  const events = [delta("fine"), stop, usage].join("");
  await using upstream = startUpstream(() => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(events)),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  await using kernel = startKernel({
    providers: [{ name: "only", baseUrl: upstream.url }],
    route: { timeouts: { idle: 30 } },
  });
  for (let i = 1; i <= 7; i++) {
    const response = await kernel.chat(ask("only/m", "hi", { stream: true }));
    assertEquals(response.status, 200);
    await response.text();
    assertEquals((await kernel.ended(i)).state, "completed");
  }
});

for (const reads of [1, 2]) {
  Deno.test(`a provider that never heeds the end of its call keeps nobody from the next, ${reads} reads`, async () => {
    const parts = [delta("One "), `${delta("two ").slice(0, -8)}\n\n`];
    const pieces = reads === 1 ? [parts.join("")] : parts;
    const first = () => {
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          const piece = pieces.shift();
          if (piece === undefined) return new Promise(() => {});
          return controller.enqueue(new TextEncoder().encode(piece));
        },
        cancel: () => new Promise(() => {}),
      }, { highWaterMark: 0 });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    await using kernel = startKernel({
      providers: [inProcess(first, { name: "first" }), inProcess(whole, { name: "second" })],
      route: { onBreak: "whole", time: 60_000, timeouts: { firstByte: 60_000, idle: 60_000 } },
    });
    const response = await kernel.chat(
      ask("first/m", "hi", { stream: true, models: ["second/m"] }),
    );
    assertStringIncludes(await response.text(), "five.");
    assertEquals((await kernel.ended()).state, "completed");
  });
}
