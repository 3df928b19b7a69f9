import { assert, assertEquals } from "@std/assert";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { clientOf } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { callOneByOne, callTogether, cities, forecast } from "./support/weather_turns.ts";

const model = "gigachat/GigaChat-2-Max";
const v2 = { GIGACHAT_V2_MODELS: "GigaChat-2-Max" };
const question = { role: "user" as const, content: "Какая погода в трёх городах?" };

const parameters = z.object({ city: z.string().describe("Город") });
const weather = zodFunction({ name: "weather", description: "Погода", parameters });

const report = z.object({
  city: z.string().describe("Город"),
  sky: z.enum(["ясно", "дождь"]),
  wind: z.number().nullable(),
  hours: z.array(z.object({ hour: z.int(), degrees: z.number() })),
});
const reported: z.infer<typeof report> = {
  city: "Тверь",
  sky: "ясно",
  wind: null,
  hours: [{ hour: 9, degrees: 5 }],
};

/** Calls of an assistant's message, and their results. */
function called(turn: number): OpenAI.ChatCompletionMessageParam[] {
  const idOf = (city: string) => `call_${turn}_${city}`;
  return [
    {
      role: "assistant",
      content: null,
      tool_calls: cities.map((city) => ({
        id: idOf(city),
        type: "function",
        function: { name: "weather", arguments: JSON.stringify({ city }) },
      })),
    },
    ...cities.map((city) => ({
      role: "tool" as const,
      tool_call_id: idOf(city),
      content: `${city}: +${turn}`,
    })),
  ];
}

Deno.test("the openai client runs five turns of tools on v1, streamed and not", async () => {
  await using fake = await startFakeGigachat();
  fake.reply = callOneByOne(5);
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  for (const streamed of [false, true]) {
    const messages: OpenAI.ChatCompletionMessageParam[] = [question];
    const heard: string[] = [];
    for (let turn = 0; turn <= 5; turn++) {
      const asked = { model, messages, tools: [weather] };
      const { choices } = streamed
        ? await client.chat.completions.stream(asked).finalChatCompletion()
        : await client.chat.completions.create(asked);
      const { message } = choices[0]!;
      messages.push(message);
      for (const call of message.tool_calls ?? []) {
        assert(call.type === "function");
        const { city } = JSON.parse(call.function.arguments);
        heard.push(city);
        messages.push({ role: "tool", tool_call_id: call.id, content: `${city}: +5` });
      }
    }
    assertEquals(heard, [...cities, ...cities].slice(0, 5));
    assertEquals(messages.at(-1)!.content, forecast);
  }
  assertEquals((await router.usage()).map(({ state }) => state), Array(12).fill("completed"));
});

Deno.test("five turns of parallel calls in a history reach v1 as calls with one result each", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const turns = [1, 2, 3, 4, 5];
  const messages = [question, ...turns.flatMap(called)];
  // Results may come in any order.
  const shuffled = [
    question,
    ...turns.flatMap((turn) => {
      const [calls, ...results] = called(turn);
      return [calls!, ...results.reverse()];
    }),
  ];
  for (const history of [messages, shuffled]) {
    const { choices } = await client.chat.completions.create({
      model,
      messages: history,
      tools: [weather],
    });
    assert(choices[0]!.message.content!.startsWith("Вы сказали"));
    const sent = fake.chats.at(-1)!.messages.slice(1);
    assertEquals(sent.length, 5 * 3 * 2);
    const pairs = turns.flatMap((turn) => cities.map((city) => [city, `${city}: +${turn}`]));
    assertEquals(
      sent.filter(({ role }) => role === "assistant").map(({ function_call: call }, at) => [
        (call as { arguments: { city: string } }).arguments.city,
        JSON.parse(sent[2 * at + 1]!.content).result,
      ]),
      pairs,
    );
  }
});

for (const parallel of [false, true]) {
  const how = parallel ? "v2" : "v1";
  Deno.test(`the openai client's own loop runs tools on ${how}, streamed and not`, async () => {
    await using fake = await startFakeGigachat();
    fake.reply = callOneByOne(5);
    fake.v2.reply = callTogether(5);
    await using router = await startRouter({ ...fake.env, ...(parallel && v2) });
    const client = clientOf(router);
    let heard: string[] = [];
    const tool = zodFunction({
      name: "weather",
      parameters,
      function: ({ city }) => {
        heard.push(city);
        return `${city}: +5`;
      },
    });
    for (const stream of [false, true]) {
      heard = [];
      const asked = { model, messages: [question], tools: [tool] };
      const runner = stream
        ? client.chat.completions.runTools({ ...asked, stream })
        : client.chat.completions.runTools({ ...asked, stream });
      assertEquals(await runner.finalContent(), forecast);
      const expected = parallel ? Array(5).fill(cities).flat() : [...cities, ...cities].slice(0, 5);
      assertEquals(heard, expected);
    }
  });

  Deno.test(`the openai client parses documents of a zod schema from ${how}`, async () => {
    await using fake = await startFakeGigachat();
    const content = JSON.stringify(reported);
    fake.reply = () => ({ content });
    fake.v2.reply = () => ({ content: [content.slice(0, 9), content.slice(9)] });
    await using router = await startRouter({ ...fake.env, ...(parallel && v2) });
    const client = clientOf(router);
    const asked = {
      model,
      messages: [question],
      response_format: zodResponseFormat(report, "report"),
    };
    const whole = await client.chat.completions.parse(asked);
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    for (const { choices } of [whole, streamed]) {
      assertEquals(choices[0]!.message.parsed, reported);
    }
  });
}
