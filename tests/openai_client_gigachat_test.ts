import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { clientOf } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { unfinished } from "./support/weather_turns.ts";

const model = "gigachat/GigaChat-2";
const question = [{ role: "user" as const, content: "Какая погода в Москве?" }];
const weather = {
  type: "function" as const,
  function: {
    name: "weather.now",
    description: "Погода",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

Deno.test("the openai client talks to GigaChat through the router, and is charged in roubles", async () => {
  await using fake = await startFakeGigachat();
  const usage = { prompt_tokens: 17, completion_tokens: 3, precached_prompt_tokens: 2 };
  fake.reply = () => ({ content: "Ясно, +5.", usage });
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const whole = await client.chat.completions.create({ model, messages: question });
  assertEquals(whole.choices[0]!.message.content, "Ясно, +5.");
  assertEquals([whole.usage!.prompt_tokens, whole.usage!.total_tokens], [19, 22]);
  assertEquals(whole.usage!.prompt_tokens_details!.cached_tokens, 2);
  const stream = await client.chat.completions.create({
    model,
    messages: question,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let reported: OpenAI.CompletionUsage | null | undefined;
  for await (const { choices, usage } of stream) {
    text += choices[0]?.delta.content ?? "";
    reported = usage ?? reported;
  }
  assertEquals([text, reported?.prompt_tokens], ["Ясно, +5.", 19]);
  // 65 roubles a million, cached tokens free: 17 + 3 tokens are 1,300 millionths.
  for (const row of await router.usage()) {
    assertEquals([row.provider, row.input_tokens, row.output_tokens, row.cached_tokens], [
      "gigachat",
      19,
      3,
      2,
    ]);
    assertEquals([row.estimated, row.cost, row.currency, row.price_input], [
      0,
      1300,
      "RUB",
      65_000_000,
    ]);
  }
  assertEquals(fake.tokensIssued, 1);
});

Deno.test("the openai client runs a tool loop on GigaChat, streamed and not", async () => {
  await using fake = await startFakeGigachat();
  // The name goes out as GigaChat takes it, and comes back as the client wrote it.
  fake.reply = ({ messages, functions }) =>
    messages.at(-1)!.role === "function"
      ? { content: `Сказано: ${messages.at(-1)!.content}` }
      : { functionCall: { name: functions![0]!.name, arguments: { city: "Москва" } } };
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  for (const streamed of [false, true]) {
    const params = { model, messages: question, tools: [weather] };
    const called = streamed
      ? await client.chat.completions.stream(params).finalChatCompletion()
      : await client.chat.completions.create(params);
    const { message, finish_reason } = called.choices[0]!;
    assertEquals(finish_reason, "tool_calls");
    const call = message.tool_calls![0]!;
    assert(call.type === "function");
    assertEquals([call.function.name, call.function.arguments], [
      "weather.now",
      '{"city":"Москва"}',
    ]);
    const told = await client.chat.completions.create({
      ...params,
      messages: [...question, message, {
        role: "tool",
        tool_call_id: call.id,
        content: "+5, ясно",
      }],
    });
    assertEquals(told.choices[0]!.message.content, 'Сказано: {"result":"+5, ясно"}');
  }
});

Deno.test("the openai client gets documents, and answers cut at stop", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const schema = { type: "object", properties: { t: { type: "integer" } }, required: ["t"] };
  const format = { type: "json_schema" as const, json_schema: { name: "t", schema, strict: true } };
  fake.reply = () => ({ content: '```json\n{"t":5}\n```' });
  for (const stream of [false, true]) {
    const asked = { model, messages: question, response_format: format };
    const { choices } = stream
      ? await client.chat.completions.stream(asked).finalChatCompletion()
      : await client.chat.completions.parse(asked);
    assertEquals(choices[0]!.message.content, '{"t":5}');
  }
  fake.reply = () => ({ content: ["Раз, д", "ва, три"] });
  const asked = { model, messages: question, stop: ["два"] };
  const { choices } = await client.chat.completions.stream(asked).finalChatCompletion();
  assertEquals([choices[0]!.message.content, choices[0]!.finish_reason], ["Раз, ", "stop"]);
});

Deno.test("the openai client that aborts in mid-stream frees its place, and is recorded once", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  const { content, finish } = unfinished("один");
  fake.reply = () => ({ content });
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const stream = await client.chat.completions.create({ model, messages: question, stream: true });
  for await (const { choices } of stream) {
    if (choices[0]?.delta.content === "один") stream.controller.abort();
  }
  assertEquals(await fake.requestsTo("/v1/chat/completions")[0]!.end, "aborted");
  finish();
  fake.reply = () => ({ content: "снова" });
  const again = await client.chat.completions.create({ model, messages: question });
  assertEquals(again.choices[0]!.message.content, "снова");
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted", "completed"]);
});

Deno.test("the openai client lists GigaChat's models, and retrieves each", async () => {
  await using fake = await startFakeGigachat();
  fake.models = ["GigaChat-2", "GigaChat-7"];
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  const own = ids.filter((id) => id.startsWith("gigachat/"));
  for (const id of ["GigaChat-2", "GigaChat-7", "Embeddings"]) {
    assert(own.includes(`gigachat/${id}`));
  }
  for (const id of own) assertEquals((await client.models.retrieve(id)).id, id);
});

Deno.test("a stream of GigaChat's that breaks off is never finished to the client", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "0" });
  fake.reply = () => ({ content: ["Раз, ", "два, ", "три"] });
  const habits = { ...fake.habits };
  for (
    const broken of [
      { breakAfter: 2 },
      { done: false, intruder: '{"status":500,"message":"Internal Server Error"}' },
    ]
  ) {
    fake.habits = { ...habits, ...broken };
    const response = await router.chat({ model, messages: question, stream: true });
    const text = await response.text();
    assert(text.includes('"error"') && !text.includes("[DONE]"), text);
    assert(!text.includes('"finish_reason":"stop"'), text);
  }
});

Deno.test("GigaChat's faults reach the openai client as the errors they are", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "0" });
  const client = clientOf(router);
  const ask = (rest: object = {}) =>
    client.chat.completions.create({ model, messages: question, ...rest });
  fake.failNext("chat", { status: 429, headers: { "retry-after": "9" } });
  assertInstanceOf(await assertRejects(() => ask()), OpenAI.RateLimitError);
  fake.failNext("chat", { status: 402, body: '{"status":402,"message":"Payment Required"}' });
  const unpaid = await assertRejects(() => ask(), OpenAI.RateLimitError);
  assertEquals([unpaid.code, unpaid.type], ["insufficient_quota", "insufficient_quota"]);
  const unknown = await assertRejects(() => ask({ model: "gigachat/Nope" }), OpenAI.NotFoundError);
  assertEquals([unknown.code, unknown.param], ["model_not_found", "model"]);
  const refused = await assertRejects(() => ask({ seed: 1 }), OpenAI.BadRequestError);
  assertEquals([refused.status, refused.param], [400, "seed"]);
  fake.expireTokens();
  assertEquals((await ask()).choices.length, 1);
  assertEquals(fake.tokensIssued, 2);
});
