// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { maxMessages } from "../core/chat.ts";
import { ask, startRouter } from "./support/router.ts";
import { startUpstream, wholeAnswer } from "./support/upstream.ts";

const user = { role: "user", content: "hi" };
const withMessage = (message: unknown) => ({ messages: [user, message] });
const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };

/** The field that is wrong, and values that make it so. */
const wrong: [param: string | null, bodies: object[]][] = [
  ["model", [{ model: undefined }, { model: null }, { model: "" }, { model: 5 }, { model: ["a"] }]],
  ["model", [{ model: "x".repeat(257) }, { model: {} }]],
  ["models", [{ models: [] }, { models: "echo" }, { models: {} }, { models: Array(33).fill("a") }]],
  ["models[1]", [{ models: ["echo", ""] }, { models: ["echo", 5] }, { models: ["echo", null] }]],
  ["messages", [{ messages: undefined }, { messages: null }, { messages: [] }, { messages: "hi" }]],
  ["messages", [{ messages: { role: "user" } }, { messages: Array(maxMessages + 1).fill(user) }]],
  ["messages[1]", [null, "hi", 5, [], true].map(withMessage)],
  ["messages[1].role", [{ content: "hi" }, { role: "" }, { role: 5 }].map(withMessage)],
  ["messages[1].content", [5, true, {}].map((content) => withMessage({ ...user, content }))],
  [
    "messages[1].content[0]",
    [5, null, "hi", []].map((part) => withMessage({ ...user, content: [part] })),
  ],
  [
    "messages[1].content[1].type",
    [{}, { type: 5 }, { type: null }].map((part) =>
      withMessage({ ...user, content: [{ type: "text", text: "hi" }, part] })
    ),
  ],
  ["messages[1].name", [5, {}, []].map((name) => withMessage({ ...user, name }))],
  [
    "messages[1].tool_calls",
    [5, {}, "x"].map((calls) => withMessage({ role: "assistant", tool_calls: calls })),
  ],
  [
    "messages[1].tool_calls[0].id",
    [{ id: 5 }, { id: {} }].map((wrongCall) =>
      withMessage({ role: "assistant", tool_calls: [wrongCall, call] })
    ),
  ],
  ["messages[1].tool_call_id", [5, {}].map((id) => withMessage({ ...user, tool_call_id: id }))],
  ["stream", [{ stream: "true" }, { stream: 1 }, { stream: {} }]],
  ["stream_options", [{ stream_options: 5 }, { stream_options: [] }, { stream_options: "x" }]],
  ["stream_options.include_usage", [{ stream_options: { include_usage: "yes" } }]],
  ["max_tokens", [0, -1, 1.5, "5", [], 1e300].map((n) => ({ max_tokens: n }))],
  ["max_completion_tokens", [{ max_completion_tokens: 0 }, { max_completion_tokens: "many" }]],
  ["n", [{ n: 0 }, { n: 0.5 }, { n: "2" }]],
  ["temperature", [{ temperature: "hot" }, { temperature: {} }, { temperature: true }]],
  ["top_p", [{ top_p: "x" }]],
  ["presence_penalty", [{ presence_penalty: [] }]],
  ["frequency_penalty", [{ frequency_penalty: {} }]],
  ["stop", [{ stop: 5 }, { stop: {} }, { stop: true }]],
  ["stop[1]", [{ stop: ["a", 5] }, { stop: ["a", null] }]],
  ["tools", [{ tools: 5 }, { tools: {} }, { tools: "x" }]],
  ["tools[0]", [{ tools: [null] }, { tools: ["x"] }, { tools: [[]] }]],
  ["tools[1].type", [{ tools: [{ type: "function" }, {}] }, {
    tools: [{ type: "a" }, { type: 5 }],
  }]],
];

Deno.test("a wrong field is refused with 400 and its name", async () => {
  await using router = await startRouter({ API_RATE_LIMIT: "1000" });
  for (const [param, bodies] of wrong) {
    for (const rest of bodies) {
      const body = { model: "echo", messages: [user], ...rest };
      const response = await router.chat(body);
      const { error } = await response.json();
      const shown = JSON.stringify(rest).slice(0, 100);
      assertEquals(
        [response.status, error.param, error.code, error.type],
        [400, param, "invalid_request", "invalid_request_error"],
        `${shown}: ${error.message}`,
      );
      assertStringIncludes(error.message, `"${param}" `, shown);
    }
  }
});

Deno.test("a body that is no JSON object is refused with 400 and a cure", async () => {
  await using router = await startRouter();
  const bytes = (...values: number[]) => new Uint8Array(values);
  const bodies: [BodyInit, RegExp][] = [
    ["", /not valid JSON/],
    ["{", /not valid JSON/],
    ['{"model":"echo",}', /not valid JSON/],
    ["hello", /not valid JSON/],
    [bytes(0x7b, 0xff, 0x7d), /not valid UTF-8/],
    [bytes(0x22, 0xed, 0xa0, 0x80, 0x22), /not valid UTF-8/],
    [bytes(0xff, 0xfe, 0x7b, 0, 0x7d, 0), /not valid UTF-8/],
    ["null", /JSON object/],
    ["5", /JSON object/],
    ['"text"', /JSON object/],
    ["[]", /JSON object/],
    [`[${JSON.stringify(ask("echo"))}]`, /JSON object/],
  ];
  for (const [body, message] of bodies) {
    const response = await router.chat("", { body });
    const { error } = await response.json();
    assertEquals([response.status, error.code, error.param], [400, "invalid_request", null]);
    assertMatch(error.message, message);
  }
});

Deno.test("only uncompressed JSON is taken, and the answer says so", async () => {
  await using router = await startRouter();
  const send = async (headers: Record<string, string>) => {
    const response = await router.chat(ask("echo"), { headers });
    const { error } = await response.json();
    return [response.status, error?.code];
  };
  const types = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/jsonp",
    "json",
    "",
  ];
  for (const type of types) {
    assertEquals(await send({ "content-type": type }), [415, "unsupported_media_type"], type);
  }
  for (const encoding of ["gzip", "br", "identity, gzip"]) {
    assertEquals(await send({ "content-encoding": encoding }), [415, "unsupported_media_type"]);
  }
  for (
    const type of ["application/json", "Application/JSON; charset=UTF-8", "application/json ;a"]
  ) {
    assertEquals(await send({ "content-type": type }), [200, undefined], type);
  }
});

Deno.test("fields that XRouter does not know, and known ones as they are, reach the provider", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env);
  const body = {
    model: "vendor-model",
    messages: [
      { role: "developer", content: "Be short", weight: 1 },
      { role: "user", name: "ann", content: [{ type: "text", text: "hi", cache: { ttl: 5 } }] },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ ...call, extra: true }],
        audio: { id: 1 },
      },
      { role: "tool", tool_call_id: "call_1", content: "{}" },
    ],
    temperature: 0,
    max_tokens: 5,
    stop: ["a", "b"],
    tools: [{ type: "function", function: { name: "f", strict: true } }, { type: "web_search" }],
    tool_choice: { type: "function", function: { name: "f" } },
    response_format: { type: "json_schema", json_schema: { name: "s", schema: {} } },
    seed: -1,
    logit_bias: { "50256": -100 },
    future_field: { deep: [null, { "": "empty key" }, "\ud83d\ude00", "\u0000"] },
    "ключ": "значение",
    constructor: 1,
  };
  const text = JSON.stringify(body).replace("{", '{"__proto__":{"polluted":true},');
  assertEquals(await statusOf(router.chat(text)), 200);
  assertEquals(vendor.seen[0]!.body, JSON.parse(text));
  // deno-lint-ignore no-explicit-any
  assertEquals(({} as any).polluted, undefined);
});

Deno.test("of a field that stands twice the last one counts, for the check and for the provider", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env);
  const messages = '"messages":[{"role":"user","content":"hi"}]';
  const twice = `{"model":5,"model":"vendor-model",${messages},"n":"x","n":2}`;
  assertEquals(await statusOf(router.chat(twice)), 200);
  assertEquals(vendor.seen[0]!.body.n, 2);
  const { error } = await (await router.chat(`{"model":"echo","model":5,${messages}}`)).json();
  assertEquals(error.param, "model");
  assert(vendor.seen.length === 1);
});

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}
