// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import {
  ask,
  askStream,
  bodyOf,
  connectTo,
  open,
  readAll,
  textOf,
} from "../support/fake_gigachat_call.ts";

const usage = { prompt_tokens: 17, completion_tokens: 3, precached_prompt_tokens: 2 };
const openaiUsage = {
  prompt_tokens: 19,
  completion_tokens: 3,
  total_tokens: 22,
  prompt_tokens_details: { cached_tokens: 2 },
};

Deno.test("a whole answer becomes OpenAI's", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: "Привет!", reasoning: "Поздороваюсь.", usage });
  const { id, ...answer } = await ask(connection);
  assertMatch(id!, /^chatcmpl-[0-9a-f]{32}$/);
  assertEquals(answer, {
    object: "chat.completion",
    created: 1_768_996_171,
    model: "GigaChat-2:2.0.28.2",
    choices: [{
      index: 0,
      message: { role: "assistant", content: "Привет!", reasoning_content: "Поздороваюсь." },
      finish_reason: "stop",
    }],
    usage: openaiUsage,
  });
  assertEquals((await ask(connection)).id === id, false);
});

Deno.test("a stream becomes OpenAI's, with its usage in a last event of its own", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: ["При", "вет!"], usage });
  const events = await askStream(connection);
  const { id } = events[0]!;
  assertMatch(id!, /^chatcmpl-[0-9a-f]{32}$/);
  const shared = {
    id: id!,
    object: "chat.completion.chunk",
    created: 1_768_996_171,
    model: "GigaChat-2:2.0.28.2",
  };
  const event = (delta: Record<string, string>, reason: string | null = null) => ({
    ...shared,
    choices: [{ index: 0, delta, finish_reason: reason }],
  });
  assertEquals(events, [
    event({ role: "assistant", content: "При" }),
    event({ content: "вет!" }),
    event({ content: "" }, "stop"),
    { ...shared, choices: [], usage: openaiUsage },
  ]);
});

Deno.test("a stream without usage ends without a usage event", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: "Привет!", usage: null });
  const events = await askStream(connection);
  assertEquals(events.some((event) => event.choices.length === 0), false);
  assertEquals("usage" in await ask(connection), false);
});

Deno.test("a stream survives every cut, CRLF and a missing [DONE]", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const text = "Съешь ещё этих мягких французских булок 🥐 да выпей чаю";
  fake.reply = () => ({ content: text, usage });
  for (const slice of [0, 1, 2, 3, 7, 1000]) {
    for (const newline of ["\n", "\r\n"] as const) {
      for (const done of [true, false]) {
        fake.habits = { slice, newline, done };
        const upstream = await open(connection, { stream: true });
        const events = await readAll(upstream);
        assertEquals(textOf(events), text);
        assertEquals(events.at(-1)!.usage, openaiUsage);
        assertEquals(events.at(-2)!.choices[0]!.finish_reason, "stop");
        assertEquals(upstream.done, done);
      }
    }
  }
});

Deno.test("an event that is no JSON ends the stream where words are lost with it, and only there", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: ["один ", "два"] });
  fake.habits.intruder = '{"choices":[{"ind';
  assertEquals(textOf(await askStream(connection)), "один два");
  for (const half of ['{"choices":[{"delta":{"content":"не ', '"content":"не "}}]}']) {
    fake.habits.intruder = half;
    for (const asking of [() => askStream(connection), () => ask(connection, { stop: "три" })]) {
      const error = await assertRejects(asking, RouterError, "no JSON");
      assertEquals(error.code, "upstream_unavailable");
    }
  }
});

Deno.test("an event that has a message in place of a delta says the same", () => {
  const decoder = new GigachatDecoder(bodyOf({}));
  const choices = [{
    index: 0,
    message: { role: "assistant", content: "Да" },
    finish_reason: "stop",
  }];
  const [event] = decoder.event(JSON.stringify({ choices }));
  assertEquals(event!.choices, [{
    index: 0,
    delta: { role: "assistant", content: "Да" },
    finish_reason: "stop",
  }]);
});

Deno.test("a stream that breaks off ends with an error", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const heard = Promise.withResolvers<void>();
  async function* words() {
    yield "один ";
    await heard.promise;
    yield "два ";
    yield "три";
  }
  fake.reply = () => ({ content: words() });
  fake.habits.breakAfter = 2;
  const upstream = await open(connection, { stream: true });
  heard.resolve();
  await assertRejects(() => readAll(upstream));
  assertEquals(await fake.requests.at(-1)!.end, "broken");
});

Deno.test("an error inside a stream is named by its status", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  for (
    const [intruder, code] of [
      ['{"status":500,"message":"Internal Server Error"}', "upstream_unavailable"],
      ['{"status":429,"message":"Too many requests"}', "upstream_busy"],
      ['{"surprise":1}', "upstream_unavailable"],
    ] as const
  ) {
    fake.habits.intruder = intruder;
    const error = await assertRejects(() => askStream(connection), RouterError);
    assertEquals(error.code, code);
  }
});

Deno.test("a streamed function call is one delta with its whole arguments", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ functionCall: { name: "w", arguments: { city: "Москва", n: 1 } } });
  const tools = [{ type: "function", function: { name: "w" } }];
  const choices = (await askStream(connection, { tools })).flatMap((event) => event.choices);
  assertEquals(choices.length, 1);
  const { delta, finish_reason: reason } = choices[0]!;
  const [call] = delta!.tool_calls!;
  assertEquals(reason, "tool_calls");
  assertEquals([delta!.role, delta!.content], ["assistant", null]);
  assertMatch(call!.id!, /^call_/);
  assertEquals({ ...call, id: "" }, {
    index: 0,
    id: "",
    type: "function",
    function: { name: "w", arguments: '{"city":"Москва","n":1}' },
  });
});

Deno.test("a whole function call keeps the text beside it and has no index", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const tools = [{ type: "function", function: { name: "w" } }];
  fake.reply = () => ({ content: "Смотрю.", functionCall: { name: "w", arguments: "{}" } });
  const { message, finish_reason: reason } = (await ask(connection, { tools })).choices[0]!;
  assertEquals(reason, "tool_calls");
  assertEquals(message!.content, "Смотрю.");
  const { id, ...call } = message!.tool_calls![0]!;
  assertMatch(id!, /^call_[0-9a-f]{24}$/);
  assertEquals(call, { type: "function", function: { name: "w", arguments: "{}" } });
});

Deno.test("the progress of built-in functions is left out", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ progress: ["осталось 9 с", "осталось 3 с"], content: "Готово" });
  const events = await askStream(connection);
  assertEquals(textOf(events), "Готово");
  assertEquals(events[0]!.choices[0]!.delta!.role, "assistant");
});

Deno.test("finish reasons become OpenAI's", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  for (const [finish, reason] of [["length", "length"], ["blacklist", "content_filter"]] as const) {
    fake.reply = () => ({ content: "Не люблю менять тему", finish });
    assertEquals((await ask(connection)).choices[0]!.finish_reason, reason);
    const events = await askStream(connection);
    assertEquals(events.at(-2)!.choices[0]!.finish_reason, reason);
  }
});

Deno.test("an answer that GigaChat itself calls broken is an error, whole and in a stream", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ finish: "error" });
  for (const stream of [false, true]) {
    const error = await assertRejects(() => open(connection, { stream }), RouterError);
    assertEquals(error.code, "upstream_unavailable");
  }
});

Deno.test("the decoder refuses what is no answer", () => {
  for (const json of [{}, null, 1, [], { choices: {} }, { choices: [null] }]) {
    const decoder = new GigachatDecoder(bodyOf({}));
    const error = assertThrows(() => decoder.whole(json), RouterError);
    assertEquals(error.code, "upstream_unavailable");
  }
});

Deno.test("the first event of a stream names the role, even if GigaChat does not", () => {
  const decoder = new GigachatDecoder(bodyOf({}));
  const deltas = ["a", "b"].map((content) => {
    const [event] = decoder.event(JSON.stringify({ choices: [{ index: 0, delta: { content } }] }));
    return event!.choices[0]!.delta;
  });
  assertEquals(deltas, [{ role: "assistant", content: "a" }, { content: "b" }]);
});

Deno.test("usage that comes before the end waits for it, and usage after it is told", () => {
  const event = (reason: string | undefined, counted: boolean) =>
    JSON.stringify({
      choices: [{ index: 0, delta: { content: "a" }, finish_reason: reason }],
      ...(counted && { usage }),
    });
  const early = new GigachatDecoder(bodyOf({}));
  assertEquals(early.event(event(undefined, true)).length, 1);
  assertEquals(early.event(event("stop", false)).at(-1)!.usage, openaiUsage);
  const late = new GigachatDecoder(bodyOf({}));
  assertEquals(late.event(event("stop", false)).length, 1);
  assertEquals(late.event(JSON.stringify({ choices: [], usage })).at(-1)!.usage, openaiUsage);
});

Deno.test("cached tokens may outnumber the rest of the prompt", () => {
  const counts = { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 };
  const answer = { choices: [], usage: { ...counts, precached_prompt_tokens: 37 } };
  assertEquals(new GigachatDecoder(bodyOf({})).whole(answer).usage, {
    prompt_tokens: 38,
    completion_tokens: 4,
    total_tokens: 42,
    prompt_tokens_details: { cached_tokens: 37 },
  });
});
