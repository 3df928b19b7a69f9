import { assert, assertEquals, assertLess, assertStrictEquals } from "@std/assert";
import { encode } from "../../providers/gigachat/encode.ts";
import { needsPlainSchemas, plainSchema, SchemaBudget } from "../../providers/gigachat/schema.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, bodyOf, connectTo } from "../support/fake_gigachat_call.ts";
import { schemaProblem } from "../support/fake_gigachat_parameters.ts";
import { seededRandom } from "../support/random.ts";
import { randomSchema } from "../support/random_schema.ts";

type Schema = Record<string, unknown>;

const text = { type: "string" };
const plain = (schema: Schema) => plainSchema(schema, new SchemaBudget());
const object = (properties: Schema, more: Schema = {}) => ({ type: "object", properties, ...more });

const cases: [what: string, given: Schema, sent: Schema, changed: boolean][] = [
  ["gives objects properties", { type: "object" }, object({}), false],
  [
    "gives nested objects properties and arrays items",
    object({ a: { type: "object" }, b: { type: "array" } }),
    object({ a: object({}), b: { type: "array", items: text } }),
    true,
  ],
  [
    "writes references out",
    object({ a: { $ref: "#/$defs/A", description: "own" } }, {
      $defs: { A: { type: "string", description: "other" } },
    }),
    object({ a: { type: "string", description: "own" } }),
    false,
  ],
  [
    "writes the same reference out twice",
    object({ a: { $ref: "#/$defs/A" }, b: { $ref: "#/$defs/A" } }, { $defs: { A: text } }),
    object({ a: text, b: text }),
    false,
  ],
  [
    "cuts a reference that leads round",
    object({ child: { $ref: "#" } }),
    object({ child: object({ child: object({}) }) }),
    true,
  ],
  [
    "cuts a list of itself",
    {
      $ref: "#/$defs/Node",
      $defs: { Node: object({ next: { anyOf: [{ $ref: "#/$defs/Node" }, { type: "null" }] } }) },
    },
    object({ next: { type: "string" } }),
    true,
  ],
  ["takes null out of a type", { type: ["string", "null"] }, text, false],
  ["takes null out of anyOf", { anyOf: [text, { type: "null" }], title: "T" }, {
    ...text,
    title: "T",
  }, false],
  ["takes the first of several types", { type: ["integer", "string"] }, { type: "integer" }, true],
  [
    "joins alternatives of words",
    { oneOf: [{ const: "a" }, { enum: ["b", "c"] }] },
    { type: "string", enum: ["a", "b", "c"] },
    false,
  ],
  [
    "joins alternatives of objects",
    {
      anyOf: [
        object({ kind: { const: "a" }, x: text }, { required: ["kind", "x"] }),
        object({ kind: { const: "b" }, y: text }, { required: ["kind", "y"] }),
      ],
    },
    object({ kind: { type: "string", enum: ["a", "b"] }, x: text, y: text }, {
      required: ["kind"],
    }),
    true,
  ],
  [
    "joins all of several",
    { allOf: [object({ a: text }, { required: ["a"] }), object({ b: text }, { required: ["b"] })] },
    object({ a: text, b: text }, { required: ["a", "b"] }),
    false,
  ],
  [
    "says numbers of an enum in words",
    { type: "integer", enum: [1, 2], description: "Level" },
    { type: "integer", description: "Level. One of: 1, 2" },
    true,
  ],
  ["keeps a word that is a constant", { const: "x" }, { type: "string", enum: ["x"] }, false],
  ["takes null out of an enum", { enum: ["a", null] }, { type: "string", enum: ["a"] }, false],
  [
    "says unknown formats in words",
    { type: "string", format: "email" },
    { type: "string", description: "Format: email" },
    true,
  ],
  ["keeps dates", { type: "string", format: "date" }, { type: "string", format: "date" }, false],
  [
    "joins the items of a tuple",
    { type: "array", prefixItems: [{ type: "integer" }, { type: "integer" }] },
    { type: "array", items: { type: "integer" } },
    true,
  ],
  [
    "requires only what is there",
    object({ a: text, no: false }, { required: ["a", "b", "no", 5] }),
    object({ a: text }, { required: ["a"] }),
    false,
  ],
  [
    "keeps limits, and drops what it does not know",
    object({ a: { type: "integer", minimum: 1 } }, {
      additionalProperties: false,
      patternProperties: { "^x": text },
    }),
    object({ a: { type: "integer", minimum: 1 } }, { additionalProperties: false }),
    true,
  ],
];
for (const [what, given, sent, changed] of cases) {
  Deno.test(`plainSchema ${what}`, () => {
    const before = structuredClone(given);
    assertEquals(plain(given), { schema: sent, changed });
    assertEquals(given, before);
  });
}

Deno.test("plainSchema keeps a property called __proto__", () => {
  const given = JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}}}');
  assertEquals(JSON.stringify(plain(given).schema), JSON.stringify(given));
});

Deno.test("whatever schema comes, GigaChat takes what goes out", () => {
  const random = seededRandom();
  let strange = 0;
  for (let round = 0; round < 4_000; round++) {
    const given = randomSchema(random);
    if (typeof given !== "object" || given === null || Array.isArray(given)) continue;
    const told = JSON.stringify(given);
    if (schemaProblem(given, []) !== undefined) strange++;
    const budget = new SchemaBudget();
    // The less a schema may grow, the more of them can be tried.
    budget.left = 300;
    const { schema } = plainSchema(given as Schema, budget);
    assertEquals(schemaProblem(schema, []), undefined, told);
    assertEquals(JSON.stringify(given), told);
    // What is in the small language stays as it is.
    assertEquals(plain(schema), { schema, changed: false }, told);
  }
  assert(strange > 2_000, `${strange} were strange`);
});

Deno.test("references cannot make a small schema big, nor deep", () => {
  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => {
      const next = { $ref: `#/$defs/d${at + 1}` };
      return [`d${at}`, object({ a: next, b: next, c: { anyOf: [next, next] } })];
    }),
  );
  const long = Object.fromEntries(
    Array.from({ length: 20_000 }, (_, at) => [`d${at}`, { $ref: `#/$defs/d${at + 1}` }]),
  );
  const many = { anyOf: Array.from({ length: 3_000 }, () => object({ a: text })) };
  const wide = { anyOf: Array.from({ length: 30_000 }, () => object({ a: text })) };
  const texts = { $ref: "#/$defs/t", $defs: { t: { description: "x".repeat(1_000_000) } } };
  for (
    const schema of [
      { $ref: "#/$defs/d0", $defs: doubling },
      { $ref: "#/$defs/d0", $defs: long },
      object({ a: wide }),
      object({ a: many }),
      object(Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`p${at}`, texts]))),
    ]
  ) {
    const { schema: sent, changed } = plain(schema);
    assertEquals([schemaProblem(sent, []), changed], [undefined, true]);
    assertLess(JSON.stringify(sent).length, 20_000_000);
  }
});

Deno.test("a schema that comes again is not written again, and takes the same of the budget", () => {
  const again = () => object({ name: { type: "string", description: "x".repeat(512) } });
  const [first, second] = [new SchemaBudget(), new SchemaBudget()];
  assertStrictEquals(plainSchema(again(), first).schema, plainSchema(again(), second).schema);
  assertEquals([first.left, second.left], [10_000 - 4 - 1 / 32, 10_000 - 4 - 1 / 32]);
  assert(plain({ ...again(), title: "other" }).schema !== plain(again()).schema);
});

Deno.test("a schema is cut by the budget of its own request, whoever sent it before", () => {
  const deep = (title: string) => object({ a: object({ b: object({ c: text }) }) }, { title });
  const little = () => Object.assign(new SchemaBudget(), { left: 2 });
  const cut = (title: string) => object({ a: object({ b: object({}) }) }, { title });
  for (const [title, budgets] of [["long", [1, 0, 1]], ["short", [0, 1, 0]]] as const) {
    for (const isEnough of budgets) {
      const { schema, changed } = plainSchema(
        deep(title),
        isEnough ? new SchemaBudget() : little(),
      );
      assertEquals([schema, changed], isEnough ? [deep(title), false] : [cut(title), true]);
    }
  }
});

Deno.test("schemas whose texts are the same become the same, whichever comes first", () => {
  const endless = () => JSON.parse('{"type":"number","minimum":1e400}');
  const none = () => ({ type: "number", minimum: null });
  const sent = { schema: { type: "number" }, changed: true };
  assertEquals([plain(endless()), plain(none()), plain(endless())], [sent, sent, sent]);
});

Deno.test("schemas are written plainly for the models that need it, unless a setting says else", () => {
  for (
    const [model, needed] of [
      ["GigaChat", true],
      ["GigaChat-2-Max", true],
      ["GigaChat-3-Lightning", true],
      ["GigaChat-3-Lightning-preview", true],
      ["GigaChat-3-Pro", false],
      ["GigaChat-3-Ultra-preview", false],
      ["glm-5.2", true],
    ] as const
  ) {
    assertEquals(needsPlainSchemas(model), needed, model);
    assertEquals([needsPlainSchemas(model, "strict"), needsPlainSchemas(model, "as-is")], [
      true,
      false,
    ]);
  }
  const parameters = object({ a: { anyOf: [text, { type: "integer" }] }, b: { type: "object" } });
  const tools = [{ type: "function", function: { name: "w", parameters } }];
  for (
    const [schemas, model, same] of [[undefined, "GigaChat-2", false], [
      "as-is",
      "GigaChat-2",
      true,
    ], ["strict", "GigaChat-3-Ultra", false]] as const
  ) {
    const replyHeaders: Record<string, string> = {};
    const call = callOf({ replyHeaders, settings: { schemas } });
    const [sent] = encode(bodyOf({ model, tools }), call).functions as Schema[];
    const written = object({ a: text, b: object({}) });
    assertEquals(sent!.parameters, same ? parameters : written);
    assertEquals(
      replyHeaders["x-xrouter-changed"],
      same ? undefined : "tools[0].function.parameters",
    );
  }
});

Deno.test("every model takes its schemas, and the setting reaches them", async () => {
  await using fake = await startFakeGigachat();
  const parameters = object({ a: { anyOf: [object({}), { type: "null" }] }, b: {} });
  const schema = { $ref: "#/$defs/a", $defs: { a: { type: "string" } } };
  const question = {
    tools: [{ type: "function", function: { name: "w", parameters } }],
    // deno-lint-ignore camelcase -- OpenAI's name
    response_format: { type: "json_schema", json_schema: { name: "x", schema } },
  };
  fake.reply = () => ({ content: '"да"' });
  using auto = connectTo(fake);
  for (const model of fake.models) await ask(auto, { ...question, model });
  const asIs = fake.chats.filter((chat) => JSON.stringify(chat).includes("$defs"));
  assertEquals(asIs.map(({ model }) => model), ["GigaChat-3-Pro", "GigaChat-3-Ultra"]);
  using strict = connectTo(fake, { GIGACHAT_SCHEMAS: "strict" });
  await ask(strict, { ...question, model: "GigaChat-3-Ultra" });
  assertEquals(fake.chats.at(-1)!.response_format, { type: "json_schema", schema: text });
});
