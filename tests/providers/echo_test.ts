import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import { Transport } from "../../core/transport.ts";
import echo from "../../providers/echo.ts";
import { dropIn } from "../support/drop_in.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { seededRandom } from "../support/random.ts";
import { randomJson } from "../support/random_json.ts";
import { ask, startRouter } from "../support/router.ts";

/** Asks echo as the transport does. */
async function askEcho(body: object, signal = new AbortController().signal): Promise<Response> {
  const text = { model: "echo", messages: [{ role: "user", content: "one two three" }], ...body };
  const request = new Request("http://echo.invalid/v1/chat/completions", {
    method: "POST",
    body: JSON.stringify(text),
    signal,
  });
  return await echo.fetch!(request, {});
}

async function reply(body: object): Promise<ChatReply> {
  return await (await askEcho(body)).json();
}

const said = (content: unknown) => ({ messages: [{ role: "user", content }] });

Deno.test("echo says any text back as it was, whole and word by word, with the same usage", async () => {
  const random = seededRandom();
  const texts = Array.from({ length: 100 }, () => randomJson(random));
  for (const text of ["one two three", " \n a\t\tb  ", "   ", "你好", "👩‍👩‍👧", ...texts]) {
    const whole = await reply(said(text));
    assertEquals(whole.choices[0]!.message!.content, text);
    assertEquals(whole.choices[0]!.finish_reason, "stop");
    const streaming = { stream: true, "stream_options": { include_usage: true } };
    const stream = await readWholeStream(await askEcho({ ...said(text), ...streaming }));
    assertEquals([stream.text, stream.done], [text, true]);
    assertEquals(stream.events.at(-1)!.usage, whole.usage);
  }
});

Deno.test("echo takes what is no text for what it is called", async () => {
  const parts = [{ type: "text", text: "Look:" }, { type: "image_url", image_url: { url: "x" } }];
  for (
    const [content, expected] of [
      [parts, "Look: [image_url]"],
      [[], "(nothing)"],
      [null, "(nothing)"],
      ["", "(nothing)"],
    ]
  ) assertEquals((await reply(said(content))).choices[0]!.message!.content, expected);
});

Deno.test("echo stops at max_tokens, and says so", async () => {
  for (const limit of [{ max_tokens: 2 }, { max_completion_tokens: 2 }]) {
    const { choices: [choice], usage } = await reply(limit);
    assertEquals([choice!.message!.content, choice!.finish_reason], ["one two", "length"]);
    assertEquals(usage!.completion_tokens, 2);
    const stream = await readWholeStream(await askEcho({ ...limit, stream: true }));
    assertEquals(stream.text, "one two");
    assertEquals(stream.events.at(-1)!.choices[0]!.finish_reason, "length");
  }
});

Deno.test("echo calls a tool that it is told to call, in every model that answers whole", async () => {
  const tools = [{ type: "function", function: { name: "first" } }, {
    type: "function",
    function: { name: "second" },
  }];
  const second = { type: "function", function: { name: "second" } };
  for (const model of ["echo", "echo-long"]) {
    for (const [choice, name] of [["required", "first"], [second, "second"]] as const) {
      const whole = await reply({ model, tools, tool_choice: choice });
      const { message, finish_reason: finish } = whole.choices[0]!;
      assertEquals([finish, message!.content], ["tool_calls", null]);
      assertEquals(message!.tool_calls![0]!.function, {
        name,
        arguments: '{"text":"one two three"}',
      });
    }
  }
  for (const choice of ["auto", "none", undefined, null]) {
    const { choices } = await reply({ tools, tool_choice: choice });
    assertEquals(choices[0]!.message!.content, "one two three");
  }
});

Deno.test("echo-long says a thousand words, echo-cut half and no end", async () => {
  const long = await readWholeStream(await askEcho({ model: "echo-long", stream: true }));
  assertEquals(long.text.match(/one|two|three/g)!.length, 1000);
  assertEquals(long.done, true);
  const cut = await readWholeStream(
    await askEcho({ ...said("a b c d"), model: "echo-cut", stream: true }),
  );
  assertEquals([cut.text, cut.done], ["a b", false]);
  assert(cut.events.every(({ choices }) => choices[0]!.finish_reason === null));
});

Deno.test("echo-cut breaks a whole answer off, too", async () => {
  await assertRejects(() => reply({ model: "echo-cut" }), SyntaxError);
  await using router = await startRouter();
  const response = await router.chat(ask("echo-cut"));
  assertEquals([response.status, (await response.json()).error.code], [
    502,
    "upstream_unavailable",
  ]);
});

Deno.test("echo gives as many alternatives as are asked for, whole and streamed", async () => {
  const { choices, usage } = await reply({ n: 3 });
  assertEquals(choices.map(({ index, message }) => [index, message!.content]), [
    [0, "one two three"],
    [1, "one two three"],
    [2, "one two three"],
  ]);
  assertEquals(usage!.completion_tokens, 9);
  const streaming = { n: 3, stream: true, "stream_options": { include_usage: true } };
  const { events } = await readWholeStream(await askEcho(streaming));
  const texts = ["", "", ""];
  const ends: unknown[] = [];
  for (const { index, delta, finish_reason: end } of events.flatMap((event) => event.choices)) {
    texts[index] += delta!.content ?? "";
    ends[index] = end;
  }
  assertEquals([texts, ends], [Array(3).fill("one two three"), Array(3).fill("stop")]);
  assertEquals(events.at(-1)!.usage, usage);
});

Deno.test("echo says nothing from the first word on at which it is to stop", async () => {
  const cases: [string | string[] | null, string][] = [
    ["two", "one "],
    [["three", "o t"], "one tw"],
    [["", "four"], "one two three"],
    [null, "one two three"],
    ["one", ""],
  ];
  for (const [stop, text] of cases) {
    const whole = (await reply({ stop })).choices[0]!;
    assertEquals([whole.message!.content, whole.finish_reason], [text, "stop"]);
    assertEquals((await readWholeStream(await askEcho({ stop, stream: true }))).text, text);
  }
  const long = await reply({ model: "echo-long", stop: "threeone" });
  assertEquals(long.choices[0]!.message!.content, "one two three".slice(0, -"three".length));
});

Deno.test("echo says the beginning of a long text, and that it is cut", async () => {
  const text = "word ".repeat(1_000_000);
  const { choices: [choice], usage } = await reply(said(text));
  assertEquals([choice!.message!.content, choice!.finish_reason], [
    text.slice(0, 16_384),
    "length",
  ]);
  assert(usage!.prompt_tokens >= 1_000_000);
  const tools = [{ type: "function", function: { name: "first" } }];
  const call = await reply({ ...said(text), tools, tool_choice: "required" });
  const { arguments: json } = call.choices[0]!.message!.tool_calls![0]!.function!;
  assertEquals(JSON.parse(json!).text, text.slice(0, 16_384));
});

Deno.test("echo has no other models than it lists, and no embeddings", async () => {
  await using router = await startRouter();
  const refusal = async (response: Response) => {
    const { error: { code, param, message } } = await response.json();
    return [response.status, code, param, message];
  };
  const models = Object.keys(echo.models!).join(", ");
  assertEquals(await refusal(await router.chat(ask("echo/typo"))), [
    404,
    "no_route",
    "model",
    `Echo has no model "typo". It has ${models}`,
  ]);
  for (const [param, value] of [["n", 129], ["stop", Array(5).fill("x")]] as const) {
    const refused = await refusal(await router.chat(ask("echo", "hi", { [param]: value })));
    assertEquals(refused.slice(0, 3), [400, "invalid_request", param]);
  }
  for (let i = 0; i < 10; i++) {
    const response = await fetch(`${router.url}/v1/embeddings`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.secret}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "echo", input: "x" }),
    });
    const [status, code, param, message] = await refusal(response);
    assertEquals([status, code, param], [400, "invalid_request", "model"]);
    assertStringIncludes(message, "Name a model that does");
  }
  // Nobody else is kept from it by that.
  const chat = await router.chat(ask("echo"));
  assertEquals(chat.status, 200);
  await chat.body?.cancel();
});

Deno.test("echo can be copied to a folder outside", async () => {
  const source = await Deno.readTextFile(new URL("../../providers/echo.ts", import.meta.url));
  const copy = source.replace('name: "echo"', 'name: "parrot"').replaceAll('"echo', '"parrot');
  await using folder = await dropIn({ "parrot.ts": copy });
  await using router = await startRouter({ XROUTER_PROVIDERS_DIR: folder.path });
  const answer = await (await router.chat(ask("parrot", "one two"))).json();
  assertEquals(answer.choices[0].message.content, "one two");
});

Deno.test("echo-fail and echo-busy refuse", async () => {
  const fail = await askEcho({ model: "echo-fail" });
  assertEquals([fail.status, (await fail.json()).error.code], [503, null]);
  const busy = await askEcho({ model: "echo-busy", stream: true });
  assertEquals([busy.status, busy.headers.get("retry-after")], [429, "1"]);
  await busy.body?.cancel();
});

Deno.test("echo-slow ends at once when its signal fires, before and within its answer", async () => {
  for (const stream of [true, false]) {
    const controller = new AbortController();
    const asked = askEcho({ model: "echo-slow", stream }, controller.signal);
    if (!stream) {
      controller.abort(new Error("gone"));
      await assertRejects(() => asked, Error, "gone");
      continue;
    }
    const reader = (await asked).body!.getReader();
    await reader.read();
    const next = reader.read();
    controller.abort(new Error("gone"));
    await assertRejects(() => next, Error, "gone");
  }
});

Deno.test("echo says nothing more once its client has gone", async () => {
  await using router = await startRouter();
  const words = 20;
  const response = await router.chat(ask("echo-slow", "word ".repeat(words), { stream: true }));
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel();
  const [row] = await router.usage();
  assertEquals(row!.state, "aborted");
  assertLess(Number(row!.output_tokens), words);
});

Deno.test("echo needs nothing to be set, and lists its models", async () => {
  const { transport } = Transport.connect(echo, { env: {}, file: undefined });
  assertEquals(transport!.missing, undefined);
  assertEquals(await transport!.listModels(AbortSignal.timeout(1000)), Object.keys(echo.models!));
  transport!.close();
});

Deno.test("echo says no more than it may, however long its words and however many alternatives", async () => {
  await using router = await startRouter();
  for (const model of ["echo", "echo-long"]) {
    const content = " ".repeat(16_383) + "a b";
    const response = await router.chat({ model, n: 128, messages: [{ role: "user", content }] });
    const { choices } = await response.json();
    assertEquals([response.status, choices.length], [200, 128]);
    assertEquals([choices[0].message.content.length, choices[0].finish_reason], [16_384, "length"]);
  }
});
