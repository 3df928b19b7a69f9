import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ConfigError, readConfig, readEnvironment, tryConfig } from "../../core/config.ts";
import { assemble } from "../../core/assembly.ts";
import { configFileSchema } from "../../core/config_file.ts";
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
  assertEquals(file, { plugins: {}, providers: {}, models: {}, routes: {} });
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

Deno.test("readConfig takes an IPv6 address with the brackets of a URL and without them", async () => {
  for (const host of ["::1", "[::1]"]) {
    const { settings } = await readConfig({ XROUTER_HOST: host });
    assertEquals(settings.host, "::1");
  }
});

Deno.test("readConfig names every variable that is wrong, and tells no secret", async () => {
  const problems = await problemsOf({
    PORT: "80000",
    DATABASE_URL: "postgres://user:canary@host/db",
    XROUTER_BODY_LIMIT: "1.5",
    XROUTER_CURRENCY: "roubles",
    XROUTER_KEEP_ALIVE_SECONDS: "0",
    XROUTER_QUEUE_LENGTH: "2".repeat(20),
    XROUTER_STOP_SECONDS: "0x10",
  });
  assertEquals(problems.map((line) => line.slice(0, line.indexOf(":"))).toSorted(), [
    "DATABASE_URL",
    "PORT",
    "XROUTER_BODY_LIMIT",
    "XROUTER_CURRENCY",
    "XROUTER_KEEP_ALIVE_SECONDS",
    "XROUTER_QUEUE_LENGTH",
    "XROUTER_STOP_SECONDS",
  ]);
  assertEquals(problems.join().includes("canary"), false);
});

Deno.test("tryConfig tells any wrong settings together, and goes on with their defaults", async () => {
  const wrong = {
    PORT: "abc",
    DATABASE_URL: "postgres://host/db",
    DATABASE_AUTH_TOKEN: "CAN ARY",
    XROUTER_WATCH: "perhaps",
    XROUTER_PLUGINS_DIR: "/nope",
  };
  const variables = Object.keys(wrong).sort() as (keyof typeof wrong)[];
  const { config: standard } = await tryConfig({});
  for (let mask = 0; mask < 1 << variables.length; mask++) {
    const bad = variables.filter((_, i) => mask & 1 << i);
    const env = Object.fromEntries(bad.map((name) => [name, wrong[name]]));
    const { config, problems } = await tryConfig(env);
    assertEquals(problems.map(({ at }) => at).sort(), bad);
    assertEquals(config.settings, standard.settings);
  }
});

Deno.test("readConfig names the variable of a folder that is none, or the project's own", async () => {
  const none = '"/nope" cannot be read as a folder. Create it or correct its name.';
  const own = "is the project's own folder, which is loaded anyway. Name another, or none.";
  const project = new URL("../../", import.meta.url).pathname;
  for (const kind of ["plugins", "providers"]) {
    const variable = `XROUTER_${kind.toUpperCase()}_DIR`;
    for (const [path, said] of [["/nope", none], [`${project}${kind}/`, own]] as const) {
      const [problem, ...others] = await problemsOf({ [variable]: path, PORT: "8001" }, assemble);
      assertEquals(problem!.startsWith(`${variable}: ${said}`), true, problem);
      assertEquals(others, []);
    }
  }
});

Deno.test("readConfig reads the configuration file", async () => {
  const text = JSON.stringify({
    plugins: { "rate-limit": { perMinute: 7 } },
    models: { "openai/gpt": { context: 100 } },
    routes: { best: ["a/b", "c/d"], fast: "a/b" },
  });
  await using folder = await dropIn({ "xrouter.json": text });
  const { file } = await readConfig({ XROUTER_CONFIG: ` ${folder.path}/xrouter.json ` });
  assertEquals(file.plugins, { "rate-limit": { perMinute: 7 } });
  assertEquals(file.models, { "openai/gpt": { context: 100 } });
  assertEquals(file.routes, { best: ["a/b", "c/d"], fast: "a/b" });
});

Deno.test("readConfig says where the configuration file is wrong", async () => {
  const files: [text: string, said: RegExp][] = [
    ['{"plugin": {}}', /: unknown field "plugin"\. Known fields: "\$schema", "routes", /],
    ['{"models": {"gpt": {}}}', /: "models.gpt": must be "provider\/model"$/],
    ['{"models": {"a/b": {"context": -1}}}', /: "models.a\/b.context": /],
    ['{"routes": {"best": []}}', /:1:13: "routes.best": must name a model$/],
    ['{"routes": {"best": 7}}', /: "routes.best": must be a model, a list of models, or an object/],
    ['{"routes": {"best": "gpt"}}', /:1:13: "routes.best": must be "provider\/model"$/],
    ['{"routes": {"best": ["a/b", "gpt"]}}', /:1:29: "routes.best.1": must be "provider\/model"$/],
    ['{"routes": 7}', /: "routes": must be an object$/],
    ['{"models": {"a/b": {"tools": 1}}}', /b\.tools": must be true or false$/],
    ['{"models": {"a/b": {"parallel": 0}}}', /b\.parallel": must be above 0$/],
    ['{"models": {"a/b": {"kind": "CANARY"}}}', /b\.kind": must be "chat" or "embeddings"$/],
    ['{"models": {"a/b": {"price": 7}}}', /b\.price": must be an object$/],
    [
      '{"models": {"a/b": {"price": {"currency": "RUB", "input": 1}}}}',
      /price\.output": is missing\. It must be a number$/,
    ],
    ['{"aliases": {"best": "a/b"}}', /:1:1: .*name it "routes"$/],
    ['{"routes": {"a": "b/c",\n "a": "b/d"}}', /:2:2: names "a" twice/],
    ["[]", /:1:1: must be an object$/],
    [
      '{"plugins": {"auth": {"key": "canary" "x"}}}',
      /:1:39: is not valid JSON: a comma is missing$/,
    ],
  ];
  for (const [text, said] of files) {
    await using folder = await dropIn({ "xrouter.json": text });
    const [problem, ...others] = await problemsOf({
      XROUTER_CONFIG: `${folder.path}/xrouter.json`,
    });
    assertMatch(problem!, said);
    assertEquals(problem!.startsWith(folder.path), true);
    assertEquals([others.length, /canary/i.test(problem!)], [0, false]);
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
    API_CORS_ORIGINS: "https://A.Example, HTTP://localhost:3000",
    XROUTER_CONFIG: `${folder.path}/x.json`,
    DATABASE_URL: "FILE:data/x.db",
  });
  assertEquals(settings.corsOrigins, ["https://a.example", "http://localhost:3000"]);
  for (const wrong of ["example.com", "https://a.example/", "https://a.example/path"]) {
    const refused = () => readConfig({ API_CORS_ORIGINS: `https://right.example, ${wrong}` });
    const error = await assertRejects(refused, ConfigError, "API_CORS_ORIGINS: must be origins");
    assertStringIncludes(error.message, `"${wrong}" is none`);
  }
});

Deno.test("readConfig takes comments and trailing commas, and tells line and column", async () => {
  await using folder = await dropIn({
    "x.json": `{
  // The routes of all teams
  "routes": {
    "fast": "a/b", /* quick */
  },
}
`,
    "y.json": `\ufeff{
  "routes": { // none
    "fast": { "targets": ["a/b"], "when": {} },
    "best": { "targets": [{ "model": "a/b", "weigth": 3 }, "a/c", 5] }
  }
}`,
    "z.json": '{\n  "routes": {\n    "fast" "a/b"\n  }\n}',
  });
  const { file } = await readConfig({ XROUTER_CONFIG: `${folder.path}/x.json` });
  assertEquals(file.routes, { fast: "a/b" });
  const y = `${folder.path}/y.json`;
  assertEquals(await problemsOf({ XROUTER_CONFIG: y }), [
    `${y}:3:5: "routes.fast": unknown field "when". Known fields: "targets", "strategy", ` +
    '"region", "attempts", "retries", "time", "timeouts", "onBreak", "hedgeAfter"',
    `${y}:4:27: "routes.best.targets.0": unknown field "weigth". ` +
    'Known fields: "model", "weight", "priority", "when", "timeouts"',
    `${y}:4:67: "routes.best.targets.2": must be a model or an object`,
  ]);
  const z = `${folder.path}/z.json`;
  assertEquals(await problemsOf({ XROUTER_CONFIG: z }), [
    `${z}:3:12: is not valid JSON: a colon is missing`,
  ]);
});

Deno.test("the schema of the configuration file is the one that is published", async () => {
  const file = new URL("../../core/config.schema.json", import.meta.url);
  const schema = `${JSON.stringify(configFileSchema(), undefined, 2)}\n`;
  if (Deno.env.get("XROUTER_SCHEMA") === "write") await Deno.writeTextFile(file, schema);
  const published = await Deno.readTextFile(file);
  assertEquals(published, schema, 'Run "deno task schema"');
});
