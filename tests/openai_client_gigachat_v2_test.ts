import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import OpenAI from "openai";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import type { FakeChatV2 } from "./support/fake_gigachat_v2_rules.ts";
import { clientOf } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { unfinished } from "./support/weather_turns.ts";

const model = "gigachat/GigaChat-2-Max";
const question = [{ role: "user" as const, content: "Какая погода в трёх городах?" }];
const weather = {
  type: "function" as const,
  function: {
    name: "weather/now",
    description: "Погода",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const v2 = { GIGACHAT_V2_MODELS: "GigaChat-2-Max" };
const cities = ["Москва", "Тверь", "Пермь"];

/** How often the model has called already. */
function turnsIn({ messages }: FakeChatV2): number {
  return messages.filter(({ content }) => content.some((part) => part.function_call)).length;
}

Deno.test("the openai client runs five turns of parallel calls on v2, streamed and not", async () => {
  await using fake = await startFakeGigachat();
  // Hosts differ in the role that they take: this one refuses the first that is tried.
  fake.v2.toolRole = "function";
  const states = cities.map(() => crypto.randomUUID());
  fake.v2.reply = (chat) => {
    const turn = turnsIn(chat);
    if (turn === 5) return { content: "Везде +5." };
    const { name } = chat.tools![0]!.functions!.specifications[0]!;
    return {
      content: turn === 0 ? "Смотрю." : "",
      calls: cities.map((city) => ({ name: String(name), arguments: { city, turn } })),
      stateId: states[turn % states.length]!,
      usage: { input: 100, cached: 40, output: 10 },
    };
  };
  await using router = await startRouter({ ...fake.env, ...v2 });
  const client = clientOf(router);
  for (const streamed of [false, true]) {
    const messages: OpenAI.ChatCompletionMessageParam[] = [...question];
    for (let turn = 0;; turn++) {
      const params = { model, messages, tools: [weather] };
      const { choices } = streamed
        ? await client.chat.completions.stream(params).finalChatCompletion()
        : await client.chat.completions.create(params);
      const { message, finish_reason: reason } = choices[0]!;
      if (turn === 5) {
        assertEquals([reason, message.content], ["stop", "Везде +5."]);
        break;
      }
      assertEquals(reason, "tool_calls");
      messages.push(message);
      const calls = message.tool_calls!;
      assertEquals(new Set(calls.map(({ id }) => id)).size, 3);
      const asked = calls.map((call) => {
        assert(call.type === "function");
        assertEquals(call.function.name, "weather/now");
        messages.push({ role: "tool", tool_call_id: call.id, content: `+${turn}°` });
        return JSON.parse(call.function.arguments);
      });
      assertEquals(asked, cities.map((city) => ({ city, turn })));
    }
    const sent = fake.chatsV2.at(-1)!.messages;
    assertEquals(sent.length, 1 + 5 * 4);
    assertEquals(
      sent.filter(({ role }) => role === "assistant").map((each) => each.tools_state_id),
      [0, 1, 2, 0, 1].map((place) => states[place]),
    );
    assertEquals(
      sent.slice(-3).map(({ content }) => content[0]!.function_result!.result),
      cities.map(() => '{"result":"+4°"}'),
    );
  }
  // Six requests each, and one more for the role.
  assertEquals(fake.chatsV2.length, 13);
  const [row] = await router.usage();
  // 650 roubles a million: all of the 100 tokens are billed, the 40 from the cache cost nothing.
  assertEquals([row!.input_tokens, row!.cached_tokens, row!.output_tokens, row!.cost], [
    140,
    40,
    10,
    71_500,
  ]);
});

Deno.test("the openai client gets a document of its schema from v2", async () => {
  await using fake = await startFakeGigachat();
  fake.v2.reply = ({ model_options: options }) => {
    assertEquals(options!.response_format, {
      type: "json_schema",
      strict: true,
      schema: {
        type: "object",
        properties: { t: { type: "integer" } },
        required: ["t"],
        additionalProperties: false,
      },
    });
    return { content: ['{"t":', "5}"] };
  };
  await using router = await startRouter({ ...fake.env, ...v2 });
  const client = clientOf(router);
  const params = {
    model,
    messages: question,
    response_format: {
      type: "json_schema" as const,
      json_schema: {
        name: "weather",
        strict: true,
        schema: {
          type: "object",
          properties: { t: { type: "integer" } },
          required: ["t"],
          additionalProperties: false,
        },
      },
    },
  };
  const { choices } = await client.chat.completions.parse(params);
  assertEquals(choices[0]!.message.parsed as unknown, { t: 5 });
  const streamed = await client.chat.completions.stream(params).finalChatCompletion();
  assertEquals(streamed.choices[0]!.message.content, '{"t":5}');
});

Deno.test("the openai client gets the sources of a web search", async () => {
  await using fake = await startFakeGigachat();
  fake.v2.reply = ({ tools }) => {
    assertEquals(tools as unknown, [{ web_search: {} }]);
    return {
      tools: ["web_search"],
      content: ["Вышла [sources=", "[1]]."],
      sources: { "1": { url: "https://example.com/", title: "Новости" } },
    };
  };
  await using router = await startRouter({ ...fake.env, ...v2 });
  const { choices } = await clientOf(router).chat.completions.create({
    model,
    messages: question,
    web_search_options: {},
  });
  const { content, annotations } = choices[0]!.message;
  const { start_index: start, end_index: end, url } = annotations![0]!.url_citation;
  assertEquals([content!.slice(start, end), url], ["[sources=[1]]", "https://example.com/"]);
});

Deno.test("the openai client that leaves a stream of v2 frees its place, and is recorded once", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  const { content, finish } = unfinished("один");
  fake.v2.reply = () => ({ content });
  await using router = await startRouter({ ...fake.env, ...v2, XROUTER_RETRIES: "0" });
  const client = clientOf(router);
  const stream = await client.chat.completions.create({ model, messages: question, stream: true });
  for await (const { choices } of stream) {
    if (choices[0]?.delta.content === "один") break;
  }
  assertEquals(await fake.requestsTo("/v2/chat/completions")[0]!.end, "aborted");
  finish();
  fake.v2.reply = () => ({ content: "снова" });
  const again = await client.chat.completions.create({ model, messages: question });
  assertEquals(again.choices[0]!.message.content, "снова");
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted", "completed"]);
});

Deno.test("the openai client is told what v2 cannot do", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, ...v2, XROUTER_RETRIES: "0" });
  const client = clientOf(router);
  const ask = (rest: object) =>
    client.chat.completions.create({ model, messages: question, ...rest });
  const refused = await assertRejects(
    () => ask({ web_search_options: { search_context_size: "low" } }),
    OpenAI.BadRequestError,
  );
  assertEquals(refused.param, "web_search_options.search_context_size");
  const unavailable = await assertRejects(
    () => ask({ tools: [{ type: "code_interpreter" }] }),
    OpenAI.BadRequestError,
  );
  assertStringIncludes(unavailable.message, "Tool code_interpreter is unavailable");
  const body = { status: 404, message: "Unknown tool image_generate" };
  fake.failNext("chat", { status: 404, body });
  const unknown = await assertRejects(
    () => ask({ tools: [{ type: "image_generate" }] }),
    OpenAI.BadRequestError,
  );
  assertStringIncludes(unknown.message, "Unknown tool image_generate");
});
