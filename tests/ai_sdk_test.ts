/** Vercel's AI SDK talks to GigaChat through the router as it talks to OpenAI. */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  APICallError,
  embed,
  embedMany,
  generateObject,
  generateText,
  isStepCount,
  Output,
  streamText,
  tool,
} from "ai";
import { z } from "zod";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { vectorOf } from "./support/fake_gigachat_embeddings.ts";
import { png } from "./support/files.ts";
import { startRouter, type TestRouter } from "./support/router.ts";
import {
  callOneByOne,
  callTogether,
  cities,
  forecast,
  unfinished,
} from "./support/weather_turns.ts";

// It warns that generateObject is old, which many still use.
globalThis.AI_SDK_LOG_WARNINGS = false;

const name = "gigachat/GigaChat-2-Max";
const v2 = { GIGACHAT_V2_MODELS: "GigaChat-2-Max" };
const prompt = "Какая погода?";

const openaiOf = ({ url, secret }: TestRouter) =>
  createOpenAI({ baseURL: `${url}/v1`, apiKey: secret });
const compatibleOf = ({ url, secret }: TestRouter) =>
  createOpenAICompatible({
    name: "xrouter",
    baseURL: `${url}/v1`,
    apiKey: secret,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });

/** The ways that the SDK has to a model. */
const models = {
  "@ai-sdk/openai": (router: TestRouter) => openaiOf(router).chat(name),
  "@ai-sdk/openai-compatible": (router: TestRouter) => compatibleOf(router).chatModel(name),
};

const report = z.object({
  city: z.string().describe("Город"),
  sky: z.enum(["ясно", "дождь"]),
  wind: z.number().min(0).nullable(),
  hours: z.array(z.object({ hour: z.int(), degrees: z.number() })),
});
const reported: z.infer<typeof report> = {
  city: "Тверь",
  sky: "ясно",
  wind: null,
  hours: [{ hour: 9, degrees: 5 }],
};

for (const [module, modelOf] of Object.entries(models)) {
  Deno.test(`${module} gets texts, whole and streamed, and their usage`, async () => {
    await using fake = await startFakeGigachat();
    const usage = { prompt_tokens: 17, completion_tokens: 3, precached_prompt_tokens: 2 };
    fake.reply = () => ({ content: ["Ясно, ", "+5."], usage });
    await using router = await startRouter(fake.env);
    const asked = { model: modelOf(router), instructions: "Кратко", prompt, maxOutputTokens: 99 };
    const whole = await generateText(asked);
    const stream = streamText(asked);
    const parts = await Array.fromAsync(stream.textStream);
    assertEquals([whole.text, parts.join("")], ["Ясно, +5.", "Ясно, +5."]);
    assert(parts.length > 1);
    for (const result of [whole, stream]) {
      const { inputTokens, inputTokenDetails, outputTokens } = await result.usage;
      assertEquals([inputTokens, inputTokenDetails.cacheReadTokens, outputTokens], [19, 2, 3]);
      assertEquals([await result.finishReason, await result.warnings], ["stop", []]);
    }
    for (const { messages, max_tokens: max } of fake.chats) {
      assertEquals(messages.map(({ role, content }) => [role, content]), [
        ["system", "Кратко"],
        ["user", prompt],
      ]);
      assertEquals(max, 99);
    }
    for (const row of await router.usage()) {
      assertEquals([row.state, row.input_tokens, row.output_tokens], ["completed", 19, 3]);
    }
  });

  for (const parallel of [false, true]) {
    const how = parallel ? "parallel calls on v2" : "calls one by one on v1";
    Deno.test(`${module} runs five steps of ${how}, whole and streamed`, async () => {
      await using fake = await startFakeGigachat();
      fake.reply = callOneByOne(5);
      fake.v2.reply = callTogether(5);
      await using router = await startRouter({ ...fake.env, ...(parallel && v2) });
      const heard: string[] = [];
      const asked = {
        model: modelOf(router),
        prompt,
        stopWhen: isStepCount(9),
        tools: {
          weather: tool({
            description: "Погода",
            inputSchema: z.object({
              city: z.string().describe("Город"),
              unit: z.enum(["C", "F"]).optional(),
            }),
            execute: ({ city }) => {
              heard.push(city);
              return { city, degrees: 5 };
            },
          }),
        },
      };
      const whole = await generateText(asked);
      const stream = streamText(asked);
      await stream.consumeStream();
      for (const result of [whole, stream]) {
        assertEquals(await result.text, forecast);
        const steps = await result.steps;
        assertEquals(steps.length, 6);
        assertEquals(steps.map(({ finishReason }) => finishReason), [
          ...Array(5).fill("tool-calls"),
          "stop",
        ]);
        for (const { toolCalls, toolResults } of steps.slice(0, 5)) {
          assertEquals(toolCalls.length, parallel ? 3 : 1);
          assertEquals(toolResults.length, toolCalls.length);
        }
      }
      const once = parallel ? Array(5).fill(cities).flat() : [...cities, ...cities].slice(0, 5);
      assertEquals(heard, [...once, ...once]);
      assertEquals((await router.usage()).map(({ state }) => state), Array(12).fill("completed"));
    });
  }

  Deno.test(`${module} gets objects of a schema, whole and streamed`, async () => {
    await using fake = await startFakeGigachat();
    fake.reply = ({ response_format: format }) => {
      assertEquals((format as { type: string }).type, "json_schema");
      return { content: JSON.stringify(reported) };
    };
    await using router = await startRouter(fake.env);
    const model = modelOf(router);
    const output = Output.object({ schema: report });
    assertEquals((await generateText({ model, prompt, output })).output, reported);
    const stream = streamText({ model, prompt, output });
    const partial = await Array.fromAsync(stream.partialOutputStream);
    assertEquals([partial.at(-1), await stream.output], [reported, reported]);
    assertEquals((await generateObject({ model, prompt, schema: report })).object, reported);
    const list = { elements: [reported, reported] };
    fake.reply = () => ({ content: JSON.stringify(list) });
    const array = Output.array({ element: report });
    assertEquals((await generateText({ model, prompt, output: array })).output, list.elements);
  });

  Deno.test(`${module} shows an image`, async () => {
    await using fake = await startFakeGigachat();
    await using router = await startRouter(fake.env);
    const content = [
      { type: "text" as const, text: "Что это?" },
      { type: "file" as const, mediaType: "image", data: png("a") },
    ];
    const { text } = await generateText({
      model: modelOf(router),
      messages: [{ role: "user", content }],
    });
    assertEquals(text, "Вы сказали: Что это?");
    assertEquals((fake.chats[0]!.messages[0]!.attachments as string[]).length, 1);
  });

  Deno.test(`${module} leaves in mid-stream, which frees the place and is recorded once`, async () => {
    await using fake = await startFakeGigachat();
    fake.streams = 1;
    const { content, finish } = unfinished("один");
    fake.reply = () => ({ content });
    await using router = await startRouter(fake.env);
    const model = modelOf(router);
    const controller = new AbortController();
    const errors: unknown[] = [];
    const stream = streamText({
      model,
      prompt,
      abortSignal: controller.signal,
      onError: ({ error }) => void errors.push(error),
    });
    const kinds: string[] = [];
    for await (const part of stream.stream) {
      kinds.push(part.type);
      if (part.type === "text-delta") controller.abort();
    }
    assertEquals([kinds.at(-1), errors], ["abort", []]);
    assertEquals(await fake.requestsTo("/v1/chat/completions")[0]!.end, "aborted");
    finish();
    fake.reply = () => ({ content: "снова" });
    assertEquals((await generateText({ model, prompt })).text, "снова");
    const states = (await router.usage()).map(({ state }) => state);
    assertEquals(states, ["aborted", "completed"]);
  });

  Deno.test(`${module} is told what is wrong, and whether to try again`, async () => {
    await using fake = await startFakeGigachat();
    await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "0" });
    const asked = { model: modelOf(router), prompt, maxRetries: 0 };
    const refused = await assertRejects(() => generateText({ ...asked, seed: 1 }));
    assert(APICallError.isInstance(refused));
    assertEquals([refused.statusCode, refused.isRetryable], [400, false]);
    assertStringIncludes(refused.message, '"seed"');
    fake.failNext("chat", { status: 429, headers: { "retry-after": "9" } });
    const busy = await assertRejects(() => generateText(asked));
    assert(APICallError.isInstance(busy));
    assertEquals([busy.statusCode, busy.isRetryable], [429, true]);
    const { content, breakOff } = unfinished("раз");
    fake.reply = () => ({ content });
    const errors: unknown[] = [];
    const stream = streamText({ ...asked, onError: ({ error }) => void errors.push(error) });
    for await (const text of stream.textStream) {
      if (text === "раз") breakOff();
    }
    assertEquals([errors.length, await stream.finishReason], [1, "error"]);
  });
}

Deno.test("the AI SDK gets embeddings of one text and of many", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const values = ["раз", "два", "три"];
  for (
    const model of [
      openaiOf(router).embeddingModel("gigachat/Embeddings"),
      compatibleOf(router).embeddingModel("gigachat/Embeddings"),
    ]
  ) {
    const one = await embed({ model, value: "Привет" });
    assertEquals(one.embedding, vectorOf("Привет"));
    assert(one.usage.tokens > 0);
    const { embeddings } = await embedMany({ model, values });
    assertEquals(embeddings, values.map(vectorOf));
  }
});
