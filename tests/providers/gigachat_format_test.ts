// deno-lint-ignore-file camelcase -- the names of the wire
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { FenceStripper } from "../../providers/gigachat/fence_stripper.ts";
import { JsonSchema } from "../../providers/gigachat/json_schema.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open, readAll } from "../support/fake_gigachat_call.ts";
import { seededRandom } from "../support/random.ts";
import { ask as askFor, startRouter } from "../support/router.ts";

const schema = {
  type: "object",
  properties: {
    city: { type: "string" },
    degrees: { anyOf: [{ type: "integer" }, { type: "null" }] },
    near: { type: "array", items: { $ref: "#" } },
  },
  required: ["city"],
  additionalProperties: false,
};
const bySchema = { type: "json_schema", json_schema: { name: "weather", schema, strict: true } };
const byObject = { type: "json_object" };
const good = '{"city":"Москва","degrees":null,"near":[{"city":"Тверь","degrees":5}]}';

const documents: [format: object, said: string, heard: string | RegExp][] = [
  [bySchema, good, good],
  [bySchema, `\n \`\`\`json\n${good}\n\`\`\`\n`, good],
  [bySchema, `\`\`\`\r\n${good}\`\`\``, good],
  [bySchema, `<think>{}</think>\n${good}`, good],
  [bySchema, "Москва", /not the JSON/],
  [bySchema, "", /not the JSON/],
  [bySchema, `${good.slice(0, -1)}`, /not the JSON/],
  [bySchema, "[]", /does not fit the schema.*#: /],
  [bySchema, '{"degrees":5}', /does not fit the schema.*city/],
  [bySchema, '{"city":"x","near":[{"city":5}]}', /#\/near\/0\/city: .*"string"/],
  [bySchema, '{"city":"x","more":1}', /does not fit the schema/],
  [byObject, '{"any":["thing"]}', '{"any":["thing"]}'],
  [byObject, "[1]", /does not fit the schema/],
  [byObject, "Вот: {}", /not the JSON/],
  [{ type: "text" }, "Москва", "Москва"],
];
for (const [format, said, heard] of documents) {
  Deno.test(`${JSON.stringify(format).slice(8, 20)} of ${JSON.stringify(said).slice(0, 60)}`, async () => {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake);
    fake.reply = () => ({ content: said });
    for (const stream of [false, true]) {
      const read = async () => {
        const upstream = await open(connection, { response_format: format, stream });
        const replies = await readAll(upstream);
        return replies.flatMap(({ choices }) => choices)
          .map(({ delta, message }) => (delta ?? message)!.content ?? "").join("");
      };
      if (typeof heard === "string") assertEquals(await read(), heard);
      else {
        const error = await assertRejects(read, RouterError);
        assertEquals(error.code, "unfit_answer");
        assert(heard.test(error.message), error.message);
      }
    }
  });
}

Deno.test("an answer that does not fit its schema is asked for again, and shuts the model for nobody", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const messages = [{ role: "user", content: "?" }];
  fake.reply = () => ({ content: "Москва" });
  for (let i = 0; i < 6; i++) {
    const unfit = { model: "gigachat/GigaChat-2", messages, response_format: bySchema };
    const response = await router.chat(unfit);
    assertEquals([response.status, (await response.json()).error.code], [502, "unfit_answer"]);
  }
  assert(fake.chats.length > 6);
  const response = await router.chat({ model: "gigachat/GigaChat-2", messages });
  assertEquals(response.status, 200);
  await response.body!.cancel();
});

Deno.test("an answer that is no document by its nature is not checked", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const tools = [{ type: "function", function: { name: "w" } }];
  const functionCall = { name: "w", arguments: {} };
  for (const stream of [false, true]) {
    for (
      const [reply, more, reason] of [
        [{ content: '{"city":', finish: "length" }, {}, "length"],
        [{ content: "Не могу", finish: "blacklist" }, {}, "content_filter"],
        [{ content: "Смотрю", functionCall }, { tools }, "tool_calls"],
        [{ content: '{"city":"x"}' }, { stop: ":" }, "stop"],
      ] as const
    ) {
      fake.reply = () => reply;
      const question = { ...more, tools: [...tools], response_format: bySchema, stream };
      const replies = await readAll(await open(connection, question));
      const reasons = replies.flatMap(({ choices }) => choices.map((each) => each.finish_reason));
      assertEquals(reasons.filter(Boolean), [reason]);
    }
  }
});

Deno.test("an answer cut at stop has no call that came after it", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const tools = [{ type: "function", function: { name: "w" } }];
  fake.reply = () => ({ content: "Раз, два", functionCall: { name: "w", arguments: {} } });
  const { choices } = await ask(connection, { tools, stop: "два" });
  assertEquals(choices, [{
    index: 0,
    message: { role: "assistant", content: "Раз, " },
    finish_reason: "stop",
  }]);
});

Deno.test("a streamed document that turns out wrong ends with an error, never finished", async () => {
  await using fake = await startFakeGigachat();
  const heard = Promise.withResolvers<void>();
  async function* words() {
    yield '{"city":';
    await heard.promise;
    yield "5}";
  }
  fake.reply = () => ({ content: words() });
  await using router = await startRouter(fake.env);
  const question = { stream: true, response_format: bySchema };
  const response = await router.chat(askFor("gigachat/GigaChat-2-Max", "Погода?", question));
  assertEquals(response.headers.get("x-xrouter-changed"), "response_format.json_schema.schema");
  heard.resolve();
  const stream = await readWholeStream(response);
  assertEquals([stream.text, stream.done], ['{"city":', false]);
  assertStringIncludes(stream.events.at(-1)!.error!.message, "does not fit the schema");
  assertEquals((await router.usage()).map(({ state }) => state), ["failed"]);
});

Deno.test("a whole document that is wrong is asked for again", async () => {
  await using fake = await startFakeGigachat();
  const answers = ["Вот", '{"city":"x"}'];
  fake.reply = () => ({ content: answers.shift()! });
  await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "1" });
  const question = askFor("gigachat/GigaChat-3-Ultra", "?", { response_format: bySchema });
  const response = await router.chat(question);
  assertEquals(response.headers.get("x-xrouter-changed"), null);
  assertEquals((await response.json()).choices[0].message.content, '{"city":"x"}');
  assertEquals(fake.chats.length, 2);
});

for (const v2 of [false, true]) {
  for (const stream of [false, true]) {
    const where = `${v2 ? "v2" : "v1"}, ${stream ? "streamed" : "whole"}`;
    Deno.test(`what Sber counts of a document that does not fit is charged, ${where}`, async () => {
      await using fake = await startFakeGigachat();
      const usage = { prompt_tokens: 100, completion_tokens: 50, precached_prompt_tokens: 900 };
      fake.reply = () => ({ content: '{"wrong":1}', usage });
      const used = { input: 100, cached: 900, output: 50 };
      fake.v2.reply = () => ({ content: '{"wrong":1}', usage: used });
      await using router = await startRouter({
        ...fake.env,
        XROUTER_RETRIES: "0",
        ...v2 && { GIGACHAT_V2_MODELS: "GigaChat-2" },
      });
      const response = await router.chat(
        askFor("gigachat/GigaChat-2", "?", { response_format: bySchema, stream }),
      );
      await response.text();
      await router.stop();
      const [row] = await router.usage();
      assertEquals(
        [row!.state, row!.input_tokens, row!.cached_tokens, row!.output_tokens, row!.estimated],
        ["failed", 1_000, 900, 50, 0],
      );
      // 65 roubles a million; what was cached is free.
      assertEquals(row!.charged, 150 * 65);
    });
  }
}

Deno.test("a fence is taken off, however the text is cut", () => {
  const random = seededRandom();
  const texts: [text: string, inside: string][] = [
    ["```json\n{}\n```", "{}"],
    [" ```\n{}\n\n ```  \n", "{}"],
    ["```json  \r\n{`}", "{`}"],
    ["```json\n{} `` x\n```", "{} `` x"],
    ["``{}``", "``{}``"],
    ["```js", "```js"],
    ["```json {}```", "```json {}```"],
    ["{}\n```", "{}\n```"],
    ["  {}  ", "  {}  "],
  ];
  for (let round = 0; round < 3_000; round++) {
    const [text, inside] = texts[random(texts.length)]!;
    const stripper = new FenceStripper();
    let out = "";
    for (let at = 0; at < text.length;) {
      const next = at + random(4);
      out += stripper.push(text.slice(at, next));
      at = next;
    }
    assertEquals(out + stripper.end(), inside);
  }
});

Deno.test("no schema of a client makes a check take for ever", () => {
  const doubling = Object.fromEntries(
    Array.from({ length: 60 }, (_, at) => {
      const next = { $ref: `#/$defs/d${at + 1}` };
      return [`d${at}`, { anyOf: [next, next], properties: { a: next } }];
    }),
  );
  const last = { d60: { type: "integer" } };
  const evil = "a".repeat(60) + "!";
  const nested = JSON.parse("[".repeat(50_000) + "]".repeat(50_000));
  const checks: [object, unknown][] = [
    [{ $ref: "#/$defs/d0", $defs: { ...doubling, ...last } }, "x"],
    [{ $ref: "#/$defs/d0", $defs: { ...doubling, ...last } }, 5],
    [{ pattern: "^(a+)+$" }, evil],
    [{ patternProperties: { "^(a+)+$": false }, additionalProperties: false }, { [evil]: 1 }],
    [{ format: "url" }, `http://${evil}`],
    [{ format: "uri-template" }, evil],
    [{ $ref: "#" }, 1],
    [{ items: { $ref: "#" } }, nested],
    [{ $recursiveRef: "#" }, 1],
    [{ items: { enum: Array.from({ length: 100_000 }, (_, at) => at) } }, Array(10_000).fill(-1)],
    [{ anyOf: 5, properties: 5, required: "x", items: null, allOf: {} }, { x: 1 }],
  ];
  for (const [given, value] of checks) JsonSchema.of({ ...given }).problemOf(value);
  // What can be checked is.
  const mail = JsonSchema.of({ format: "email", pattern: "^x" });
  assertEquals(mail.problemOf("a@b.ru"), undefined);
  assert(mail.problemOf("a") !== undefined);
  const tree = JsonSchema.of({ properties: { left: { $ref: "#" }, value: { type: "integer" } } });
  assertEquals(tree.problemOf({ left: { left: { value: 1 } } }), undefined);
  assertStringIncludes(tree.problemOf({ left: { left: { value: "1" } } })!, "#/left/left/value");
});

Deno.test("a schema that comes again is not read again, and a wrong one is refused again", () => {
  const again = () => structuredClone(schema);
  assertStrictEquals(JsonSchema.of(again()), JsonSchema.of(again()));
  assert(JsonSchema.of({ ...schema, title: "other" }) !== JsonSchema.of(again()));
  for (let time = 0; time < 2; time++) assertThrows(() => JsonSchema.of({ $ref: "#/none" }), Error);
});

Deno.test("a schema whose nodes have long addresses is not remembered", () => {
  const nodes = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`p${at}`, {}]));
  const heavy = () => ({ properties: { ["x".repeat(2_000)]: { properties: nodes } } });
  assert(JsonSchema.of(heavy()) !== JsonSchema.of(heavy()));
  const one = heavy();
  assertStrictEquals(JsonSchema.of(one), JsonSchema.of(one));
});

Deno.test("a schema whose addresses would fill the memory is refused, in words", () => {
  const nodes = Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`p${at}`, {}]));
  const nested = (name: string) => () =>
    JsonSchema.of({ properties: { [name]: { items: nodes } } });
  assertThrows(nested("x".repeat(20_000)), Error, "Shorten them");
  assertThrows(nested("щ".repeat(2_000)), Error, "Shorten them");
  nested("x".repeat(1_000))();
});

Deno.test("the same schema stays as the client sent it", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: good });
  const before = structuredClone(bySchema);
  await ask(connection, { response_format: bySchema, model: "GigaChat-3-Ultra" });
  assertEquals(bySchema, before);
  assertEquals(fake.chats[0]!.response_format, { type: "json_schema", schema, strict: true });
});
