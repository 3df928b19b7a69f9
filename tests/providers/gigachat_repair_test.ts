// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { FunctionNames } from "../../providers/gigachat/function_names.ts";
import { asJsonObject } from "../../providers/gigachat/function_result.ts";
import { breakHistory } from "../support/broken_history.ts";
import { callOf } from "../support/call.ts";
import { bodyOf } from "../support/fake_gigachat_call.ts";
import { checkChat, type FakeChat } from "../support/fake_gigachat_rules.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { seededRandom } from "../support/random.ts";
import { randomFrom, randomHistory } from "../support/random_history.ts";

type Message = ChatBody["messages"][number];

const user = (content: string) => ({ role: "user", content });
const calls = (...ids: string[]): Message => ({
  role: "assistant",
  content: null,
  tool_calls: ids.map((id) => ({
    id,
    type: "function",
    function: { name: `f_${id}`, arguments: "{}" },
  })),
});
const result = (id: string, content: string) => ({ role: "tool", tool_call_id: id, content });
/** A call and its result on GigaChat's wire. */
const pair = (id: string, content: string) => [
  { role: "assistant", content: "", function_call: { name: `f_${id}`, arguments: {} } },
  { role: "function", name: `f_${id}`, content },
];
const noResult = '{"error":"no result"}';

/** What is sent for a question, and what is named as changed. */
function sent(question: Partial<ChatBody>): { chat: FakeChat; changed: string } {
  const replyHeaders: Record<string, string> = {};
  const body = bodyOf(question);
  const before = structuredClone(body);
  const chat = JSON.parse(JSON.stringify(encode(body, callOf({ replyHeaders }))));
  assertEquals(body, before);
  return { chat, changed: replyHeaders["x-xrouter-changed"] ?? "" };
}

const repairs: [what: string, given: Message[], encoded: unknown[], changed: string][] = [
  [
    "several calls in one turn follow each other, each with its result",
    [user("q"), calls("a", "b"), result("b", "2"), result("a", "1")],
    [user("q"), ...pair("a", '{"result":1}'), ...pair("b", '{"result":2}')],
    "",
  ],
  [
    "a result far from its call is brought to it",
    [user("q"), calls("a"), user("more"), { role: "assistant", content: "m" }, result("a", "1")],
    [user("q"), ...pair("a", '{"result":1}'), user("more"), { role: "assistant", content: "m" }],
    "messages[4]",
  ],
  [
    "a result before its call is brought to it",
    [user("q"), result("a", "1"), calls("a"), user("more")],
    [user("q"), ...pair("a", '{"result":1}'), user("more")],
    "messages[1]",
  ],
  [
    "a call without a result gets one that says so",
    [user("q"), calls("a", "b"), result("b", "2"), user("more")],
    [user("q"), ...pair("a", noResult), ...pair("b", '{"result":2}'), user("more")],
    "messages[1].tool_calls[0]",
  ],
  [
    "a last call that nobody has run is left out",
    [user("q"), calls("a")],
    [user("q")],
    "messages[1]",
  ],
  [
    "a last call's text stays",
    [user("q"), { ...calls("a"), content: "Смотрю" }],
    [user("q"), { role: "assistant", content: "Смотрю" }],
    "messages[1]",
  ],
  ["a call that is alone stays", [calls("a")], pair("a", noResult), "messages[0].tool_calls[0]"],
  [
    "a result without a call becomes the user's words",
    [user("q"), result("z", '{"t":1}'), { role: "tool", name: "w", content: "2" }],
    [user("q"), user('Result of a tool: {"t":1}'), user('Result of tool "w": 2')],
    "messages[1], messages[2]",
  ],
  [
    "a result that comes twice is said once",
    [user("q"), calls("a"), result("a", "1"), result("a", "1"), user("more")],
    [user("q"), ...pair("a", '{"result":1}'), user("more")],
    "messages[3]",
  ],
  [
    "a second result that differs is kept",
    [user("q"), calls("a"), result("a", "1"), result("a", "2")],
    [user("q"), ...pair("a", '{"result":1}'), user('Result of tool "f_a": 2')],
    "messages[3]",
  ],
  [
    "results without ids are taken in their order",
    [user("q"), calls("", ""), { role: "tool", content: "1" }, { role: "tool", content: "2" }],
    [user("q"), ...pair("", '{"result":1}'), ...pair("", '{"result":2}')],
    "",
  ],
  [
    "calls that have lost their ids are those of the results in their places",
    [
      user("q"),
      {
        role: "assistant",
        tool_calls: [null, undefined].map((id, at) => ({
          id,
          type: "function",
          function: { name: `f_${at}`, arguments: "{}" },
        })),
      },
      { role: "tool", content: "1" },
      { role: "tool", content: "2" },
    ],
    [user("q"), ...pair("0", '{"result":1}'), ...pair("1", '{"result":2}')],
    "",
  ],
  [
    "a result without an id is taken by its name",
    [user("q"), calls("a", "b"), { role: "tool", name: "f_b", content: "2" }, result("a", "1")],
    [user("q"), ...pair("a", '{"result":1}'), ...pair("b", '{"result":2}')],
    "",
  ],
  [
    "a result with an id goes before one without",
    [user("q"), calls("a", "b"), { role: "tool", content: "2" }, result("a", "1")],
    [user("q"), ...pair("a", '{"result":1}'), ...pair("b", '{"result":2}')],
    "",
  ],
  [
    "the older form is repaired too",
    [
      user("q"),
      { role: "assistant", content: null, function_call: { name: "f_a", arguments: "{}" } },
      user("more"),
      { role: "function", name: "f_a", content: "1" },
      { role: "assistant", function_call: { name: "f_b", arguments: "{}" } },
      { role: "function", name: "f_z", content: "3" },
    ],
    [
      user("q"),
      ...pair("a", '{"result":1}'),
      user("more"),
      ...pair("b", noResult),
      user('Result of tool "f_z": 3'),
    ],
    "messages[3], messages[4].function_call, messages[5]",
  ],
  [
    "systems and developers become one system message, the first",
    [user("q"), { role: "developer", content: "b" }, { role: "system", content: "c" }, user("r")],
    [{ role: "system", content: "b\n\nc" }, user("q"), user("r")],
    "messages[1], messages[2]",
  ],
  [
    "an instruction alone is the user's",
    [{ role: "system", content: "Скажи слово" }],
    [user("Скажи слово")],
    "messages",
  ],
  [
    "whoever speaks has no name, a result has its function's",
    [{ ...user("q"), name: "anna" }, calls("a"), { ...result("a", "1"), name: "f_a" }],
    [user("q"), ...pair("a", '{"result":1}')],
    "messages[0].name",
  ],
  [
    "an empty system message alone is an empty question",
    [{ role: "system" }],
    [user("")],
    "messages",
  ],
  ["empty words stay", [user(""), { role: "user", content: null }], [user(""), user("")], ""],
];
for (const [what, given, encoded, changed] of repairs) {
  Deno.test(`histories: ${what}`, () => {
    const { chat, changed: named } = sent({ messages: given });
    assertEquals(chat.messages as unknown[], encoded);
    assertEquals(named, changed);
    assertEquals(checkChat(chat), undefined);
  });
}

Deno.test("every call keeps the state that its id carries", () => {
  const id = (digit: string) => `call_gs${digit.repeat(22)}0000000a`;
  const { chat } = sent({
    messages: [user("q"), calls(id("A"), id("B")), result(id("B"), "2"), result(id("A"), "1")],
  });
  const states = chat.messages.map((message) => message.functions_state_id).filter(Boolean);
  assertEquals(states, [
    "00000000-0000-0000-0000-000000000000",
    "04104104-1041-0410-4104-104104104104",
  ]);
});

Deno.test("long whole numbers in arguments keep their digits", () => {
  const given = '{"id":12345678901234567890,"list":[-9007199254740993],"x":1.50}';
  const messages = [user("q"), calls("a"), result("a", "1")];
  (messages[1] as Message).tool_calls![0]!.function = { name: "w", arguments: given };
  const body = JSON.stringify(encode(bodyOf({ messages }), callOf()));
  assertStringIncludes(body, '{"id":12345678901234567890,"list":[-9007199254740993],"x":1.5}');
});

Deno.test("names come back as they went, however long, strange or alike", () => {
  const random = seededRandom();
  const parts = ["a", "/", ".", "я", "9", "_", "web_search", "text2image", "x".repeat(40), "-", ""];
  const name = () =>
    Array.from({ length: 1 + random(5) }, () => parts[random(parts.length)]).join("");
  for (let round = 0; round < 2_000; round++) {
    const given = [...new Set(Array.from({ length: 1 + random(20) }, name))];
    const named = given.filter((each) => each !== "");
    const tools = named.map((name) => ({ type: "function", function: { name } }));
    if (tools.length === 0) continue;
    const body = bodyOf({ tools });
    const chat = JSON.parse(JSON.stringify(encode(body, callOf()))) as FakeChat;
    assertEquals(checkChat(chat), undefined, JSON.stringify(named));
    const names = new FunctionNames(body);
    assertEquals(chat.functions!.map((each) => names.inward(each.name)), named);
  }
  const many = Array.from({ length: 50_000 }, (_, at) => String.fromCharCode(0x4e00 + at % 20_000))
    .map((letter, at) => letter + String.fromCharCode(0x4e00 + Math.floor(at / 20_000)));
  const tools = many.map((name) => ({ type: "function", function: { name } }));
  const names = new FunctionNames(bodyOf({ tools }));
  assertEquals(many.map((name) => names.inward(names.outward(name))), many);
});

Deno.test("a history that is whole loses nothing there and back", () => {
  const seed = seededRandom();
  for (let round = 0; round < 1_000; round++) {
    const { messages, tools } = randomHistory(randomFrom(seed(2 ** 31)));
    const { chat } = sent({ messages, tools });
    const names = new FunctionNames(bodyOf({ messages, tools }));
    const back = chat.messages.filter(({ role }) => role === "function").map((message, at) => {
      const asked = chat.messages.filter((each) => each.function_call)[at]!.function_call;
      const { name, arguments: given } = asked as { name: string; arguments: unknown };
      return [names.inward(name), given, message.content];
    });
    const asked = messages.flatMap((message, at) =>
      (message.tool_calls ?? []).map(({ id, function: call }) => {
        const { name, arguments: given } = call as { name: string; arguments: string };
        const answer = messages.slice(at).find((each) => each.tool_call_id === id)!.content;
        const text = typeof answer === "string" ? answer : String(answer![0]!.text);
        return [name, JSON.parse(given || "{}"), asJsonObject(text)];
      })
    );
    assertEquals(back, asked);
    assertEquals((chat.functions ?? []).map(({ name }) => names.inward(name)), [
      ...tools.map((tool) => (tool.function as { name: string }).name),
    ]);
  }
});

Deno.test("a history however broken becomes one that GigaChat takes, and no word is lost", () => {
  const seed = seededRandom();
  let repaired = 0;
  for (let round = 0; round < 3_000; round++) {
    const random = randomFrom(seed(2 ** 31));
    const history = randomHistory(random);
    const messages = breakHistory(random, history.messages);
    const { chat, changed } = sent({ messages, tools: history.tools });
    const told = JSON.stringify(messages);
    assertEquals(checkChat(chat), undefined, told);
    assertEquals(differences("Chat", chat), [], told);
    if (changed !== "") repaired++;
    const wire = JSON.stringify(chat.messages);
    const words = messages.map(({ content }) => content);
    // A last call that nobody has run is left out, and named.
    const left = changed.split(", ");
    const kept = messages.filter((_, at) => !left.includes(`messages[${at}]`));
    const asked = kept.flatMap((message) => [
      ...message.tool_calls?.map((call) => call.function) ?? [],
      ...message.tool_calls?.length ? [] : [message.function_call ?? []].flat(),
    ]);
    const said = JSON.stringify([words, asked]);
    for (const marker of history.markers) {
      if (said.includes(marker)) assertStringIncludes(wire, marker, told);
    }
    const names = new FunctionNames(bodyOf({ messages, tools: history.tools }));
    assertEquals(
      chat.messages.flatMap((message) => message.function_call ?? [])
        .map((call) => names.inward((call as { name: string }).name)),
      asked.map((call) => (call as { name: string }).name),
      told,
    );
  }
  assert(repaired > 2_000, `${repaired} were repaired`);
});
