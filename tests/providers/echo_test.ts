import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import { Transport } from "../../core/transport.ts";
import echo from "../../providers/echo.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { seededRandom } from "../support/random.ts";
import { randomJson } from "../support/random_json.ts";

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

Deno.test("echo calls a tool that it is told to call, in every model that answers", async () => {
  const tools = [{ type: "function", function: { name: "first" } }, {
    type: "function",
    function: { name: "second" },
  }];
  const second = { type: "function", function: { name: "second" } };
  for (const model of ["echo", "echo-long", "echo-cut"]) {
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

Deno.test("echo needs nothing to be set, and lists its models", async () => {
  const { transport } = Transport.connect(echo, { env: {}, file: undefined });
  assertEquals(transport!.missing, undefined);
  assertEquals(await transport!.listModels(AbortSignal.timeout(1000)), Object.keys(echo.models!));
  transport!.close();
});
