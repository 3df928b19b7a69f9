// deno-lint-ignore-file camelcase -- the names of the wire
/** Calls, results, roles and texts that are broken are repaired, and that is said. */
import { assertEquals } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { encodeV2 } from "../../providers/gigachat/v2/encode.ts";
import { callOf } from "../support/call.ts";
import { bodyOf } from "../support/fake_gigachat_call.ts";
import { checkChat } from "../support/fake_gigachat_rules.ts";

type Message = ChatBody["messages"][number];

const q = { role: "user", content: "q" };
/** An assistant's message with calls, whatever they hold. */
const asks = (...calls: unknown[]) =>
  ({ role: "assistant", content: null, tool_calls: calls }) as unknown as Message;
const asked = (called: unknown) => ({ id: "a", type: "function", function: called });
const result = (content: string, rest = {}) => ({
  role: "tool",
  tool_call_id: "a",
  content,
  ...rest,
});
/** A call and its result on GigaChat's wire. */
const pair = (name: string, given: unknown = {}, content = '{"result":1}') => [
  { role: "assistant", content: "", function_call: { name, arguments: given } },
  { role: "function", name, content },
];
const tool = (name: string) => ({ type: "function", function: { name } });
const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;

/** What is sent for a question, and what is named as changed. */
function sent(question: Partial<ChatBody>) {
  const changed: string[] = [];
  const call = { ...callOf(), changed: (field: string) => void changed.push(field) };
  const chat = JSON.parse(JSON.stringify(encode(bodyOf(question), call)));
  assertEquals(checkChat(chat), undefined);
  return { messages: chat.messages, changed: [...new Set(changed)].join() };
}

const call = "messages[1].tool_calls[0]";
const cases: [what: string, given: Message[], encoded: unknown[], changed: string][] = [
  [
    "a call without a name has that of its result",
    [q, asks(asked({ arguments: '{"x":1}' })), result("1", { name: "a/b" })],
    [q, ...pair("a_b", { x: 1 })],
    `${call}.function.name`,
  ],
  [
    "a call and a result without a name say what they hold",
    [q, asks(asked({ name: "", arguments: '{"x":1}' })), result("1", { name: "" })],
    [q, ...pair("unnamed_function", { x: 1 })],
    `${call}.function.name`,
  ],
  [
    "a call that holds nothing is one of an unnamed function",
    [q, asks({ id: "a", type: "function" }), result("1")],
    [q, ...pair("unnamed_function")],
    `${call}.function.name`,
  ],
  [
    "a call whose function is no object tells it as its arguments",
    [q, asks(asked("w")), result("1")],
    [q, ...pair("unnamed_function", { arguments: "w" })],
    `${call}.function.name,${call}.function.arguments`,
  ],
  [
    "a name of the wrong type is none",
    [q, asks(asked({ name: 5, arguments: { x: 1 } })), result("1")],
    [q, ...pair("unnamed_function", { x: 1 })],
    `${call}.function.name`,
  ],
  [
    "a call without its function says the name and the arguments itself",
    [q, asks({ id: "a", name: "w", arguments: '{"x":1}' }), result("1")],
    [q, ...pair("w", { x: 1 })],
    call,
  ],
  [
    "a call without its function and its name has its arguments still",
    [q, asks({ id: "a", arguments: '{"x":1}' }), result("1")],
    [q, ...pair("unnamed_function", { x: 1 })],
    call,
  ],
  [
    "a call of a custom tool is a function's, its text the arguments",
    [
      q,
      asks({ id: "a", type: "custom", custom: { name: "sql", input: "SELECT" } }),
      result("1"),
    ],
    [q, ...pair("sql", { arguments: "SELECT" })],
    `${call}.custom`,
  ],
  [
    "a result with a name and no id answers a call without a name",
    [
      q,
      { role: "assistant", function_call: { arguments: "{}" } },
      { role: "function", name: "w", content: "1" },
    ],
    [q, ...pair("w")],
    "messages[1].function_call.name",
  ],
  [
    "the older form's name is mapped beside an empty list of calls",
    [
      q,
      { ...asks(), function_call: { name: "a/b", arguments: "{}" } },
      { role: "function", name: "a/b", content: "1" },
    ],
    [q, ...pair("a_b")],
    "",
  ],
  [
    "of both forms of calls the newer counts",
    [q, { ...asks(asked({ name: "w" })), function_call: { name: "v" } }, result("1")],
    [q, ...pair("w")],
    "messages[1].function_call",
  ],
  [
    "a role that nobody knows is the user's, or the assistant's where it calls",
    [{ role: "model", content: "q" }, { ...asks(asked({ name: "w" })), role: "ai" }, result("1")],
    [q, ...pair("w")],
    "messages[0].role,messages[1].role",
  ],
  [
    "calls of others than the assistant are left out",
    [{ ...asks(asked({ name: "w" })), ...q }, { ...result("1"), function_call: { name: "w" } }],
    [q, { role: "user", content: "Result of a tool: 1" }],
    "messages[0].tool_calls[0],messages[1].function_call,messages[1]",
  ],
  [
    "a part whose text is none is told as JSON",
    [{ role: "user", content: [{ type: "text", text: { value: "q" } }, { type: "text" }] }],
    [{ role: "user", content: '{"value":"q"}\n' }],
    "messages[0].content[0].text,messages[0].content[1].text",
  ],
  [
    "halves of surrogate pairs are replaced wherever they stand",
    [
      { role: "user", content: "q\ud83d" },
      { ...asks(asked({ name: "w", arguments: '{"\\udc00":"\\\\ud83d \\ud83d\\ude00"}' })) },
      result('{"t":"\\ud83d"}'),
    ],
    [
      { role: "user", content: "q\ufffd" },
      ...pair("w", { "\ufffd": "\\ud83d 😀" }, '{"t":"\\ufffd"}'),
    ],
    `messages[0].content,${call}.function.arguments,messages[2].content`,
  ],
  [
    "JSON that nests deeper than a request may is told as a text",
    [q, asks(asked({ name: "w", arguments: deep })), result(deep)],
    [q, ...pair("w", { arguments: deep }, JSON.stringify({ result: deep }))],
    `${call}.function.arguments`,
  ],
];
for (const [what, given, encoded, changed] of cases) {
  Deno.test(`broken histories: ${what}`, () => {
    const { messages, changed: named } = sent({ messages: given });
    assertEquals(messages, encoded);
    assertEquals(named, changed);
  });
}

Deno.test("broken histories: the name of what has none is no tool's, and comes back as it is", () => {
  const messages = [q, asks(asked({})), result("1")];
  const tools = [tool("unnamed_function")];
  assertEquals(sent({ messages, tools }).messages[1].function_call.name, "unnamed_function_2");
  const decoder = new GigachatDecoder(bodyOf({ messages, tools: [tool("w")] }));
  const message = { content: "", function_call: { name: "unnamed_function", arguments: {} } };
  const { choices } = decoder.whole({
    choices: [{ index: 0, message, finish_reason: "function_call" }],
  });
  assertEquals(choices[0]!.message!.tool_calls![0]!.function!.name, "unnamed_function");
});

Deno.test("broken histories: v2 keeps the calls of a turn together, nameless and foreign ones too", async () => {
  const replyHeaders: Record<string, string> = {};
  const settings = gigachatSettings.parse({ v2ToolRole: "tool" });
  const messages = [
    { ...asks(asked({ name: "lost" })), role: "user" },
    {
      ...asks(asked({}), { id: "b", custom: { name: "sql", input: "S" } }),
      role: "model",
    },
    { ...result("2"), tool_call_id: "b" },
    result(`{"id":12345678901234567890,"deep":${"[".repeat(9_999)}${"]".repeat(9_999)}}`),
    asks(asked({ name: "w" })),
    result("3"),
  ];
  const encoded = await encodeV2(
    bodyOf({ messages }),
    callOf({ settings, replyHeaders }) as never,
  );
  const sent = JSON.parse(JSON.stringify(encoded.messages)) as {
    role: string;
    content: object[];
  }[];
  assertEquals(
    sent.map(({ role, content }) => [role, ...content.map((part) => Object.keys(part)[0])]),
    [
      ["user", "text"],
      ["assistant", "function_call", "function_call"],
      ["tool", "function_result"],
      ["tool", "function_result"],
      ["assistant", "function_call"],
      ["tool", "function_result"],
    ],
  );
  assertEquals(
    replyHeaders["x-xrouter-changed"],
    "messages[0].tool_calls[0], messages[1].role, messages[1].tool_calls[0].function.name, messages[1].tool_calls[1].custom",
  );
});
