// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, bodyOf, connectTo, type Question } from "../support/fake_gigachat_call.ts";
import { differences } from "../support/fake_gigachat_schema.ts";

const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "Погода в городе",
    strict: true,
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const time = { type: "function", function: { name: "time" } };

/** The encoded fields as they reach the wire. */
function encoded(question: Question): Record<string, unknown> {
  return JSON.parse(JSON.stringify(encode(bodyOf(question), callOf())));
}

function refusal(question: Question): RouterError {
  const error = assertThrows(() => encode(bodyOf(question), callOf()), RouterError);
  assertEquals(error.code, "invalid_request");
  assertStringIncludes(error.message, `"${error.param}"`);
  return error;
}

Deno.test("encode sends a plain question as it is", () => {
  const messages: ChatBody["messages"] = [{ role: "user", content: "Привет" }];
  assertEquals(encoded({ messages, stream: true }), {
    model: "GigaChat-2",
    messages,
    stream: true,
  });
});

Deno.test("encode makes every content a string", () => {
  const { messages } = encoded({
    messages: [
      { role: "user", content: null, name: "Аня" },
      { role: "assistant", content: null, refusal: "Нет" },
      { role: "user" },
      { role: "assistant", content: [{ type: "refusal", refusal: "Нет" }] },
      { role: "user", content: "half \ud83d pair", attachments: ["file-id"] },
    ],
  });
  assertEquals(messages, [
    { role: "user", content: "" },
    { role: "assistant", content: "Нет" },
    { role: "user", content: "" },
    { role: "assistant", content: "Нет" },
    { role: "user", content: "half \ufffd pair", attachments: ["file-id"] },
  ]);
});

Deno.test("encode maps sampling and limits", () => {
  const rest = { model: "GigaChat-2", messages: [{ role: "user", content: "Привет" }] };
  assertEquals(encoded({ temperature: 0 }), { ...rest, temperature: 0.0001 });
  assertEquals(encoded({ temperature: 0.7, top_p: 0.5 }), {
    ...rest,
    temperature: 0.7,
    top_p: 0.5,
  });
  assertEquals(encoded({ max_tokens: 5, max_completion_tokens: 7 }), { ...rest, max_tokens: 7 });
  assertEquals(encoded({ max_tokens: 5 }), { ...rest, max_tokens: 5 });
  assertEquals(encoded({ max_tokens: 1e12 }), { ...rest, max_tokens: 2_147_483_647 });
  assertEquals(encoded({ temperature: null, top_p: null, max_tokens: null, stop: null }), rest);
  assertEquals(encoded({ reasoning_effort: "minimal" }), { ...rest, reasoning_effort: "low" });
  assertEquals(encoded({ reasoning_effort: "none" }), rest);
});

Deno.test("what GigaChat gets of an effort that it does not know is said to be changed", () => {
  for (const [effort, told] of [["minimal", 1], ["xhigh", 1], ["high", 0], ["none", 0]] as const) {
    const changed: string[] = [];
    const asked = { ...callOf(), changed: (path: string) => void changed.push(path) };
    encode(bodyOf({ reasoning_effort: effort }), asked);
    assertEquals(changed, told === 1 ? ["reasoning_effort"] : []);
  }
});

Deno.test("encode passes GigaChat's own fields and drops what does not change the answer", () => {
  const own = { repetition_penalty: 1.1, update_interval: 1, profanity_check: false, flags: ["x"] };
  const { model: _, messages: __, ...rest } = encoded({
    ...own,
    stream_options: { include_usage: true },
    parallel_tool_calls: true,
    models: ["GigaChat-2"],
    user: "u",
    metadata: {},
    store: true,
    service_tier: "auto",
    prompt_cache_key: "k",
    ...{ n: 1, stop: [], logprobs: false, top_logprobs: 0, logit_bias: {}, modalities: ["text"] },
    ...{ frequency_penalty: 0, presence_penalty: 0, tools: [], tool_choice: "auto" },
  });
  assertEquals(rest, own);
});

Deno.test("encode carries a schema of the answer", () => {
  const schema = { type: "object", properties: { a: { type: "string" } }, required: ["a"] };
  const json = { type: "json_schema", json_schema: { name: "x", schema, strict: true } };
  const native = { type: "json_schema", schema, strict: true };
  assertEquals(encoded({ response_format: json }).response_format, native);
  assertEquals(encoded({ response_format: native }).response_format, native);
  assertEquals(encoded({ response_format: { type: "text" } }).response_format, undefined);
  const path = "response_format.json_schema.schema";
  for (const given of [undefined, "x", [], { $ref: "#/$defs/none" }]) {
    const format = { type: "json_schema", json_schema: { name: "x", schema: given } };
    assertEquals(refusal({ response_format: format }).param, path);
  }
});

Deno.test("encode asks for any JSON object by a schema, and says so", () => {
  const replyHeaders: Record<string, string> = {};
  const call = callOf({ replyHeaders });
  const body = encode(bodyOf({ response_format: { type: "json_object" } }), call);
  assertEquals(body.response_format, {
    type: "json_schema",
    schema: { type: "object", properties: {} },
  });
  assertEquals(replyHeaders, { "x-xrouter-changed": "response_format" });
});

Deno.test("encode keeps stop for itself, and says so", () => {
  for (const [stop, changed] of [[".", "stop"], [["a", "b", "c", "d"], "stop"], ["", undefined]]) {
    const replyHeaders: Record<string, string> = {};
    const body = encode(bodyOf({ stop } as Question), callOf({ replyHeaders }));
    assertEquals([body.stop, replyHeaders["x-xrouter-changed"]], [undefined, changed]);
  }
});

Deno.test("encode leaves out by policy what GigaChat cannot do", () => {
  const asked: Question = {
    ...{ n: 2, seed: 1, logprobs: true, top_logprobs: 3, logit_bias: { "42": 1 } },
    ...{ frequency_penalty: 0.5, presence_penalty: -1, temperature: 1e999 },
    tools: [weather, time],
    tool_choice: "required",
  };
  for (const policy of ["warn", "drop"] as const) {
    const replyHeaders: Record<string, string> = {};
    const { messages: _, functions: __, ...rest } = encode(
      bodyOf(asked),
      callOf({ policy, replyHeaders }),
    );
    assertEquals(rest, { model: "GigaChat-2", temperature: 2, function_call: "auto" });
    const named = (replyHeaders["x-xrouter-changed"] ?? "").split(", ").sort();
    const { tools: ___, ...fields } = asked;
    // The policy has no say in what is only promised less.
    const strict = "tools[0].function.strict";
    assertEquals(named, policy === "drop" ? [strict] : [...Object.keys(fields), strict].sort());
  }
});

const refused: [Question, string][] = [
  [{ n: 2 }, "n"],
  [{ seed: 1 }, "seed"],
  [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
  [{ temperature: 2.1 }, "temperature"],
  [{ functions: {} }, "functions"],
  [{ functions: [{}] }, "functions[0].name"],
  [
    { tools: [{ type: "function", function: { name: "w", parameters: [] } }] },
    "tools[0].function.parameters",
  ],
  [{ logprobs: true }, "logprobs"],
  [{ top_logprobs: 3 }, "top_logprobs"],
  [{ frequency_penalty: 0.5 }, "frequency_penalty"],
  [{ presence_penalty: -1 }, "presence_penalty"],
  [{ logit_bias: { "42": 1 } }, "logit_bias"],
  [{ logit_bias: 5 }, "logit_bias"],
  [{ reasoning_effort: 5 }, "reasoning_effort"],
  [{ reasoning_effort: "banana" }, "reasoning_effort"],
  [{ modalities: ["text", "audio"] }, "modalities"],
  [{ audio: { voice: "alloy" } }, "audio"],
  [{ web_search_options: {} }, "web_search_options"],
  [{ response_format: "json" }, "response_format"],
  [{ response_format: {} }, "response_format.type"],
  [{ functions: [{ name: "w" }], function_call: { name: "x" } }, "function_call.name"],
  [{ functions: [{ name: "w" }], function_call: "required" }, "function_call"],
  [{ temperature: -1 }, "temperature"],
  [{ top_p: 1.5 }, "top_p"],
  [{ tools: [{ type: "custom", custom: { name: "x" } }] }, "tools[0].type"],
  [{ tools: [weather, { type: "function" }] }, "tools[1].function.name"],
  [{ tools: [weather, time], tool_choice: "required" }, "tool_choice"],
  [{ tools: [weather], tool_choice: { type: "custom" } }, "tool_choice"],
  [{ tools: [weather], tool_choice: { type: "allowed_tools" } }, "tool_choice.allowed_tools.mode"],
  [
    {
      tools: [weather],
      tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } },
    },
    "tool_choice.allowed_tools.tools",
  ],
  [
    {
      tools: [weather],
      tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [time] } },
    },
    "tool_choice.allowed_tools.tools[0].function.name",
  ],
  [{ tool_choice: "required" }, "tool_choice"],
  [
    { tools: [weather], tool_choice: { type: "function", function: { name: "none" } } },
    "tool_choice.function.name",
  ],
  [{ tools: [weather], functions: [weather.function] }, "functions"],
  [{ tools: [weather], function_call: "auto" }, "function_call"],
  [
    {
      messages: [
        { role: "user", content: "a" },
        {
          role: "user",
          content: [
            { type: "text", text: "what is this?" },
            { type: "video_url", video_url: { url: "https://example.com/a.mp4" } },
          ],
        },
      ],
    },
    "messages[1].content[1]",
  ],
  [{ messages: [{ role: "assistant", audio: { id: "a" } }] }, "messages[0].audio"],
];
for (const [question, param] of refused) {
  Deno.test(`encode refuses ${JSON.stringify(question).slice(0, 70)}`, () => {
    assertEquals(refusal(question).param, param);
  });
}

Deno.test("what gigachat sends and gets fits the published OpenAPI file", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  await ask(connection, {
    messages: [{ role: "user", content: "a" }, { role: "system", content: "b" }],
    tools: [weather],
    tool_choice: "required",
    temperature: 0,
    max_completion_tokens: 100,
  });
  const [chat] = fake.chats;
  assertEquals(differences("Chat", chat), []);
  const other = { ...chat, temperature: 0, max_tokens: "1" };
  assertEquals(differences("Chat", other).length, 2);
});
