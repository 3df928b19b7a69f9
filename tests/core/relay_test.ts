// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Chunk, Hooks } from "../../core/plugin.ts";
import { inParts, inProcess, startKernel } from "../support/kernel.ts";
import { seededRandom } from "../support/random.ts";
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

const done = "data: [DONE]\n\n";
const [stop, usage] = ending() as [string, string, string];
const streaming = { stream: true };
const withUsage = { stream: true, stream_options: { include_usage: true } };

/** The answer to one streamed request, from a vendor whose reads are `parts`. */
async function relayed(
  parts: Iterable<string | Uint8Array>,
  { hooks = {}, ...rest }: { hooks?: Hooks } & Record<string, unknown> = streaming,
) {
  await using kernel = startKernel({
    providers: [inProcess(() => inParts(parts))],
    plugins: [{ hooks }],
  });
  const response = await kernel.chat(ask("vendor/m", "hi", { ...streaming, ...rest }));
  const text = await response.text();
  return { text, outcome: await kernel.ended(), log: kernel.log };
}

Deno.test("Relay hands a stream on byte for byte, over sockets and any cuts", async () => {
  const random = seededRandom();
  const events = [
    delta("ключ 🦕"),
    delta("crlf").replaceAll("\n", "\r\n"),
    `: noted\n${delta("comment")}`,
    `event: message\nid: 7\n${delta("named")}`,
    stop,
  ];
  const bytes = new TextEncoder().encode(events.join("") + done);
  await using upstream = startUpstream(async () => {
    const script = new Script();
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random(200);
      await script.send(bytes.slice(at, at + size));
      at += size;
    }
    await script.close();
    return script.response();
  });
  await using kernel = startKernel({ providers: [{ name: "vendor", baseUrl: upstream.url }] });
  for (let round = 0; round < 20; round++) {
    const response = await kernel.chat(ask("vendor/m", "hi", streaming));
    assertEquals(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    assertEquals(await response.bytes(), bytes, `round ${round}`);
  }
});

Deno.test("Relay hands several events of one read on in one piece", async () => {
  const { text } = await relayed([delta("a") + delta("b") + stop + done]);
  assertEquals(text, delta("a") + delta("b") + stop + done);
});

Deno.test("Relay lets a plugin read, replace and withhold", async () => {
  const seen: string[] = [];
  const { text, outcome } = await relayed([delta("a") + delta("secret"), delta("b"), stop, done], {
    hooks: {
      onChunk(_x, chunk: Chunk): void | false {
        seen.push(chunk.text);
        if (chunk.text === "secret") return false;
        if (chunk.text === "b") chunk.replace({ choices: [], said: "B" });
      },
    },
  });
  assertEquals(seen, ["a", "secret", "b", ""]);
  assertEquals(text, delta("a") + event({ choices: [], said: "B" }) + stop + done);
  assertEquals(outcome.state, "completed");
});

Deno.test("Relay keeps the usage event from a client that did not ask for it", async () => {
  const { text, outcome } = await relayed([delta("a"), stop, usage, done]);
  assertEquals(text, delta("a") + stop + done);
  assertEquals(outcome.usage, { input: 10, output: 5, cached: 0, estimated: false });
});

Deno.test("Relay hands the usage event on to a client that asked, with the cost", async () => {
  const priced = usage.replace('"total_tokens":15}', '"total_tokens":15,"cost":null}');
  for (const written of [usage, usage.replace('"choices":[]', '"choices": [ ]')]) {
    const { text } = await relayed([delta("a"), stop, written, done], withUsage);
    assertEquals(text, delta("a") + stop + priced + done);
  }
});

Deno.test("Relay says what an answer cost by the target's price, whole or streamed", async () => {
  const price = { currency: "RUB", input: 65, output: 130, cached: 0 };
  await using upstream = startUpstream(({ body }) =>
    body.stream === true ? streamed(delta("a"), stop, usage, done) : wholeAnswer("a")
  );
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url, models: { m: { price } } }],
  });
  const whole = await (await kernel.chat(ask("vendor/m"))).json();
  // 10 tokens in, 4 of them cached, 5 out.
  assertEquals(whole.usage.cost, (6 * 65 + 5 * 130) / 1_000_000);
  assertEquals((await kernel.ended()).cost, 6 * 65 + 5 * 130);
  const text = await (await kernel.chat(ask("vendor/m", "hi", withUsage))).text();
  assertStringIncludes(text, `"cost":${(10 * 65 + 5 * 130) / 1_000_000}}`);
  assertEquals((await kernel.ended(2)).cost, 10 * 65 + 5 * 130);
});

Deno.test("Relay makes a usage event where the vendor has none", async () => {
  const { text, outcome } = await relayed([delta("one two three"), stop, done], withUsage);
  assertEquals(outcome.usage?.estimated, true);
  const { input, output } = outcome.usage!;
  assertEquals(output, 3);
  const made = event({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "vendor-model-0613",
    choices: [],
    usage: {
      prompt_tokens: input,
      completion_tokens: output,
      total_tokens: input + output,
      prompt_tokens_details: { cached_tokens: 0 },
      cost: null,
    },
  });
  assertEquals(text, delta("one two three") + stop + made + done);
});

Deno.test("Relay's own usage event says of the answer what the answer's own do, and no more", async () => {
  // As Azure's: about the prompt alone, before the answer has an id.
  const filter = event({ id: "", object: "", created: 0, model: "", choices: [], filter: [1] });
  const parts = [filter, delta("one two three"), stop, done];
  const { text } = await relayed(parts, withUsage);
  const made = JSON.parse(text.trimEnd().split("\n\n").at(-2)!.slice("data: ".length));
  assertEquals({ ...made, usage: undefined }, {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "vendor-model-0613",
    choices: [],
    usage: undefined,
  });
});

Deno.test("Relay's own usage event is named as a plugin has named the others", async () => {
  const hooks: Hooks = {
    onChunk: (_x, chunk) => chunk.replace({ ...chunk.json!, id: "mine", model: "alias" }),
  };
  const words = Array.from(
    { length: 8 },
    (_, i) => event({ choices: [{ index: 0, delta: { content: `${i}` } }] }),
  );
  const { text } = await relayed([delta("one"), ...words, stop, done], { ...withUsage, hooks });
  const made = JSON.parse(text.trimEnd().split("\n\n").at(-2)!.slice("data: ".length));
  assertEquals([made.id, made.model, made.object], ["mine", "alias", "chat.completion.chunk"]);
  assert(made.usage.completion_tokens > 0);
});

Deno.test("what a plugin does to a whole answer in place changes nothing of what is counted of it", async () => {
  const hooks: Hooks = {
    onChunk(_x, chunk) {
      const json = chunk.json!;
      json.usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
      json.choices[0]!.message!.content = "";
      chunk.replace(json);
    },
  };
  for (const usage of [undefined, { prompt_tokens: 10, completion_tokens: 0 }]) {
    await using kernel = startKernel({
      providers: [inProcess(() => wholeAnswer("one two three", { usage }))],
      plugins: [{ hooks }],
    });
    await (await kernel.chat(ask("vendor/m"))).body?.cancel();
    const { output, estimated } = (await kernel.ended()).usage!;
    assertEquals([output, estimated], [3, true]);
  }
});

Deno.test("what a plugin does to a reply in place changes nothing of its usage", async () => {
  const hooks: Hooks = {
    onChunk(_x, { json }) {
      if (json?.usage) Object.assign(json.usage, { prompt_tokens: 1, completion_tokens: 1 });
    },
  };
  for (const isStream of [true, false]) {
    await using kernel = startKernel({
      providers: [
        inProcess(() => isStream ? inParts([delta("a"), stop, usage, done]) : wholeAnswer("a")),
      ],
      plugins: [{ hooks }],
    });
    const asked = ask("vendor/m", "hi", isStream ? withUsage : {});
    const text = await (await kernel.chat(asked)).text();
    const { input, output } = (await kernel.ended()).usage!;
    assertEquals([input, output], [10, 5], text);
    assertStringIncludes(text, '"completion_tokens":5');
  }
});

Deno.test("Relay tells what a whole answer cost, whatever a plugin makes of it", async () => {
  const price = { currency: "RUB", input: 65, output: 130 };
  await using upstream = startUpstream(() => wholeAnswer("a"));
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url, models: { m: { price } } }],
    plugins: [{
      hooks: {
        onChunk(_x, chunk) {
          const none = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
          chunk.replace({ ...chunk.json!, usage: none });
        },
      },
    }],
  });
  const { usage } = await (await kernel.chat(ask("vendor/m"))).json();
  const { cost, usage: used } = await kernel.ended();
  assertEquals([usage.cost, usage.prompt_tokens], [cost! / 1e6, used!.input]);
});

Deno.test("Relay makes an event of its own of a report that came with the last words", async () => {
  const tokens = { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 };
  const choices = [{ index: 0, delta: {}, finish_reason: "stop" }];
  // What the vendor takes for it is the operator's business, and may be in another currency.
  const cost = { cost: 0.1, cost_details: { upstream_inference_cost: 0.1 } };
  const last = delta("a", { choices, usage: { ...tokens, ...cost } });
  const without = delta("a", { choices });
  const made = delta("a", { choices: [], usage: { ...tokens, cost: null } });
  assertEquals((await relayed([last, done], withUsage)).text, without + made + done);
  assertEquals((await relayed([last, done])).text, without + done);
});

Deno.test("Relay tells in a stream what is charged, whatever the vendor reports", async () => {
  const price = { currency: "RUB", input: 1_000, output: 10_000 };
  const reports = [
    { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
    { prompt_tokens: 20, completion_tokens: 0, total_tokens: 20 },
    { prompt_tokens: -1, completion_tokens: 2.5, total_tokens: "9" },
    { prompt_tokens: 1e15, completion_tokens: 1, total_tokens: 1e15 },
    {},
    { prompt_tokens: 20, completion_tokens: 3, total_tokens: 23 },
  ];
  for (const report of reports) {
    const usage = delta("", { choices: [], usage: report });
    for (const late of [[], [delta("more words")]]) {
      await using upstream = startUpstream(() =>
        streamed(delta("one two three"), stop, usage, ...late, done)
      );
      await using kernel = startKernel({
        providers: [{ name: "vendor", baseUrl: upstream.url, models: { m: { price } } }],
      });
      const text = await (await kernel.chat(ask("vendor/m", "hi", withUsage))).text();
      const told = text.split("\n\n").filter((frame) => frame.includes('"usage"'))
        .map((frame) => JSON.parse(frame.slice(6)).usage);
      const { cost, usage: used } = await kernel.ended();
      assertEquals(
        told.map(({ cost, prompt_tokens, completion_tokens }) => [
          cost,
          prompt_tokens,
          completion_tokens,
        ]),
        [[cost! / 1e6, used!.input, used!.output]],
        JSON.stringify(report),
      );
    }
  }
});

Deno.test("Relay ends an answer that is complete without a terminator", async () => {
  const { text, outcome } = await relayed([delta("a"), stop]);
  assertEquals(text, delta("a") + stop + done);
  assertEquals(outcome.state, "completed");
});

Deno.test("Relay ends at the terminator of a vendor that keeps the connection open", async () => {
  for (const parts of [[delta("a"), stop, done], [delta("a") + stop + done]]) {
    const script = new Script();
    await using upstream = startUpstream(() => script.response());
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url }],
      // A comment after the end would be one too many.
      keepAliveMs: 10,
    });
    await script.send(...parts);
    const response = await kernel.chat(ask("vendor/m", "hi", streaming));
    // On a busy machine comments come before it begins.
    const answer = (await response.text()).replace(/^(: .*\n\n)+/, "");
    assertEquals(answer, delta("a") + stop + done);
    assertEquals((await kernel.ended()).state, "completed");
    await upstream.seen[0]!.closed;
  }
});

Deno.test("Relay streams a whole answer to a client that asked for a stream", async () => {
  await using kernel = startKernel({ providers: [inProcess(() => wholeAnswer("Hi."))] });
  const response = await kernel.chat(ask("vendor/m", "hi", withUsage));
  const text = await response.text();
  assertStringIncludes(text, '"delta":{"role":"assistant","content":"Hi."}');
  assertStringIncludes(text, '"finish_reason":"stop"');
  assertStringIncludes(text, '"choices":[],"usage":{"prompt_tokens":10');
  assertEquals(text.endsWith(done), true);
});

Deno.test("Relay hands a whole answer on as the bytes it came in, but for the cost", async () => {
  const body = '{ "choices": [{"index":0,"message":{"content":"ключ"}}],\n  "own": 1.50 }';
  await using kernel = startKernel({
    providers: [inProcess(() => new Response(body, { headers: { "x-of": "vendor" } }))],
  });
  const response = await kernel.chat(ask("vendor/m"));
  const text = await response.text();
  assertEquals(text.slice(0, body.length - 1), body.slice(0, -1));
  const { usage: told } = JSON.parse(text);
  assertEquals([told.completion_tokens, told.cost], [1, null]);
  assertEquals(response.headers.get("content-type"), "application/json");
  assertEquals(response.headers.get("x-of"), null);
});

Deno.test("Relay shows a whole answer to plugins as one chunk", async () => {
  const hooks: Hooks = {
    onChunk(_x, chunk) {
      assertEquals(chunk.whole, true);
      chunk.replace({ choices: [], said: chunk.text });
    },
  };
  await using kernel = startKernel({
    plugins: [{ hooks }],
    providers: [inProcess(() => wholeAnswer("Hi."))],
  });
  const response = await kernel.chat(ask("vendor/m"));
  const { usage: told, ...rest } = await response.json();
  assertEquals(rest, { choices: [], said: "Hi." });
  assertEquals([told.completion_tokens, told.cost], [5, null]);
  assertEquals((await kernel.ended()).usage?.output, 5);
});

Deno.test("Relay refuses a whole answer that a plugin withholds", async () => {
  for (const usage of [{}, { usage: undefined }]) {
    await using kernel = startKernel({
      plugins: [{ hooks: { onChunk: () => false } }],
      providers: [inProcess(() => wholeAnswer("one two three", usage))],
    });
    const response = await kernel.chat(ask("vendor/m"));
    assertEquals([response.status, (await response.json()).error.code], [400, "content_filter"]);
    const { state, status, error, usage: used } = await kernel.ended();
    assertEquals([state, status, error?.code], ["failed", 400, "content_filter"]);
    // The provider was paid for it all the same.
    assertEquals(used?.output, "usage" in usage ? 3 : 5);
  }
});
