/** Whole answers with `stop`: GigaChat is asked for a stream, which is ended at the sequence. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type FakeGigachat, startFakeGigachat } from "../support/fake_gigachat.ts";
import { clientOf } from "../support/openai_client.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";

const model = "gigachat/GigaChat-2";
const question = [{ role: "user" as const, content: "Считай" }];
const usage = { prompt_tokens: 100, completion_tokens: 50, precached_prompt_tokens: 900 };

/** Counts, and says `: пять` only once the test lets it. */
function counting(): { words: () => AsyncIterable<string>; goOn: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  async function* words() {
    yield "Раз, два";
    yield ", т";
    yield "ри, четыре";
    await promise;
    yield ", пять";
  }
  return { words, goOn: resolve };
}

/** What the fake says by either chat. */
function say(fake: FakeGigachat, content: () => string | string[] | AsyncIterable<string>): void {
  fake.reply = () => ({ content: content(), usage });
  fake.v2.reply = () => ({ content: content(), usage: { input: 100, cached: 900, output: 50 } });
}

/** The request that was sent last. */
function lastSent(fake: FakeGigachat, version: string) {
  return fake.requestsTo(`/${version}/chat/completions`).at(-1)!;
}

function start(fake: FakeGigachat, version: string): Promise<TestRouter> {
  const v2 = version === "v2" && { GIGACHAT_V2_MODELS: "GigaChat-2" };
  return startRouter({ ...fake.env, XROUTER_RETRIES: "0", ...v2 });
}

for (const version of ["v1", "v2"]) {
  Deno.test(`a whole answer that is cut ends GigaChat's call, and frees the only one, ${version}`, async () => {
    await using fake = await startFakeGigachat();
    fake.streams = 1;
    const { words, goOn } = counting();
    say(fake, words);
    await using router = await start(fake, version);
    const client = clientOf(router);
    for (let i = 0; i < 2; i++) {
      const asked = { model, messages: question, stop: ["четверг", ", три"] };
      const { data, response } = await client.chat.completions.create(asked).withResponse();
      assertEquals(response.headers.get("x-xrouter-changed"), "stop");
      const { message, finish_reason: reason } = data.choices[0]!;
      assertEquals([data.object, data.choices.length], ["chat.completion", 1]);
      assertEquals([message.role, message.content, reason], ["assistant", "Раз, два", "stop"]);
      assert(data.usage!.completion_tokens > 0 && data.usage!.completion_tokens < 20);
      const { body, headers, end } = lastSent(fake, version);
      assertEquals((body as { stream?: unknown }).stream, true);
      assertEquals(headers.get("accept"), "text/event-stream");
      assertEquals(await end, "aborted");
    }
    goOn();
    const rows = await router.usage();
    assertEquals(rows.map(({ state, stream }) => [state, stream]), [
      ["completed", 0],
      ["completed", 0],
    ]);
    for (const { estimated, output_tokens: output, input_tokens: input } of rows) {
      assert(estimated === 1 && Number(output) > 0 && Number(input) > 0);
    }
  });

  Deno.test(`a whole answer without its sequence is charged as Sber counts it, ${version}`, async () => {
    await using fake = await startFakeGigachat();
    say(fake, () => "Раз, два, три");
    await using router = await start(fake, version);
    const response = await router.chat(ask(model, "Считай", { stop: "шесть" }));
    const answer = await response.json();
    assertEquals(answer.choices, [{
      index: 0,
      message: { role: "assistant", content: "Раз, два, три" },
      // deno-lint-ignore camelcase -- OpenAI's name
      finish_reason: "stop",
    }]);
    assertEquals(answer.usage.completion_tokens, 50);
    assertEquals(await lastSent(fake, version).end, "sent");
    const [row, ...others] = await router.usage();
    assertEquals(others, []);
    assertEquals(
      [row!.state, row!.input_tokens, row!.cached_tokens, row!.output_tokens, row!.estimated],
      ["completed", 1_000, 900, 50, 0],
    );
  });

  Deno.test(`a call of a tool comes whole beside stop, ${version}`, async () => {
    await using fake = await startFakeGigachat();
    const called = { name: "w", arguments: { city: "Тверь }" } };
    fake.reply = () => ({ content: "Смотрю", reasoning: "Хм", functionCall: called });
    fake.v2.reply = () => ({ content: "Смотрю", reasoning: "Хм", calls: [called, called] });
    await using router = await start(fake, version);
    const tools = [{ type: "function" as const, function: { name: "w" } }];
    const asked = { model, messages: question, tools, stop: ["}"] };
    const { choices } = await clientOf(router).chat.completions.create(asked);
    const { message, finish_reason: reason } = choices[0]!;
    assertEquals([message.content, reason], ["Смотрю", "tool_calls"]);
    assertEquals((message as { reasoning_content?: string }).reasoning_content, "Хм");
    const calls = message.tool_calls!;
    assertEquals(calls.length, version === "v1" ? 1 : 2);
    assertEquals(new Set(calls.map(({ id }) => id)).size, calls.length);
    for (const call of calls) {
      assertEquals(Object.keys(call), ["id", "type", "function"]);
      assert(call.type === "function");
      assertEquals(call.function, { name: "w", arguments: '{"city":"Тверь }"}' });
    }
  });

  Deno.test(`a whole answer with stop that breaks off is answered by the next model, ${version}`, async () => {
    await using fake = await startFakeGigachat();
    fake.habits.breakAfter = 3;
    say(fake, () => ["Раз, ", "два, ", "три, ", "четыре"]);
    await using router = await start(fake, version);
    const response = await router.chat(
      ask(model, "Считай", { stop: "десять", models: ["echo/echo"] }),
    );
    assertEquals((await response.json()).choices[0].message.content, "Считай");
    assertEquals(response.headers.get("x-xrouter-provider"), "echo");
    const alone = await router.chat(ask(model, "Считай", { stop: "десять" }));
    assertEquals([alone.status, (await alone.json()).error.code], [502, "upstream_unavailable"]);
  });
}

Deno.test("a document with stop is checked unless it was cut", async () => {
  await using fake = await startFakeGigachat();
  await using router = await start(fake, "v1");
  const schema = { type: "object", properties: { t: { type: "integer" } }, required: ["t"] };
  const format = { type: "json_schema", json_schema: { name: "t", schema, strict: true } };
  const send = async (content: string) => {
    say(fake, () => content);
    const asked = ask(model, "?", { stop: "конец", response_format: format });
    const response = await router.chat(asked);
    return { status: response.status, json: await response.json() };
  };
  const fit = await send('```json\n{"t":5}\n```');
  assertEquals(fit.json.choices[0].message.content, '{"t":5}');
  const cut = await send('{"t": конец');
  assertEquals(cut.json.choices[0].message.content, '{"t": ');
  const { status, json } = await send('{"wrong":1}');
  assertEquals([status, json.error.code], [502, "unfit_answer"]);
  assertStringIncludes(json.error.message, "does not fit the schema");
  const rows = await router.usage();
  assertEquals(
    rows.map(({ state, output_tokens: output, estimated }) => [state, output, estimated]).at(-1),
    ["failed", 50, 0],
  );
});

Deno.test("a client that leaves before the sequence ends GigaChat's call", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  const said = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  async function* words() {
    yield "Раз, ";
    said.resolve();
    await rest.promise;
  }
  say(fake, words);
  await using router = await start(fake, "v1");
  const client = new AbortController();
  const asked = router.chat(ask(model, "Считай", { stop: "два" }), { signal: client.signal });
  asked.catch(() => {});
  await said.promise;
  client.abort();
  assertEquals(await lastSent(fake, "v1").end, "aborted");
  rest.resolve();
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted"]);
});
