/** LangChain.js talks to GigaChat through the router with its classes for OpenAI. */
import {
  AIMessage,
  type BaseMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
  type UsageMetadata,
} from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, type ChatOpenAIFields, OpenAIEmbeddings } from "@langchain/openai";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { vectorOf } from "./support/fake_gigachat_embeddings.ts";
import { dataUrl, png } from "./support/files.ts";
import { startRouter, type TestRouter } from "./support/router.ts";
import {
  callOneByOne,
  callTogether,
  cities,
  forecast,
  unfinished,
} from "./support/weather_turns.ts";

const v2 = { GIGACHAT_V2_MODELS: "GigaChat-2-Max" };
const prompt = "Какая погода?";

function modelOf({ url, secret }: TestRouter, fields: ChatOpenAIFields = {}): ChatOpenAI {
  return new ChatOpenAI({
    model: "gigachat/GigaChat-2-Max",
    apiKey: secret,
    configuration: { baseURL: `${url}/v1` },
    maxRetries: 0,
    ...fields,
  });
}

/** Reads a stream. @returns Its chunks put together. */
async function joined<Chunk extends { concat(next: Chunk): Chunk }>(
  stream: AsyncIterable<Chunk>,
): Promise<Chunk> {
  const chunks = await Array.fromAsync(stream);
  return chunks.reduce((whole, chunk) => whole.concat(chunk));
}

const weather = tool(({ city }) => `${city}: +5`, {
  name: "weather",
  description: "Погода",
  schema: z.object({ city: z.string().describe("Город"), unit: z.enum(["C", "F"]).optional() }),
});

Deno.test("ChatOpenAI of LangChain gets texts, whole and streamed, and their usage", async () => {
  await using fake = await startFakeGigachat();
  const usage = { prompt_tokens: 17, completion_tokens: 3, precached_prompt_tokens: 2 };
  fake.reply = () => ({ content: ["Ясно, ", "+5."], usage });
  await using router = await startRouter(fake.env);
  const model = modelOf(router, { temperature: 0.5, maxTokens: 99 });
  const asked = [new SystemMessage("Кратко"), new HumanMessage(prompt)];
  for (const message of [await model.invoke(asked), await joined(await model.stream(asked))]) {
    assertEquals(message.text, "Ясно, +5.");
    // Its declared type is never under exactOptionalPropertyTypes.
    const used = message.usage_metadata as unknown as UsageMetadata;
    assertEquals([used.input_tokens, used.output_tokens, used.total_tokens], [19, 3, 22]);
    assertEquals(used.input_token_details!.cache_read, 2);
    assertEquals(message.response_metadata.finish_reason, "stop");
  }
  for (const { messages, max_tokens: max, temperature } of fake.chats) {
    assertEquals(messages.map(({ role, content }) => [role, content]), [
      ["system", "Кратко"],
      ["user", prompt],
    ]);
    assertEquals([max, temperature], [99, 0.5]);
  }
  const many = await model.batch([prompt, prompt, prompt]);
  assertEquals(many.map(({ text }) => text), Array(3).fill("Ясно, +5."));
  for (const row of await router.usage()) {
    assertEquals([row.state, row.input_tokens, row.output_tokens], ["completed", 19, 3]);
  }
});

for (const parallel of [false, true]) {
  const how = parallel ? "parallel calls on v2" : "calls one by one on v1";
  Deno.test(`ChatOpenAI of LangChain runs five turns of ${how}, whole and streamed`, async () => {
    await using fake = await startFakeGigachat();
    fake.reply = callOneByOne(5);
    fake.v2.reply = callTogether(5);
    await using router = await startRouter({ ...fake.env, ...(parallel && v2) });
    const model = modelOf(router).bindTools([weather]);
    for (const streamed of [false, true]) {
      const messages: BaseMessage[] = [new HumanMessage(prompt)];
      const heard: unknown[] = [];
      for (let turn = 0; turn <= 5; turn++) {
        const answer = streamed
          ? await joined(await model.stream(messages))
          : await model.invoke(messages);
        messages.push(answer);
        const calls = answer.tool_calls ?? [];
        assertEquals(calls.length, turn === 5 ? 0 : parallel ? 3 : 1);
        for (const call of calls) {
          const result: ToolMessage = await weather.invoke({ ...call, type: "tool_call" });
          heard.push(result.content);
          messages.push(result);
        }
      }
      assertEquals(messages.at(-1)!.text, forecast);
      const asked = parallel ? Array(5).fill(cities).flat() : [...cities, ...cities].slice(0, 5);
      assertEquals(heard, asked.map((city) => `${city}: +5`));
    }
    assertEquals((await router.usage()).map(({ state }) => state), Array(12).fill("completed"));
  });
}

Deno.test("a history of LangChain's with parallel calls reaches v1, which knows one call a message", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const calls = cities.map((city) => ({ id: `call_${city}`, name: "weather", args: { city } }));
  const { text } = await modelOf(router).bindTools([weather]).invoke([
    new HumanMessage(prompt),
    new AIMessage({ content: "", tool_calls: calls }),
    ...calls.map(({ id, args }) =>
      new ToolMessage({ tool_call_id: id, content: `${args.city}: +5` })
    ),
  ]);
  assertEquals(text, 'Вы сказали: {"result":"Пермь: +5"}');
  assertEquals(fake.chats[0]!.messages.length, 1 + 2 * cities.length);
});

Deno.test("ChatOpenAI of LangChain gets documents by each of its methods", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const report = z.object({
    city: z.string().describe("Город"),
    sky: z.enum(["ясно", "дождь"]),
    wind: z.number().min(0).nullable(),
    hours: z.array(z.object({ hour: z.int(), degrees: z.number() })),
  });
  const reported = { city: "Тверь", sky: "ясно", wind: null, hours: [{ hour: 9, degrees: 5 }] };
  fake.reply = ({ functions }) =>
    functions === undefined
      ? { content: `\`\`\`json\n${JSON.stringify(reported)}\n\`\`\`` }
      : { functionCall: { name: functions[0]!.name, arguments: reported } };
  for (const method of ["jsonSchema", "functionCalling", "jsonMode"] as const) {
    const model = modelOf(router).withStructuredOutput(report, { method, name: "report" });
    assertEquals(await model.invoke("Верни JSON") as unknown, reported);
    const stream = await model.stream("Верни JSON");
    assertEquals((await Array.fromAsync(stream)).at(-1) as unknown, reported);
  }
});

Deno.test("ChatOpenAI of LangChain shows an image", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const image = dataUrl(png("a"));
  const text = { type: "text" as const, text: "Что это?" };
  const data = image.slice(image.indexOf(",") + 1);
  for (
    const message of [
      new HumanMessage({ content: [text, { type: "image_url", image_url: { url: image } }] }),
      new HumanMessage({ contentBlocks: [text, { type: "image", mimeType: "image/png", data }] }),
    ]
  ) {
    assertEquals((await modelOf(router).invoke([message])).text, "Вы сказали: Что это?");
    assertEquals((fake.chats.at(-1)!.messages[0]!.attachments as string[]).length, 1);
  }
});

Deno.test("ChatOpenAI of LangChain leaves in mid-stream, which frees the place and is recorded once", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  const { content, finish } = unfinished("один");
  fake.reply = () => ({ content });
  await using router = await startRouter(fake.env);
  const model = modelOf(router);
  const controller = new AbortController();
  const { signal } = controller;
  await assertRejects(async () => {
    for await (const { text } of await model.stream(prompt, { signal })) {
      if (text === "один") controller.abort();
    }
  });
  assertEquals(await fake.requestsTo("/v1/chat/completions")[0]!.end, "aborted");
  finish();
  fake.reply = () => ({ content: "снова" });
  assertEquals((await model.invoke(prompt)).text, "снова");
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted", "completed"]);
});

Deno.test("LangChain is told what is wrong", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "0" });
  const model = modelOf(router);
  const refused = await assertRejects(() => model.invoke(prompt, { seed: 1 }), Error);
  assertEquals((refused as { status?: number }).status, 400);
  assertStringIncludes(refused.message, '"seed"');
  fake.failNext("chat", { status: 429, headers: { "retry-after": "9" } });
  const busy = await assertRejects(() => model.invoke(prompt), Error);
  assertEquals((busy as { status?: number }).status, 429);
  const { content, breakOff } = unfinished("раз");
  fake.reply = () => ({ content });
  const heard: string[] = [];
  const broken = await assertRejects(async () => {
    for await (const { text } of await model.stream(prompt)) {
      heard.push(text);
      if (text === "раз") breakOff();
    }
  }, Error);
  assertStringIncludes(broken.message, "The provider's answer cannot be read");
  assert(heard.includes("раз"));
});

Deno.test("OpenAIEmbeddings of LangChain gets vectors of texts and of a question", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const { url, secret } = router;
  const texts = ["раз", "два", "три", "четыре", "пять"];
  for (const encodingFormat of [undefined, "float"] as const) {
    const embeddings = new OpenAIEmbeddings({
      model: "gigachat/Embeddings",
      apiKey: secret,
      configuration: { baseURL: `${url}/v1` },
      batchSize: 2,
      ...(encodingFormat && { encodingFormat }),
    });
    const vectors = await embeddings.embedDocuments(texts);
    assertEquals(vectors.map((vector) => [...vector]), texts.map(vectorOf));
    assertEquals([...await embeddings.embedQuery("Привет")], vectorOf("Привет"));
  }
  assert((await router.usage()).every(({ state }) => state === "completed"));
});
