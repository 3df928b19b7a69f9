// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, askStream, bodyOf, connectTo } from "../support/fake_gigachat_call.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { randomFrom, randomHistory } from "../support/random_history.ts";

type Messages = ChatBody["messages"];

const tool = (name: string) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: {} } },
});
const call = (id: string, name: string, given: unknown = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: given },
});
const result = (id: string, content: string) => ({ role: "tool", tool_call_id: id, content });

function encoded(messages: Messages): Record<string, unknown>[] {
  return JSON.parse(JSON.stringify(encode(bodyOf({ messages }), callOf()).messages));
}

Deno.test("a result becomes a JSON object that says the same", () => {
  const contents: [string, string][] = [
    ['{"t":1}', '{"t":1}'],
    [' {"id":12345678901234567890} ', ' {"id":12345678901234567890} '],
    ["12345678901234567890", '{"result":12345678901234567890}'],
    ['"quoted"', '{"result":"quoted"}'],
    ["null", '{"result":null}'],
    ["", '{"result":""}'],
    ['Солнечно\n"да"', '{"result":"Солнечно\\n\\"да\\""}'],
    ['{"cut":', '{"result":"{\\"cut\\":"}'],
    // JSON in JSON: an object inside a string is the object.
    [JSON.stringify('{"id":12345678901234567890}'), '{"id":12345678901234567890}'],
    [JSON.stringify(JSON.stringify('{"t":1}')), '{"t":1}'],
    [JSON.stringify("[1]"), '{"result":"[1]"}'],
  ];
  for (const [content, sent] of contents) {
    const messages = encoded([
      { role: "assistant", tool_calls: [call("a", "w")] },
      result("a", content),
    ]);
    assertEquals(messages[1]?.content, sent);
  }
});

Deno.test("ids that come again in later turns are told apart by their turn", () => {
  const turn = (name: string, content: string): Messages => [
    { role: "assistant", tool_calls: [call("call_0", name)] },
    result("call_0", content),
  ];
  const messages = encoded([...turn("one", "1"), ...turn("two", "2")]);
  assertEquals(messages.filter(({ role }) => role === "function"), [
    { role: "function", name: "one", content: '{"result":1}' },
    { role: "function", name: "two", content: '{"result":2}' },
  ]);
});

Deno.test("arguments that are no JSON object are sent as a field of one, and that is said", () => {
  for (const given of ["{", "[]", "1", "12345678901234567890", '"text"', 5]) {
    const messages = [
      { role: "assistant", tool_calls: [call("a", "w", given)] },
      result("a", "1"),
    ];
    const changed: string[] = [];
    const asked = { ...callOf(), changed: (path: string) => void changed.push(path) };
    const [sent] = encode(bodyOf({ messages }), asked).messages as { function_call: unknown }[];
    assertEquals(sent!.function_call, { name: "w", arguments: { arguments: given } });
    assertEquals(changed, ["messages[0].tool_calls[0].function.arguments"]);
  }
});

Deno.test("a function call makes the round trip, its state id inside the call's id", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const stateId = "77d3fb14-457a-46ba-937e-8d856156d003";
  fake.reply = ({ messages }) =>
    messages.at(-1)!.role === "function"
      ? { content: "В Москве 1°" }
      : { functionCall: { name: "weather", arguments: { city: "Москва" }, stateId } };
  const question = { messages: [{ role: "user", content: "Погода?" }], tools: [tool("weather")] };
  for (const streamed of [false, true]) {
    const answer = streamed
      ? (await askStream(connection, question)).flatMap(({ choices }) => choices)
        .map(({ delta }) => delta).find((delta) => delta?.tool_calls !== undefined)!
      : (await ask(connection, question)).choices[0]!.message!;
    const [asked] = answer.tool_calls!;
    assertEquals(asked!.function, { name: "weather", arguments: '{"city":"Москва"}' });
    assert(asked!.id!.length <= 40, asked!.id);
    const { role = "assistant" } = answer;
    await ask(connection, {
      ...question,
      messages: [
        ...question.messages,
        { role, content: null, tool_calls: [{ ...asked, id: asked!.id! }] },
        result(asked!.id!, "1°"),
      ],
    });
    assertEquals(fake.chats.at(-1)!.messages.slice(1), [
      {
        role: "assistant",
        content: "",
        functions_state_id: stateId,
        function_call: { name: "weather", arguments: { city: "Москва" } },
      },
      { role: "function", name: "weather", content: '{"result":"1°"}' },
    ]);
  }
});

Deno.test("names that GigaChat refuses or has itself are mapped there and back", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const names = [
    "mcp:files/read",
    "mcp.files.read",
    "mcp/files/read",
    "web_search",
    "2fast",
    "погода",
  ];
  for (const name of names) {
    const answer = await ask(connection, {
      tools: names.map(tool),
      tool_choice: { type: "function", function: { name } },
    });
    assertEquals(answer.choices[0]!.message!.tool_calls![0]!.function!.name, name);
  }
  assertEquals(fake.chats[0]!.functions!.map(({ name }) => name), [
    "mcp_files_read",
    "mcp_files_read_2",
    "mcp_files_read_3",
    "user_web_search",
    "_2fast",
    "______",
  ]);
  // A usable name is never taken away from the tool that has it.
  const { functions } = encode(bodyOf({ tools: [tool("a/b"), tool("a_b")] }), callOf());
  assertEquals((functions as { name: string }[]).map(({ name }) => name), ["a_b_2", "a_b"]);
});

Deno.test("a client of the older functions gets function_call back", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const functions = [tool("weather").function];
  const answer = await ask(connection, { functions, function_call: { name: "weather" } });
  const { message, finish_reason: reason } = answer.choices[0]!;
  assertEquals(reason, "function_call");
  assertEquals(message!.function_call, { name: "weather", arguments: '{"city":"Москва"}' });
  assertEquals(message!.tool_calls, undefined);
  const again = await ask(connection, {
    functions,
    messages: [
      { role: "user", content: "Погода?" },
      { ...message, role: "assistant", tool_calls: undefined },
      { role: "function", name: "weather", content: "1°" },
    ],
  });
  assertStringIncludes(again.choices[0]!.message!.content!, "1°");
  assertEquals(
    fake.chats.at(-1)!.messages[1]!.functions_state_id,
    message!.functions_state_id,
  );
});

Deno.test("any history that OpenAI takes is taken by GigaChat", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  console.log(`seed ${seed}`);
  const random = randomFrom(seed);
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  for (let round = 0; round < 60; round++) {
    const { markers, ...question } = randomHistory(random);
    const answer = await ask(connection, question);
    assertEquals(answer.choices.length, 1);
    const sent = fake.chats.at(-1)!;
    assertEquals(differences("Chat", sent), []);
    // Nothing is lost: every text and every call that was said reaches GigaChat.
    const wire = JSON.stringify(sent.messages);
    const calls = question.messages.flatMap((message) => message.tool_calls ?? []);
    assertEquals(sent.messages.filter(({ role }) => role === "function").length, calls.length);
    for (const marker of markers) assertStringIncludes(wire, marker);
  }
});
