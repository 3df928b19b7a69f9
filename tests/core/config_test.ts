import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ConfigError, readConfig, readEnvironment } from "../../core/config.ts";
import { assemble } from "../../core/program.ts";
import { dropIn } from "../support/drop_in.ts";

/** What is wrong, as `place: message`. */
async function problemsOf(
  env: Record<string, string>,
  read: (env: Record<string, string>) => Promise<unknown> = readConfig,
) {
  const error = await assertRejects(() => read(env), ConfigError);
  return error.problems.map(({ at, message }) => `${at}: ${message}`);
}

Deno.test("readConfig needs nothing", async () => {
  const { settings, file } = await readConfig({});
  assertEquals(settings.port, 8000);
  assertEquals(settings.host, "127.0.0.1");
  assertEquals(settings.databaseUrl, "file:data/xrouter.db");
  assertEquals(settings.corsOrigins, []);
  assertEquals(file, { plugins: {}, providers: {}, models: {}, aliases: {} });
});

Deno.test("readConfig reads every variable, numbers as numbers", async () => {
  const { settings } = await readConfig({
    PORT: "0",
    XROUTER_STOP_SECONDS: "5",
    API_CORS_ORIGINS: "https://a.example, https://b.example",
    XROUTER_CURRENCY: "USD",
  });
  assertEquals([settings.port, settings.stopSeconds, settings.currency], [0, 5, "USD"]);
  assertEquals(settings.corsOrigins, ["https://a.example", "https://b.example"]);
});

Deno.test("readConfig names every variable that is wrong, and tells no secret", async () => {
  const problems = await problemsOf({
    PORT: "80000",
    DATABASE_URL: "postgres://user:canary@host/db",
    XROUTER_BODY_LIMIT: "1.5",
    XROUTER_CURRENCY: "roubles",
    XROUTER_KEEP_ALIVE_SECONDS: "0",
  });
  assertEquals(problems.map((line) => line.slice(0, line.indexOf(":"))).toSorted(), [
    "DATABASE_URL",
    "PORT",
    "XROUTER_BODY_LIMIT",
    "XROUTER_CURRENCY",
    "XROUTER_KEEP_ALIVE_SECONDS",
  ]);
  assertEquals(problems.join().includes("canary"), false);
});

Deno.test("readConfig reads the configuration file", async () => {
  const text = JSON.stringify({
    plugins: { "rate-limit": { perMinute: 7 } },
    models: { "openai/gpt": { context: 100 } },
    aliases: { best: ["a/b", "c/d"], fast: "a/b" },
  });
  await using folder = await dropIn({ "xrouter.json": text });
  const { file } = await readConfig({ XROUTER_CONFIG: ` ${folder.path}/xrouter.json ` });
  assertEquals(file.plugins, { "rate-limit": { perMinute: 7 } });
  assertEquals(file.models, { "openai/gpt": { context: 100 } });
  assertEquals(file.aliases, { best: ["a/b", "c/d"], fast: ["a/b"] });
});

Deno.test("readConfig says where the configuration file is wrong", async () => {
  const files: [text: string, said: RegExp][] = [
    ['{"plugin": {}}', /: Unrecognized key: "plugin"$/],
    ['{"models": {"gpt": {}}}', /: "models.gpt": must be "provider\/model"$/],
    ['{"models": {"a/b": {"context": -1}}}', /: "models.a\/b.context": /],
    ['{"aliases": {"best": []}}', /: "aliases.best": .*>=1/],
    ['{"aliases": {"best": 7}}', /: "aliases.best": must be the name of a model or a list/],
    ['{"aliases": 7}', /: "aliases": /],
    ["[]", /: Invalid input: expected object/],
    ['{"plugins": {"auth": {"key": "canary" "x"}}}', /: is not valid JSON/],
  ];
  for (const [text, said] of files) {
    await using folder = await dropIn({ "xrouter.json": text });
    const [problem, ...others] = await problemsOf({
      XROUTER_CONFIG: `${folder.path}/xrouter.json`,
    });
    assertMatch(problem!, said);
    assertEquals(problem!.startsWith(folder.path), true);
    assertEquals([others.length, problem!.includes("canary")], [0, false]);
  }
  const [missing] = await problemsOf({ XROUTER_CONFIG: "/nowhere/xrouter.json" });
  assertEquals(
    missing,
    "/nowhere/xrouter.json: cannot be read. XROUTER_CONFIG must name a JSON file",
  );
});

Deno.test("assemble refuses sections that belong to nobody", async () => {
  const text = JSON.stringify({
    plugins: { "rate-limits": {} },
    providers: { opneai: {} },
    models: { "opneai/gpt": {} },
  });
  await using folder = await dropIn({ "xrouter.json": text });
  const problems = await problemsOf({ XROUTER_CONFIG: `${folder.path}/xrouter.json` }, assemble);
  assertEquals(problems.length, 3);
  assertMatch(
    problems[0]!,
    /^configuration file, plugins\["rate-limits"\]: there is no plugin "rate-limits"\. There are: auth, /,
  );
  assertMatch(problems[1]!, /providers\["opneai"\]: there is no provider "opneai"\. There are: /);
  assertMatch(problems[2]!, /models\["opneai\/gpt"\]: there is no such provider\. There are: /);
});

Deno.test("readEnvironment adds what a .env file has, and overrides nothing", async () => {
  const variable = "XROUTER_TEST_VARIABLE";
  await using folder = await dropIn({
    ".env": `${variable}=file\nXROUTER_TEST_OTHER="two words"\n`,
  });
  assertEquals(readEnvironment(folder.path)[variable], "file");
  assertEquals(readEnvironment(folder.path).XROUTER_TEST_OTHER, "two words");
  Deno.env.set(variable, "own");
  try {
    assertEquals(readEnvironment(folder.path)[variable], "own");
  } finally {
    Deno.env.delete(variable);
  }
  assertEquals(readEnvironment(`${folder.path}/nowhere`)[variable], undefined);
});

Deno.test("readEnvironment reads a .env with a byte order mark, and fills empty variables", async () => {
  await using folder = await dropIn({
    ".env": "\ufeffXROUTER_TEST_FIRST=one\r\nXROUTER_TEST_EMPTY=two\r\n",
  });
  Deno.env.set("XROUTER_TEST_EMPTY", "");
  try {
    const env = readEnvironment(folder.path);
    assertEquals([env.XROUTER_TEST_FIRST, env.XROUTER_TEST_EMPTY], ["one", "two"]);
  } finally {
    Deno.env.delete("XROUTER_TEST_EMPTY");
  }
  await using odd = await dropIn({ ".env/x": "" });
  assertThrows(() => readEnvironment(odd.path), ConfigError, ".env: cannot be read");
});

Deno.test("readConfig takes origins, and a configuration file with a byte order mark", async () => {
  await using folder = await dropIn({ "x.json": "\ufeff{}" });
  const { settings } = await readConfig({
    API_CORS_ORIGINS: "https://a.example, http://localhost:3000",
    XROUTER_CONFIG: `${folder.path}/x.json`,
    DATABASE_URL: "FILE:data/x.db",
  });
  assertEquals(settings.corsOrigins, ["https://a.example", "http://localhost:3000"]);
  for (const wrong of ["example.com", "https://a.example/", "https://a.example/path"]) {
    const refused = () => readConfig({ API_CORS_ORIGINS: wrong });
    await assertRejects(refused, ConfigError, "API_CORS_ORIGINS: must be origins");
  }
});

Deno.test("assemble refuses an alias of an alias", async () => {
  await using folder = await dropIn({ "x.json": '{"aliases":{"a":"b","b":["echo"]}}' });
  const run = () => assemble({ XROUTER_CONFIG: `${folder.path}/x.json` });
  await assertRejects(run, ConfigError, '"b" is an alias itself. Name models');
});
