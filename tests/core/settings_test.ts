import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { z } from "zod";
import {
  commaList,
  readSettings,
  secret,
  secretsOf,
  setting,
  settingsOf,
  text,
  wholeNumber,
  withoutSecrets,
} from "../../core/settings.ts";

const schema = z.strictObject({
  perMinute: setting("LIMIT", z.number().positive().default(100), "Requests a minute"),
  key: setting("KEY", z.string().min(5).optional(), "The key", { secret: true }),
  hosts: setting("HOSTS", commaList.default([]), "Where to ask"),
  words: z.array(z.string()).optional(),
});

function read(env: Record<string, string>, file?: unknown) {
  return readSettings(schema, { env, file, at: "section" });
}

Deno.test("readSettings prefers the environment, then the file, then the default", () => {
  assertEquals(read({}, {}).value, { perMinute: 100, hosts: [] });
  assertEquals(read({}, { perMinute: 7 }).value?.perMinute, 7);
  assertEquals(read({ LIMIT: "8" }, { perMinute: 7 }).value?.perMinute, 8);
  assertEquals(read({ LIMIT: " 8 " }).value?.perMinute, 8);
});

Deno.test("readSettings takes an empty variable for one that is not set", () => {
  assertEquals(read({ LIMIT: "", KEY: "  " }, { perMinute: 7 }).value, {
    perMinute: 7,
    hosts: [],
  });
});

Deno.test("readSettings reads a list from either place", () => {
  assertEquals(read({ HOSTS: "a, b,,c " }).value?.hosts, ["a", "b", "c"]);
  assertEquals(read({}, { hosts: ["a", "b"] }).value?.hosts, ["a", "b"]);
});

Deno.test("readSettings takes a number in decimal digits, whatever the schema would make of others", () => {
  const schema = z.strictObject({
    count: setting("COUNT", wholeNumber(-5, 65_535).optional(), "A count"),
    share: setting("SHARE", z.coerce.number().default(1), "A share"),
  });
  const read = (env: Record<string, string>, file: unknown = {}) =>
    readSettings(schema, { env, file, at: "x" });
  assertEquals(read({ COUNT: "-5", SHARE: "0.25" }).value, { count: -5, share: 0.25 });
  assertEquals(read({}, { count: 7 }).value, { count: 7, share: 1 });
  for (const text of ["0x10", "1e3", "0b1", "+1", ".5", "1.", "1 0", "Infinity", "true"]) {
    assertEquals(read({ COUNT: text, SHARE: text }).problems.map(({ at }) => at), [
      "COUNT",
      "SHARE",
    ], text);
  }
  assertEquals(read({}, { count: true }).problems.map(({ at }) => at), ["x.count"]);
});

Deno.test("wholeNumber says one thing of each number that it refuses", () => {
  const refused: [number: unknown, said: string][] = [
    ["7", "must be a number"],
    [0, "must be at least 1"],
    [0.5, "must be at least 1"],
    [1.5, "must be a whole number"],
    [1e22, "must be at most 65535"],
  ];
  for (const [number, said] of refused) {
    const { issues } = wholeNumber(1, 65_535).safeParse(number).error!;
    assertEquals(issues.map(({ message }) => message), [said]);
  }
  assertEquals(wholeNumber(1).safeParse(1e22).error!.issues.length, 1);
  assertEquals(wholeNumber(0).parse(0), 0);
});

Deno.test("readSettings tells all problems at once, each with its place and purpose", () => {
  const { problems } = read(
    { LIMIT: "many", KEY: "abc" },
    { words: ["fine", 7], hosts: 7, colour: "red" },
  );
  const told = problems.map(({ at, message }) => `${at}: ${message}`);
  const about = (at: string) => told.filter((line) => line.startsWith(`${at}: `));
  assertEquals(told.length, 5);
  assertStringIncludes(about("LIMIT")[0]!, "It sets: Requests a minute");
  assertEquals(about("KEY"), ["KEY: has the wrong form. It sets: The key"]);
  assertEquals(about("section.words.1").length, 1);
  assertEquals(about("section.hosts"), ["section.hosts: must be a list. It sets: Where to ask"]);
  assertEquals(about("section"), [
    'section: unknown setting "colour". Known settings: "perMinute", "key", "hosts", "words"',
  ]);
});

Deno.test("readSettings never tells a secret's value", () => {
  for (const source of [read({ KEY: "abc" }), read({}, { key: "abc" }), read({}, { key: 123 })]) {
    assertEquals(source.problems.length, 1);
    assertEquals(/abc|123/.test(JSON.stringify(source.problems)), false);
  }
});

Deno.test("readSettings never tells a secret's value in the words of a check, nor of an error", () => {
  const secret = (schema: z.ZodType) =>
    z.strictObject({ pin: setting("PIN", schema, "The pin", { secret: true }) });
  const check = secret(
    z.number().refine((pin) => pin < 10, {
      error: ({ input }) => `"${input}" is no pin`,
    }),
  );
  const { problems } = readSettings(check, { env: { PIN: "987654321" }, file: {}, at: "section" });
  assertEquals(problems, [{ at: "PIN", message: '"[pin]" is no pin. It sets: The pin' }]);
  const document = secret(z.string().transform((text) => JSON.parse(text)));
  const error = assertThrows(
    () => readSettings(document, { env: { PIN: "geheim-1234" }, file: {}, at: "section" }),
    Error,
    "left out",
  );
  assertEquals(/geheim/.test(String(error.stack) + String(error.cause)), false);
});

Deno.test("readSettings refuses a section that is no object", () => {
  for (const section of [null, 7, "text", [1]]) {
    assertEquals(read({}, section).problems, [
      { at: "section", message: "must be an object with one field a setting" },
    ]);
  }
});

Deno.test("text and secret need not be set, and say what is wrong with them", () => {
  const schema = z.strictObject({
    id: text("ID", "The id", /^\w+$/, "must be a word"),
    word: text("WORD", "A word"),
    key: secret("KEY", "The key"),
  });
  const read = (env: Record<string, string>) => readSettings(schema, { env, file: {}, at: "x" });
  assertEquals(read({}), { value: {}, problems: [] });
  assertEquals(read({ ID: "a1", WORD: "a b" }).value, { id: "a1", word: "a b" });
  const { problems } = read({ ID: "a b", KEY: "CAN ARY" });
  assertEquals(problems.map(({ at }) => at), ["ID", "KEY"]);
  assertEquals(problems[0]!.message, "must be a word. It sets: The id");
  assertEquals(secretsOf(schema, { id: "a1", key: "k" }), [["key", "k"]]);
});

Deno.test("settingsOf lists what a schema declares", () => {
  const found = settingsOf(schema);
  assertEquals([...found.keys()], ["perMinute", "key", "hosts", "words"]);
  assertEquals(found.get("key")?.variable, "KEY");
  assertEquals(found.get("key")?.secret, true);
  assertEquals(found.get("words")?.variable, undefined);
  assertEquals(settingsOf(z.string()).size, 0);
});

Deno.test("withoutSecrets strikes out every place where a secret stands", () => {
  const settings = { perMinute: 5, key: "canary-1" };
  assertEquals(
    withoutSecrets("5 canary-1, Bearer canary-1", schema, settings),
    "5 [key], Bearer [key]",
  );
  // Where no key is needed, something is written into its place.
  assertEquals(withoutSecrets("no ollama-1", schema, { key: "ollama-" }), "no ollama-1");
  assertEquals(withoutSecrets("nothing", schema, { key: "" }), "nothing");
  assertEquals(withoutSecrets("nothing", schema, {}), "nothing");
});

Deno.test("readSettings refuses a secret that no header can carry, without telling it", () => {
  const schema = z.strictObject({
    key: setting("MY_KEY", z.string().optional(), "A key", { secret: true }),
  });
  for (const key of ["CAN\nARY", "CANARY-ключ", "CAN ARY", "CANARY\u0000"]) {
    const { problems } = readSettings(schema, { env: { MY_KEY: key }, file: {}, at: "x" });
    assertEquals(problems.map(({ at }) => at), ["MY_KEY"], key);
    assertEquals(JSON.stringify(problems).includes("ARY"), false, key);
  }
});

Deno.test("readSettings tells what no header can carry beside all else that is wrong", () => {
  const schema = z.strictObject({
    count: setting("COUNT", z.number().default(1), "A number"),
    key: secret("MY_KEY", "A key"),
    token: setting(
      "TOKEN",
      z.string().transform((token) => token.replace(/^Bearer /, "")).optional(),
      "A token",
      { secret: true },
    ),
    project: text("PROJECT", "A header"),
  }).refine(({ count }) => count !== 2, { path: ["count"], error: "must not be 2" });
  const right = { MY_KEY: "CANARY", TOKEN: "Bearer CANARY", PROJECT: "mine" };
  const wrong = { MY_KEY: "CAN ARY", TOKEN: "CAN ARY", PROJECT: "мой" };
  const variables = ["MY_KEY", "TOKEN", "PROJECT"] as const;
  for (const COUNT of ["1", "2", "many"]) {
    for (let mask = 0; mask < 1 << variables.length; mask++) {
      const bad = variables.filter((_, i) => mask & 1 << i);
      const env = {
        COUNT,
        ...right,
        ...Object.fromEntries(bad.map((name) => [name, wrong[name]])),
      };
      const read = readSettings(schema, { env, file: {}, at: "x", inHeaders: ["project"] });
      const expected = COUNT === "1" ? bad : ["COUNT", ...bad];
      assertEquals(read.problems.map(({ at }) => at), expected);
      assertEquals(read.value === undefined, expected.length > 0);
      assertEquals(JSON.stringify(read.problems).includes("ARY"), false);
    }
  }
});

const account = z.strictObject({
  name: z.string(),
  key: setting("UNUSED", z.string(), "A key", { secret: true }),
});
const nested = z.strictObject({
  keys: setting("KEYS", z.array(z.string()).optional(), "Keys", { secret: true }),
  accounts: z.array(account).default([]),
  password: setting(
    "PASSWORD",
    z.string().superRefine((text, { addIssue }) => {
      if (text.length < 4) addIssue(`"${text}" is too short`);
    }).optional(),
    "A password",
    { secret: true, anyLetters: true },
  ),
});

Deno.test("secretsOf finds the secrets in lists and in lists of objects", () => {
  const settings = {
    keys: ["k1", "k2", ""],
    accounts: [{ name: "a", key: "k3" }, null, { key: 7 }],
  };
  assertEquals(secretsOf(nested, settings), [
    ["keys", "k1"],
    ["keys", "k2"],
    ["key", "k3"],
    ["key", "7"],
  ]);
  assertEquals(withoutSecrets("k1 k2 k3 a", nested, settings, 1), "[keys] [keys] [key] a");
  for (const value of [undefined, null, 7, "text", [], { accounts: 7 }]) {
    assertEquals(secretsOf(nested, value), []);
  }
});

Deno.test("readSettings tells what a check says of a secret, and not the secret", () => {
  const read = (env: Record<string, string>, file: unknown = {}) =>
    readSettings(nested, { env, file, at: "x" });
  assertEquals(read({ PASSWORD: "mot" }).problems, [
    { at: "PASSWORD", message: '"[password]" is too short. It sets: A password' },
  ]);
  assertEquals(read({ PASSWORD: "пароль, two words" }).problems, []);
  const [problem] =
    read({}, { accounts: [{ name: "a", key: "CANARY", colour: "CANARY" }] }).problems;
  assertEquals(problem?.at, "x.accounts.0");
  assertStringIncludes(problem?.message ?? "", '"colour"');
  assertEquals(problem?.message.includes("CANARY"), false);
});
