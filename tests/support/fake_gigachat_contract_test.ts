// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type FakeGigachat, startFakeGigachat } from "./fake_gigachat.ts";
import { callOf } from "./call.ts";
import { ask, askStream, connectTo, readAll } from "./fake_gigachat_call.ts";
import { paths } from "./fake_gigachat_contract.ts";
import { differences, exceptions } from "./fake_gigachat_schema.ts";
import { dataUrl, imagePart, png } from "./files.ts";

const signal = AbortSignal.timeout(20_000);

/** Paths that XRouter does not call: it keeps its own list of files, each key's own. */
const unused = ["GET /v1/files", "GET /v1/files/{file}"];

/** Says everything that XRouter can say to GigaChat, and hears everything that it is answered. */
async function sayEverything(fake: FakeGigachat): Promise<void> {
  const parameters = { type: "object" as const, properties: { city: { type: "string" } } };
  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  await using connection = connectTo(fake);
  const { transport } = connection;
  await transport.listModels(signal);
  await transport.accounts[0]!.balance(signal);
  fake.reply = () => ({
    content: "",
    reasoning: "Хм",
    functionCall: { name: "weather", arguments: '{"city":"Томск"}' },
  });
  const { choices: [choice] } = await ask(connection, { tools });
  fake.account.tokenShape = "tok";
  fake.expireTokens();
  fake.reply = () => ({ content: '{"city":"Томск"}', reasoning: "Хм" });
  await askStream(connection, {
    tools,
    messages: [
      { role: "user", content: [{ type: "text", text: "Тепло?" }, imagePart(dataUrl(png("a")))] },
      choice!.message as { role: string },
      { role: "tool", tool_call_id: choice!.message!.tool_calls![0]!.id!, content: "Тепло" },
    ],
    reasoning_effort: "low",
    temperature: 0,
    max_completion_tokens: 100,
    response_format: { type: "json_schema", json_schema: { name: "w", schema: parameters } },
    profanity_check: true,
    function_ranker: { enabled: true, top_n: 3 },
  });
  fake.reply = () => ({ content: "да" });
  await ask(connection, { functions: [{ name: "text2image" }] });
  const body = { model: "Embeddings", input: ["Привет"] };
  await readAll(await transport.open({ ...callOf(), signal, body }));
  await transport.countTokens(
    { model: "GigaChat-2", messages: [{ role: "user", content: "раз" }] },
    signal,
  );
}

Deno.test("all that XRouter says and hears is held to the published OpenAPI file", async () => {
  const balance = [{ usage: "GigaChat", value: 7 }];
  await using fake = await startFakeGigachat({ balance });
  await sayEverything(fake);
  const { checked, excepted } = fake.contract;
  assertEquals([...checked, ...unused].sort(), Object.keys(paths).sort());
  // Every exception is one that is needed; the list of files is checked by the fake's own tests.
  assertEquals(
    [...excepted, "Files.data[].modalities: unknown"].sort(),
    Object.keys(exceptions).sort(),
  );
});

Deno.test("a request that breaks the published OpenAPI file fails its test", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  await ask(connection, { no_such_field: 1 });
  const error = assertThrows(() => fake.contract.verify(), Error);
  assertStringIncludes(error.message, "Chat.no_such_field: unknown");
  fake.held = false;
});

Deno.test("an answer that breaks the published OpenAPI file fails its test, streamed or not", async () => {
  for (
    const [say, name] of [[ask, "ChatCompletion"], [askStream, "ChatCompletionEvent"]] as const
  ) {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake);
    fake.reply = () => ({ content: "да", finish: "tired" });
    await say(connection);
    fake.held = false;
    const error = assertThrows(() => fake.contract.verify(), Error);
    assertStringIncludes(error.message, `${name}.choices[0].finish_reason: enum`);
  }
});

Deno.test("differences names the place and the kind", () => {
  const user = { role: "user", content: "да" };
  const found = (fields: object) =>
    differences("Chat", { model: "GigaChat", messages: [user], ...fields })
      .map((each) => each.split(",", 1)[0]);
  assertEquals(found({}), []);
  assertEquals(found({ temperature: 0 }), ["Chat.temperature: range"]);
  assertEquals(found({ max_tokens: "1" }), ["Chat.max_tokens: type"]);
  assertEquals(found({ messages: undefined }), ["Chat.messages: required"]);
  assertEquals(found({ messages: [{ ...user, role: "tool" }] }), ["Chat.messages[0].role: enum"]);
  assertEquals(found({ function_call: "required" }), ["Chat.function_call: type"]);
  assertEquals(found({ tools: [] }), ["Chat.tools: unknown"]);
});
