import { assertEquals, assertStringIncludes } from "@std/assert";
import { startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import {
  delta,
  ending,
  event,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const role = event({
  id: "chatcmpl-0",
  model: "first-model",
  choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }],
});
const filtered = event({ id: "", choices: [], prompt_filter_results: [] });
const streaming = { stream: true };
const both = { ...streaming, models: ["second/m"] };

/** Two providers, the second of which is well. */
function pair(answer: () => Response) {
  const upstream = startUpstream(({ path }) =>
    path.startsWith("/second") ? streamed(delta("fine"), ...ending()) : answer()
  );
  const url = upstream.url.replace(/\/v1$/, "");
  const kernel = startKernel({
    providers: [
      { name: "first", baseUrl: `${url}/first` },
      { name: "second", baseUrl: `${url}/second` },
    ],
    route: { timeouts: { firstByte: 5_000, firstToken: 60 } },
  });
  return { upstream, kernel };
}

for (
  const [name, answer] of Object.entries({
    "breaks off after its role": () => streamed(filtered, role),
    "reports an error after its role": () =>
      streamed(role, event({ error: { message: "overloaded" } })),
    "is broken after its role": () => {
      const script = new Script();
      void script.send(role).then(() => script.break());
      return script.response();
    },
  })
) {
  Deno.test(`Kernel falls back from a stream that ${name}, and shows nothing of it`, async () => {
    const { upstream, kernel } = pair(answer);
    await using _upstream = upstream;
    await using _kernel = kernel;
    const response = await kernel.chat(ask("first/m", "hi", both));
    const text = await response.text();
    assertEquals(text.startsWith(delta("fine")), true, text);
    assertEquals(text.includes("first-model"), false);
    const { state, target, usage } = await kernel.ended();
    assertEquals([state, target?.provider, usage?.output], ["completed", "second", 5]);
  });
}

Deno.test("Kernel falls back from a stream whose first token is late, and ends the call", async () => {
  const script = new Script();
  const { upstream, kernel } = pair(() => script.response());
  await using _upstream = upstream;
  await using _kernel = kernel;
  await script.send(role);
  const response = await kernel.chat(ask("first/m", "hi", both));
  assertStringIncludes(await response.text(), "fine");
  await upstream.seen[0]!.closed;
  const failed = kernel.log.find(({ provider }) => provider === "first");
  assertEquals([failed?.code, failed?.detail], ["timeout", "the first token"]);
  await kernel.ended();
});

Deno.test("Kernel waits longer for the last target that is left", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "only", baseUrl: upstream.url }],
    route: { timeouts: { firstByte: 20, firstToken: 20, last: 5_000 } },
  });
  const chat = kernel.chat(ask("only/m", "hi", streaming));
  await upstream.nextChat();
  // Ten times the limits of a target that has others after it.
  await new Promise((resolve) => setTimeout(resolve, 200));
  await script.send(role, delta("fine"), ...ending());
  await script.close();
  const text = await (await chat).text();
  // What was held back arrives, in order.
  assertEquals(text.startsWith(role + delta("fine")), true, text);
  assertEquals((await kernel.ended()).state, "completed");
});

Deno.test("Kernel passes an answer on that ends without a word", async () => {
  const [stop, usage, done] = ending();
  await using upstream = startUpstream(() => streamed(role, stop!, usage!, done!));
  await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
  const text = await (await kernel.chat(ask("only/m", "hi", streaming))).text();
  assertEquals(text, role + stop + done);
  assertEquals((await kernel.ended()).state, "completed");
});

Deno.test("Kernel holds back no more than 64 KiB of what says nothing", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
  const chat = kernel.chat(ask("only/m", "hi", streaming));
  for (let i = 0; i < 600; i++) await script.send(role);
  const reader = (await chat).body!.getReader();
  assertEquals((await reader.read()).value !== undefined, true);
  await script.close();
  await reader.cancel();
  await kernel.ended();
});

Deno.test("Kernel records what a useless whole answer used", async () => {
  await using upstream = startUpstream((_seen, number) =>
    wholeAnswer("x", number === 1 ? { choices: "none" } : {})
  );
  const attempts: (number | undefined)[] = [];
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 1 },
    plugins: [{
      hooks: {
        onFinish: (x) => void attempts.push(...x.attempts.map((each) => each.usage?.output)),
      },
    }],
  });
  const response = await kernel.chat(ask("vendor/m"));
  const { usage } = await response.json();
  await kernel.ended();
  assertEquals(attempts, [5, undefined]);
  assertEquals(usage.completion_tokens, 5);
});

Deno.test("Kernel marks what a provider may have used that did not answer in time", async () => {
  await using upstream = startUpstream(async ({ path, closed }) => {
    if (path.startsWith("/second")) return wholeAnswer("fine");
    await closed;
    return wholeAnswer();
  });
  const url = upstream.url.replace(/\/v1$/, "");
  const seen: unknown[] = [];
  await using kernel = startKernel({
    providers: [
      { name: "first", baseUrl: `${url}/first` },
      { name: "second", baseUrl: `${url}/second` },
    ],
    route: { timeouts: { whole: 60 } },
    plugins: [{
      hooks: {
        onFinish: (x) =>
          void seen.push(...x.attempts.map(({ usage, unanswered }) => [usage?.output, unanswered])),
      },
    }],
  });
  const response = await kernel.chat(ask("first/m", "hi", { models: ["second/m"] }));
  await response.body?.cancel();
  await kernel.ended();
  assertEquals(seen, [[0, true], [undefined, undefined]]);
});

Deno.test("Kernel asks the next provider where a stream holds no answer", async () => {
  const done = "data: [DONE]\n\n";
  for (
    const events of [
      ["data: {nope\n\n", "data: 5\n\n", "data: null\n\n", "data: []\n\n", done],
      ['data: "words"\n\n'],
      // Words that nobody can read are not passed over.
      ['data: [{"choices":[{"index":0,"delta":{"content":"hi"}}]}]\n\n', ...ending()],
      ['data: {"type":"ping"}\n\n', 'data: {"choices":null}\n\n'],
    ]
  ) {
    await using upstream = startUpstream(({ path }) =>
      path.startsWith("/second") ? streamed(delta("fine"), ...ending()) : streamed(...events)
    );
    const url = upstream.url.replace(/\/v1$/, "");
    await using kernel = startKernel({
      providers: [
        { name: "first", baseUrl: `${url}/first` },
        { name: "second", baseUrl: `${url}/second` },
      ],
    });
    const asked = ask("first/m", "hi", { ...streaming, models: ["second/m"] });
    const response = await kernel.chat(asked);
    assertEquals(response.headers.get("x-xrouter-provider"), "second", events.join(""));
    assertEquals(await response.text(), delta("fine") + ending()[0] + done);
    assertEquals((await kernel.ended()).state, "completed");
  }
});

Deno.test("Kernel passes over an event that is no JSON object and says nothing", async () => {
  const [stop, usage, done] = ending() as [string, string, string];
  const broken = ['data: {"id":"chatcmpl-1","choi', "data: oops", "data: {oops}"];
  const others = ["data: null", "data: 5", 'data: "text"', 'data: [{"type":"content"}]'];
  for (const bad of [...broken, ...others].map((line) => `${line}\n\n`)) {
    const words = [delta("One "), delta("two "), bad, delta("three"), stop];
    await using upstream = startUpstream(() => streamed(...words, usage, done));
    await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
    const text = await (await kernel.chat(ask("only/m", "hi", streaming))).text();
    assertEquals(text, words.filter((each) => each !== bad).join("") + done);
    assertEquals((await kernel.ended()).state, "completed");
  }
});

Deno.test("Kernel ends an answer with an error where words of it cannot be read", async () => {
  const half = delta("two ").slice(0, -8) + "\n\n";
  await using upstream = startUpstream(() => streamed(delta("One "), half, ...ending()));
  await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
  const text = await (await kernel.chat(ask("only/m", "hi", streaming))).text();
  assertStringIncludes(text, "an event that is no JSON");
  assertEquals(text.includes("[DONE]"), false);
  assertEquals((await kernel.ended()).state, "failed");
});

Deno.test("Kernel takes an answer for whole that has said why it ended, and then falls silent", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "only", baseUrl: upstream.url }],
    route: { timeouts: { idle: 50 } },
  });
  const [stop, usage, done] = ending() as [string, string, string];
  await script.send(delta("fine"), stop, usage);
  const text = await (await kernel.chat(ask("only/m", "hi", streaming))).text();
  assertEquals(text, delta("fine") + stop + done);
  await upstream.seen[0]!.closed;
  assertEquals((await kernel.ended()).state, "completed");
});
