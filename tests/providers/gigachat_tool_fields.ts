// deno-lint-ignore-file camelcase -- the names of the wire
/** The fields of OpenAI's tools, and how each is tried out. */
import { assertEquals } from "@std/assert";
import type { Fields, Seen } from "../support/field_probe.ts";
import type { RequestField } from "../support/field_verdict.ts";

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tool = (name: string, more: Fields = {}) => ({
  type: "function",
  function: { name, description: "Погода", parameters, ...more },
});
const tools = [tool("weather"), tool("time")];
const call = { name: "weather", arguments: { city: "Томск" } };

/** Whether GigaChat is to call one function. */
const forces = ({ version, sent }: Seen) =>
  version === "v1"
    ? assertEquals(sent.function_call, { name: "weather" })
    : assertEquals(sent.tool_config, { mode: "forced", function_name: "weather" });

/** The table's rows. */
export const toolRows: readonly RequestField[] = [
  {
    field: "tools[].function",
    ask: { tools: [tool("weather.now")] },
    saying: { calls: [{ ...call, name: "weather_now" }] },
    see: ({ version, sent, answer }) => {
      const [offered] = version === "v1"
        ? sent.functions as Fields[]
        : (sent.tools as { functions: { specifications: Fields[] } }[])[0]!.functions
          .specifications;
      assertEquals(offered, { name: "weather_now", description: "Погода", parameters });
      assertEquals(answer.choices[0]!.message?.tool_calls?.[0]?.function?.name, "weather.now");
    },
    note: "`functions`; names are mapped to such as GigaChat takes, and back",
  },
  {
    field: "tools[].function.strict",
    base: { tools },
    ask: { tools: [tool("weather", { strict: true }), tool("time")] },
    see: ({ changed }) => assertEquals(changed, ["tools[0].function.strict"]),
    note: "`x-xrouter-changed` names it",
  },
  {
    field: "tools[].custom",
    names: "tools[].type",
    ask: { tools: [{ type: "custom", custom: { name: "sql" } }] },
    note: 'GigaChat takes tools of type "function"',
  },
  {
    field: "tool_choice",
    value: "none",
    base: { tools },
    ask: { tools, tool_choice: "none" },
    see: ({ sent }) => assertEquals(JSON.stringify(sent).includes("weather"), false),
    note: "no function is shown",
  },
  {
    field: "tool_choice",
    value: "one function",
    base: { tools },
    ask: { tools, tool_choice: { type: "function", function: { name: "weather" } } },
    saying: { calls: [call] },
    see: forces,
    note: "passes",
  },
  {
    field: "tool_choice",
    value: "required, one tool",
    base: { tools: [tools[0]] },
    ask: { tools: [tools[0]], tool_choice: "required" },
    saying: { calls: [call] },
    see: forces,
    note: "that function is named",
  },
  {
    field: "tool_choice",
    value: "required, several tools",
    names: "tool_choice",
    base: { tools },
    ask: { tools, tool_choice: "required" },
    note: 'cannot be "required" with several tools at GigaChat: name one of them, or use "auto"',
  },
  {
    field: "tool_choice",
    value: "allowed_tools",
    base: { tools },
    ask: {
      tools,
      tool_choice: {
        type: "allowed_tools",
        allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "time" } }] },
      },
    },
    see: ({ sent }) => {
      const text = JSON.stringify(sent);
      assertEquals([text.includes("weather"), text.includes("time")], [false, true]);
    },
    note: "the others are not shown",
  },
  {
    field: "parallel_tool_calls",
    value: "false",
    base: { tools },
    ask: { tools, parallel_tool_calls: false },
    saying: { calls: [call, { name: "time", arguments: {} }] },
    see: ({ answer }) => assertEquals(answer.choices[0]!.message?.tool_calls?.length, 1),
    note: "one call an answer: the others are left out",
  },
  {
    field: "functions",
    ask: { functions: tools.map((each) => each.function) },
    saying: { calls: [call] },
    see: ({ answer }) =>
      assertEquals(answer.choices[0]!.message?.function_call, {
        name: "weather",
        arguments: '{"city":"Томск"}',
      }),
    note: "passes; the answer has `function_call` then",
  },
  {
    field: "function_call",
    base: { functions: tools.map((each) => each.function) },
    ask: { functions: tools.map((each) => each.function), function_call: { name: "weather" } },
    saying: { calls: [call] },
    see: forces,
    note: "passes",
  },
];
