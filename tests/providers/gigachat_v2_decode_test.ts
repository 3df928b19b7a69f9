// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import type { ChatBody, ChatReply } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import { Upstream } from "../../core/upstream.ts";
import { stateOf } from "../../providers/gigachat/call_id.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import {
  ask,
  askStream,
  bodyOf,
  connectTo,
  open,
  type Question,
  readAll,
  textOf,
} from "../support/fake_gigachat_call.ts";
import { inParts } from "../support/kernel.ts";

const tools = [{ type: "function", function: { name: "weather" } }];
const v2 = { GIGACHAT_V2_MODELS: "*" };

function fixture(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(`../fixtures/gigachat/${name}`, import.meta.url));
}

function decoderOf(question: Question = {}, settings: Record<string, unknown> = {}) {
  const call = callOf({ settings: gigachatSettings.parse({ v2Models: ["*"], ...settings }) });
  return gigachat.decoder!(bodyOf(question) as ChatBody, call as never);
}

/** What becomes of a recorded stream that arrives in these parts. */
async function decode(
  parts: Uint8Array<ArrayBuffer>[],
  question?: Question,
  settings?: Record<string, unknown>,
): Promise<{ events: ChatReply[]; done: boolean }> {
  const upstream = Upstream.stream(inParts(parts), {
    decoder: decoderOf(question, settings),
    signal: new AbortController().signal,
    redact: (text) => text,
  });
  const events = await readAll(upstream);
  return { events, done: upstream.done };
}

/** Events without what differs from answer to answer: ids of answers and of calls. */
function comparable(events: readonly ChatReply[]): unknown {
  const text = JSON.stringify(events.map(({ id: _, ...rest }) => rest));
  return JSON.parse(text.replaceAll(/"id":"call_[^"]*"/g, '"id":"call"'));
}

Deno.test("v2: a recorded text becomes OpenAI's stream, complete without [DONE]", async () => {
  const { events, done } = await decode([fixture("v2_text.sse")]);
  assertEquals(done, true);
  assertMatch(events[0]!.id!, /^chatcmpl-[0-9a-f]{32}$/);
  const shared = {
    object: "chat.completion.chunk",
    model: "GigaChat-3-Ultra:32.3.18.5",
    created: 1_780_321_864,
  };
  const choice = (delta: object, finish_reason: string | null = null) => ({
    ...shared,
    choices: [{ index: 0, delta, finish_reason }],
  });
  assertEquals(comparable(events), [
    choice({ role: "assistant", content: "1, 2, 3" }),
    choice({}, "stop"),
    {
      ...shared,
      choices: [],
      usage: {
        prompt_tokens: 19,
        completion_tokens: 8,
        total_tokens: 27,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    },
  ]);
});

Deno.test("v2: recorded calls come with indexes, ids of their own, and the state in each id", async () => {
  const { events } = await decode([fixture("v2_calls.sse")], { tools });
  const deltas = events.flatMap(({ choices }) => choices).map(({ delta }) => delta!);
  assertEquals(deltas[0], { role: "assistant", reasoning_content: "Нужны два города." });
  assertEquals(textOf(events), "Смотрю погоду ☀️");
  const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
  assertEquals(calls.map(({ index, function: asked }) => [index, asked]), [
    [0, { name: "weather", arguments: '{"city":"Москва"}' }],
    [1, { name: "weather", arguments: '{"city":"Тверь"}' }],
  ]);
  assertNotEquals(calls[0]!.id, calls[1]!.id);
  for (const { id } of calls) assertEquals(stateOf(id!), "01a0a669-8b36-7cb0-acc2-384557f8f455");
  assertEquals(events.at(-2)!.choices[0]!.finish_reason, "tool_calls");
});

Deno.test("v2: a client that takes one call gets the first one", async () => {
  const older = { functions: [{ name: "weather", parameters: {} }] };
  for (const question of [{ tools, parallel_tool_calls: false }, older]) {
    const { events } = await decode([fixture("v2_calls.sse")], question);
    const text = JSON.stringify(events);
    assertEquals([text.includes("Москва"), text.includes("Тверь")], [true, false]);
  }
});

Deno.test("v2: a web search's marks stay, and its sources become annotations", async () => {
  const { events } = await decode([fixture("v2_web_search.sse")]);
  const text = "Вышла новая версия [sources=[1, 2]].";
  assertEquals(textOf(events), text);
  assertEquals(events[0]!.created, 1_780_321_885);
  const place = { start_index: 19, end_index: 35 };
  assertEquals(text.slice(place.start_index, place.end_index), "[sources=[1, 2]]");
  const annotation = (url: string, title: string) => ({
    type: "url_citation",
    url_citation: { url, title, ...place },
  });
  assertEquals(events.at(-2)!.choices[0]!.delta!.annotations, [
    annotation("https://example.com/news", "Новости"),
    annotation("https://example.com/more", "https://example.com/more"),
  ]);
  // The tool's progress is no part of the answer.
  assertEquals(JSON.stringify(events).includes("tool_execution"), false);
});

Deno.test("v2: events without names, texts for contents and [DONE] are taken too", async () => {
  const { events, done } = await decode([fixture("v2_data_only.sse")]);
  assertEquals([textOf(events), done], ["первая вторая", true]);
  assertEquals(events.at(-1)!.choices[0]!.finish_reason, "length");
});

Deno.test("v2: recorded streams survive every cut and CRLF", async () => {
  for (const name of ["v2_text.sse", "v2_calls.sse", "v2_web_search.sse", "v2_data_only.sse"]) {
    const bytes = fixture(name);
    const whole = comparable((await decode([bytes], { tools })).events);
    const crlf = new TextEncoder().encode(new TextDecoder().decode(bytes).replaceAll("\n", "\r\n"));
    for (const each of [bytes, crlf]) {
      for (let cut = 0; cut <= each.length; cut++) {
        const { events } = await decode([each.slice(0, cut), each.slice(cut)], { tools });
        assertEquals(comparable(events), whole, `${name} cut at ${cut}`);
      }
      const singles = Array.from(each, (byte) => new Uint8Array([byte]));
      assertEquals(comparable((await decode(singles, { tools })).events), whole);
    }
  }
});

Deno.test("v2: a recorded whole answer becomes OpenAI's", () => {
  const json = JSON.parse(new TextDecoder().decode(fixture("v2_call.json")));
  const { choices, usage, created } = decoderOf({ tools }).whole(json);
  const { message, finish_reason } = choices[0]!;
  assertEquals([created, finish_reason, message!.content], [1_780_321_868, "tool_calls", null]);
  assertEquals(stateOf(message!.tool_calls![0]!.id!), "019e8373-dc9a-7883-af60-ebb20b79e1e1");
  assertEquals(message!.tool_calls![0]!.function, {
    name: "get_order_status",
    arguments: '{"order_id":"A-1024"}',
  });
  assertEquals([usage!.prompt_tokens, usage!.total_tokens], [88, 113]);
});

Deno.test("v2: whole and streamed, an answer says the same", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, v2);
  fake.v2.reply = () => ({
    reasoning: "Подумаю.",
    content: ["Раз [sources=[1]]", ", два"],
    sources: { "1": { url: "https://example.com", title: "Пример" } },
    calls: [{ name: "weather", arguments: { n: 1 } }, { name: "weather", arguments: { n: 2 } }],
    stateId: crypto.randomUUID(),
    tools: ["web_search"],
  });
  const whole = (await ask(connection, { tools })).choices[0]!;
  const events = await askStream(connection, { tools });
  const deltas = events.flatMap(({ choices }) => choices).map(({ delta }) => delta!);
  const { content, reasoning_content, tool_calls, annotations } = whole.message!;
  assertEquals(content, textOf(events));
  assertEquals(deltas.map((delta) => delta.reasoning_content ?? "").join(""), reasoning_content);
  assertEquals(
    deltas.flatMap((delta) => delta.tool_calls ?? []).map((call) => call.function),
    tool_calls!.map((call) => call.function),
  );
  assertEquals(deltas.find((delta) => delta.annotations)?.annotations, annotations);
  assertEquals(events.at(-2)!.choices[0]!.finish_reason, whole.finish_reason);
});

Deno.test("v2: cached tokens stand beside the prompt's, or within them where that is set", async () => {
  await using fake = await startFakeGigachat();
  fake.v2.reply = () => ({ content: "да", usage: { input: 36, cached: 3, output: 7 } });
  for (
    const [env, prompt] of [[{}, 39], [{ GIGACHAT_V2_CACHED_TOKENS: "within" }, 36]] as const
  ) {
    using connection = connectTo(fake, { ...v2, ...env });
    const usage = {
      prompt_tokens: prompt,
      completion_tokens: 7,
      total_tokens: prompt + 7,
      prompt_tokens_details: { cached_tokens: 3 },
    };
    assertEquals((await ask(connection)).usage, usage);
    assertEquals((await askStream(connection)).at(-1)!.usage, usage);
  }
});

Deno.test("v2: each reason to end has OpenAI's name", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, v2);
  for (
    const [finish, reason] of [
      ["stop", "stop"],
      ["length", "length"],
      ["blacklist", "content_filter"],
      ["request_blacklist", "content_filter"],
      ["request_whitelist", "content_filter"],
      ["request_filter", "content_filter"],
      ["response_blacklist", "content_filter"],
    ] as const
  ) {
    fake.v2.reply = () => ({ content: "да", finish });
    assertEquals((await ask(connection)).choices[0]!.finish_reason, reason);
    const events = await askStream(connection);
    assertEquals(events.at(-2)!.choices[0]!.finish_reason, reason);
  }
  for (const finish of ["error", "function_call_error"]) {
    fake.v2.reply = () => ({ content: "да", finish });
    for (const answer of [() => ask(connection), () => askStream(connection)]) {
      const error = await assertRejects(answer, RouterError);
      assertEquals(error.code, "upstream_unavailable");
    }
  }
});

Deno.test("v2: an error inside a stream is named, what is unknown is skipped, a break and lost words are one", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, v2);
  fake.v2.reply = () => ({ content: ["один ", "два"] });
  fake.habits.intruder = '{"status":429,"message":"Too many requests"}';
  const error = await assertRejects(() => askStream(connection), RouterError);
  assertEquals(error.code, "upstream_busy");
  for (
    const intruder of [
      'event: response.provider_metadata\ndata: {"x":1}',
      'event: response.message.delta\ndata: {"messages":[',
      'event: response.message.delta\ndata: {"messages":[{"role":"assistant","content":null}]}',
    ]
  ) {
    fake.habits.intruder = intruder;
    assertEquals(textOf(await askStream(connection)), "один два");
  }
  for (const half of ['{"messages":[{"content":[{"te', '"text":" раз"}]}]}']) {
    fake.habits.intruder = `event: response.message.delta\ndata: ${half}`;
    const lost = await assertRejects(() => askStream(connection), RouterError, "no JSON");
    assertEquals(lost.code, "upstream_unavailable");
  }
  delete fake.habits.intruder;
  fake.habits.breakAfter = 1;
  await assertRejects(async () => await readAll(await open(connection, { stream: true })));
});
