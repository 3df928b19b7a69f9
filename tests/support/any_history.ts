// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Conversations as no client should send them: nameless calls, results without calls, ids that come
 * again, fields of every type, texts that are cut in half.
 *
 * @module
 */
import fc from "fast-check";

type Any = fc.Arbitrary<unknown>;

/** JSON that stands where something else should. */
const odd: Any = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    5,
    1e21,
    "",
    " ",
    "\0",
    "\ud800",
    "__proto__",
    "undefined",
    [],
    {},
    [null],
    ["w"],
    { name: "" },
    { toString: 1, then: 1, toJSON: 1 },
    { name: { name: "w" }, arguments: ["x"] },
  ),
  fc.jsonValue({ maxDepth: 2 }),
);

/** Usually what it should be. */
const mostly = (usual: Any, weight = 12): Any =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: odd });

/** A text with a word of its own, whose end may be half of a surrogate pair. */
const text = fc.tuple(
  fc.nat(1e9),
  fc.constantFrom(
    "",
    " ",
    "\ud83d",
    "\udc00\ud83d",
    "👩‍👩‍👧",
    "\0",
    "\u2028",
    '\\"',
    "\\ud800",
    "\ufeff",
  ),
).map(([number, end]) => `word${number}${end}`);
const content: Any = fc.oneof(text, fc.constantFrom("", null, undefined));

/** A JSON text as it may be cut, wrapped and nested. */
const json: fc.Arbitrary<string> = fc.oneof(
  text.map((value) => JSON.stringify({ value })),
  text.map((value) => JSON.stringify(JSON.stringify({ value }))),
  text.map((value) => JSON.stringify({ value }).slice(0, -2)),
  text.map((value) => JSON.stringify([value])),
  text.map((value) => `${'{"a":'.repeat(70)}${JSON.stringify(value)}${"}".repeat(70)}`),
  text.map((value) => `{"id":12345678901234567890,"${value.replace(/\W/g, "")}\\udc00":"\\ud83d"}`),
  fc.constantFrom("", " ", "{}", "[]", "null", '""', "1", "12345678901234567890", "{", "\ufeff{}"),
  text,
);

const name: Any = mostly(
  fc.constantFrom(
    "w",
    "a/b",
    "a_b",
    "web_search",
    "unnamed_function",
    "время",
    "\ud800",
    "x".repeat(99),
  ),
  4,
);
const id = mostly(
  fc.constantFrom("a", "b", "c", "", null, "\ud800", `call_gs${"A".repeat(22)}00000000`),
  40,
);
const asked = mostly(fc.record({ name, arguments: mostly(json, 6) }, { requiredKeys: [] }), 8);

const call: Any = mostly(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ id, type: fc.constant("function"), function: asked }, {
        requiredKeys: [],
      }),
    },
    { weight: 1, arbitrary: fc.record({ id, name, arguments: json }, { requiredKeys: [] }) },
    {
      weight: 1,
      arbitrary: fc.record({
        id,
        type: fc.constant("custom"),
        custom: mostly(fc.record({ name, input: json }), 4),
      }),
    },
  ),
  40,
);

const part: Any = mostly(
  fc.oneof(
    {
      weight: 20,
      arbitrary: fc.record({ type: fc.constant("text"), text: mostly(text) }, {
        requiredKeys: ["type"],
      }),
    },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("refusal"), refusal: mostly(text) }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("image_url", "input_audio", "file", "video", "").chain((type) =>
        fc.record({ type: fc.constant(type), [type]: odd })
      ),
    },
  ),
  40,
);
const contents = mostly(
  fc.oneof({ weight: 3, arbitrary: content }, {
    weight: 1,
    arbitrary: fc.array(part, { maxLength: 3 }),
  }),
  60,
);
const calls = fc.array(call, { maxLength: 4 });

const result: Any = fc.record({
  role: fc.constantFrom("tool", "tool", "function"),
  tool_call_id: mostly(fc.constantFrom("a", "b", "c", "", "z"), 30),
  name: mostly(fc.constantFrom("w", "a/b", "web_search", "", "нет", null), 30),
  content: fc.oneof({ weight: 3, arbitrary: json }, { weight: 1, arbitrary: contents }),
}, { requiredKeys: ["role"] });
const assistant: Any = fc.record({
  role: fc.constant("assistant"),
  content: contents,
  tool_calls: mostly(calls, 30),
  function_call: mostly(asked, 2),
  refusal: mostly(text),
  functions_state_id: mostly(text),
}, { requiredKeys: ["role"] });
const other: Any = fc.record({
  role: mostly(
    fc.constantFrom("user", "system", "developer", "model", "User", "constructor"),
    30,
  ),
  content: contents,
  name: mostly(text, 30),
  tool_calls: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: calls },
  ),
  function_call: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: asked },
  ),
  audio: fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: odd }),
}, { requiredKeys: ["role"] });
/** Any field of any message may have any type. */
const nonsense: Any = fc.tuple(
  fc.constantFrom("user", "system", "assistant", "tool"),
  fc.dictionary(
    fc.constantFrom(
      "role",
      "content",
      "tool_calls",
      "audio",
      "attachments",
      "name",
      "function_call",
    ),
    odd,
  ),
).map(([role, fields]) => ({ role, ...fields }));

const message: Any = fc.oneof(
  { weight: 12, arbitrary: assistant },
  { weight: 12, arbitrary: result },
  { weight: 8, arbitrary: other },
  { weight: 1, arbitrary: mostly(nonsense, 4) },
);

/** The `messages` of a request. */
export const anyHistory: fc.Arbitrary<unknown> = mostly(
  fc.array(message, { minLength: 1, maxLength: 8 }),
  40,
);
