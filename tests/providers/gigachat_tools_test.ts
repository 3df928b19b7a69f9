// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals } from "@std/assert";
import { encode } from "../../providers/gigachat/encode.ts";
import { callOf } from "../support/call.ts";
import { bodyOf, type Question } from "../support/fake_gigachat_call.ts";

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

Deno.test("encode turns tools into functions and the choice among them", () => {
  const functions = [
    {
      name: "weather",
      description: "Погода в городе",
      parameters: weather.function.parameters,
    },
    { name: "time", parameters: { type: "object", properties: {} } },
  ];
  const tools = [weather, time];
  const named = { type: "function", function: { name: "time" } };
  for (
    const [choice, sent] of [
      [undefined, "auto"],
      ["auto", "auto"],
      [named, { name: "time" }],
    ]
  ) {
    const body = encoded({ tools, tool_choice: choice, parallel_tool_calls: true });
    assertEquals(body.functions, functions);
    assertEquals(body.function_call, sent);
    assertEquals(
      [body.tools, body.tool_choice, body.parallel_tool_calls],
      Array(3).fill(undefined),
    );
  }
  assertEquals(encoded({ tools: [time], tool_choice: "required" }).function_call, { name: "time" });
  const none = encoded({ tools, tool_choice: "none" });
  assertEquals([none.functions, none.function_call], [undefined, "none"]);
  for (const mode of ["auto", "required"]) {
    const allowed = { type: "allowed_tools", allowed_tools: { mode, tools: [named] } };
    const body = encoded({ tools, tool_choice: allowed });
    assertEquals(body.functions, [functions[1]]);
    assertEquals(body.function_call, mode === "auto" ? "auto" : { name: "time" });
  }
});

Deno.test("encode names strictness, which GigaChat does not promise, as changed", () => {
  const changedBy = (question: Question) => {
    const replyHeaders: Record<string, string> = {};
    encode(bodyOf(question), callOf({ replyHeaders }));
    return replyHeaders["x-xrouter-changed"];
  };
  assertEquals(changedBy({ tools: [time, weather] }), "tools[1].function.strict");
  assertEquals(changedBy({ functions: [weather.function] }), "functions[0].strict");
  const lax = { ...weather, function: { ...weather.function, strict: false } };
  assertEquals(changedBy({ tools: [time, lax] }), undefined);
});

Deno.test("encode keeps what helps GigaChat's functions and OpenAI has no place for", () => {
  const few = [{ request: "Погода?", params: { city: "Москва" } }];
  const tool = { type: "function", function: { name: "w", few_shot_examples: few } };
  const [sent] = encoded({ tools: [tool] }).functions as Record<string, unknown>[];
  assertEquals(sent?.few_shot_examples, few);
});

Deno.test("encode passes the older functions as they are", () => {
  const { strict: _, ...function_ } = weather.function;
  const functions = [function_, { name: "text2image" }];
  const body = encoded({ functions, function_call: { name: "weather", partial_arguments: {} } });
  assertEquals(body.functions, functions);
  assertEquals(body.function_call, { name: "weather", partial_arguments: {} });
  assertEquals(encoded({ functions }).function_call, "auto");
  assertEquals(encoded({ function_call: "auto" }).function_call, "auto");
  const slashed = encoded({ functions: [{ name: "a/b" }], function_call: { name: "a/b" } });
  assertEquals(slashed.functions, [{
    name: "a_b",
    parameters: { type: "object", properties: {} },
  }]);
  assertEquals(slashed.function_call, { name: "a_b" });
});
