import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import { codeLimits } from "../../core/code_limits.ts";
import { Catalog } from "../../core/catalog.ts";
import { assemble } from "../../core/assembly.ts";
import { ConfigError } from "../../core/config.ts";
import type { LoadedModule } from "../../core/load.ts";
import { createLog } from "../../core/log.ts";
import { checkPlugins, disposePlugins, installPlugins } from "../../core/pipeline.ts";
import type { Host } from "../../core/plugin.ts";
import { setting } from "../../core/settings.ts";
import { dropIn } from "../support/drop_in.ts";

const setup = () => ({});

/** Modules as a folder `p` has them. */
function modules(files: Record<string, unknown>): LoadedModule[] {
  return Object.entries(files).map(([file, value]) => ({ file, path: `p/${file}`, value }));
}

/** What is wrong with some files, as `file: message`. */
function problemsOf(files: Record<string, unknown>, sections = {}, env = {}): string[] {
  return checkPlugins(modules(files), env, sections).problems
    .map(({ at, message }) => `${at}: ${message}`);
}

const auth = { name: "auth", provides: ["caller"], setup };
const limit = { name: "rate-limit", requires: ["caller"], setup };

Deno.test("checkPlugins takes plugins whose order fits", () => {
  const { plugins, problems } = checkPlugins(
    modules({
      "10_auth.ts": auth,
      "20_rate_limit.ts": limit,
      "20_own/mod.ts": { name: "own", setup },
    }),
    {},
    {},
  );
  assertEquals(problems, []);
  assertEquals(plugins.map(({ plugin, file, config }) => [plugin.name, file, config]), [
    ["auth", "p/10_auth.ts", {}],
    ["rate-limit", "p/20_rate_limit.ts", {}],
    ["own", "p/20_own/mod.ts", {}],
  ]);
});

Deno.test("checkPlugins says who runs too early, and the cure", () => {
  assertEquals(problemsOf({ "10_rate_limit.ts": limit, "20_auth.ts": auth }), [
    'p/10_rate_limit.ts: plugin "rate-limit" needs state.caller, but "auth", which provides it, ' +
    "runs later. Give it a higher number than p/20_auth.ts",
  ]);
});

Deno.test("checkPlugins says what nobody provides", () => {
  assertEquals(problemsOf({ "10_rate_limit.ts": limit }), [
    'p/10_rate_limit.ts: plugin "rate-limit" needs state.caller, but no plugin provides it. ' +
    "Add one that does",
  ]);
});

Deno.test("checkPlugins refuses a second owner of state, and names both files", () => {
  const own = { name: "own", provides: ["inputTokens", "caller"], setup };
  assertEquals(problemsOf({ "05_own.ts": own, "10_auth.ts": auth }), [
    'p/10_auth.ts: plugin "auth" provides state.caller, and so does "own" in p/05_own.ts. ' +
    'Take it out of the "provides" of one of them, or begin the name of one file with _',
  ]);
});

Deno.test("checkPlugins does not take a plugin's own word for what it needs", () => {
  const selfish = { name: "selfish", requires: ["caller"], provides: ["caller"], setup };
  assertEquals(problemsOf({ "10_selfish.ts": selfish }).length, 1);
});

Deno.test("checkPlugins tells all that is wrong at once", () => {
  const config = z.strictObject({
    perMinute: setting("LIMIT", z.coerce.number().default(1), "Requests a minute"),
    key: setting("KEY", z.string().min(9).default("long enough"), "A key", { secret: true }),
  });
  const problems = problemsOf(
    {
      "auth.ts": auth,
      "20_twin.ts": { name: "auth", setup },
      "30_words.ts": { name: "words", provides: ["calller"], setup },
      "31_name.ts": { name: "My Plugin", setup },
      "32_none.ts": null,
      "33_keys.ts": { name: "keys", setup, onRequest: setup },
      "34_setup.ts": { name: "no-setup" },
      "35_error.ts": { name: "on-error", onError: "ignore", setup },
      "36_config.ts": { name: "config", config: { perMinute: 1 }, setup },
      "40_settings.ts": { name: "settings", config, setup },
    },
    { settings: { perHour: 7 } },
    { LIMIT: "many", KEY: "canary" },
  );
  const about = (file: string) => problems.filter((line) => line.startsWith(`p/${file}: `));
  assertEquals(about("auth.ts"), [
    "p/auth.ts: has no number. Its number is its place in the pipeline: " +
    'rename it to "45_auth.ts", say',
  ]);
  assertEquals(about("20_twin.ts"), [
    'p/20_twin.ts: plugin "auth" is already defined by p/auth.ts. Rename one of them',
  ]);
  assertEquals(about("30_words.ts"), [
    'p/30_words.ts: "provides.0": must be "caller" or "inputTokens"',
  ]);
  assertEquals(about("31_name.ts"), [
    'p/31_name.ts: "name": must be lower-case words with dashes',
  ]);
  assertEquals(about("32_none.ts"), [
    'p/32_none.ts: exports no plugin by default. Write "export default definePlugin({ … })"',
  ]);
  assertEquals(about("33_keys.ts"), [
    'p/33_keys.ts: unknown field "onRequest". Known fields: "name", "requires", "provides", ' +
    '"onError", "config", "routes", "setup"',
  ]);
  assertEquals(about("34_setup.ts"), [
    'p/34_setup.ts: "setup": is missing. It must be a function',
  ]);
  assertEquals(about("35_error.ts"), ['p/35_error.ts: "onError": must be "reject" or "skip"']);
  assertEquals(about("36_config.ts"), ['p/36_config.ts: "config": must be a zod schema']);
  const settings = problems.filter((line) => !line.startsWith("p/"));
  assertEquals(settings.length, 3);
  assertStringIncludes(settings.join("\n"), "LIMIT: ");
  assertStringIncludes(settings.join("\n"), "KEY: has the wrong form. It sets: A key");
  assertStringIncludes(
    settings.join("\n"),
    'plugins["settings"]: unknown setting "perHour". Known settings: "perMinute", "key"',
  );
  assertEquals(problems.join("\n").includes("canary"), false);
  assertEquals(problems.length, 12);
});

/** What throws wherever one looks at it. */
const trap = new Proxy({}, {
  get() {
    throw new Error("a trap");
  },
});

Deno.test("checkPlugins names a file that throws as it is looked at, and tells of the others too", () => {
  const getter = {
    name: "getter",
    get setup() {
      throw new Error("not now");
    },
  };
  const config = z.strictObject({
    depth: z.number().default(1).refine(() => {
      throw new Error("no check");
    }),
  });
  const mend = "Let none be a getter or a proxy that throws";
  assertEquals(
    problemsOf({
      "10_number.ts": 5,
      "20_getter.ts": getter,
      "30_proxy.ts": trap,
      "40_config.ts": { name: "config", config, setup },
      "50_name.ts": { setup },
    }),
    [
      'p/10_number.ts: exports no plugin by default. Write "export default definePlugin({ … })"',
      `p/20_getter.ts: a field of its default export throws: not now. ${mend}`,
      `p/30_proxy.ts: a field of its default export throws: a trap. ${mend}`,
      'p/40_config.ts: "config" throws: no check',
      'p/50_name.ts: "name": is missing. It must be a string',
    ],
  );
});

Deno.test("installPlugins says what a setup throws, whatever it is", async () => {
  const { plugins } = checkPlugins(
    modules({ "10_odd.ts": { name: "odd", setup: () => Promise.reject(Object.create(null)) } }),
    {},
    {},
  );
  assertEquals((await assertRejects(() => installPlugins(plugins, host()), ConfigError)).problems, [
    {
      at: "p/10_odd.ts",
      message: 'plugin "odd" cannot be set up: [Object: null prototype] {}',
    },
  ]);
});

const host = (log: string[] = []) => (plugin: string): Host => ({
  catalog: new Catalog([]),
  database: {} as Host["database"],
  log: createLog((line) => log.push(line), { plugin }),
  currency: "RUB",
});

/** Plugins that note what happens to them. */
function noting(calls: string[], names: readonly string[], rest: Record<string, object> = {}) {
  const files = Object.fromEntries(names.map((name, i) => [`${i + 10}_${name}.ts`, {
    name,
    setup(_config: unknown, { log }: Host) {
      calls.push(`setup ${name}`);
      log.info("set up");
      return {
        dispose: () => void calls.push(`dispose ${name}`),
        ...rest[name],
      };
    },
  }]));
  return checkPlugins(modules(files), {}, {}).plugins;
}

Deno.test("installPlugins sets plugins up in order, disposePlugins closes them in reverse", async () => {
  const calls: string[] = [];
  const log: string[] = [];
  const crash = {
    dispose() {
      throw new Error("stuck");
    },
  };
  const plugins = noting(calls, ["a", "b", "c"], { b: crash });
  const installed = await installPlugins(plugins, host(log));
  assertEquals(installed.map(({ name, file, onError }) => [name, file, onError]), [
    ["a", "p/10_a.ts", "reject"],
    ["b", "p/11_b.ts", "reject"],
    ["c", "p/12_c.ts", "reject"],
  ]);
  const failed: string[] = [];
  await disposePlugins(installed, ({ name }, error) => failed.push(`${name}: ${error}`));
  assertEquals(calls, ["setup a", "setup b", "setup c", "dispose c", "dispose a"]);
  assertEquals(failed, ["b: Error: stuck"]);
  assertEquals(log.map((line) => JSON.parse(line).plugin), ["a", "b", "c"]);
});

Deno.test("installPlugins closes what is set up when a later setup fails", async () => {
  const calls: string[] = [];
  const plugins = noting(calls, ["a", "b"]);
  const broken = checkPlugins(
    modules({
      "90_broken.ts": { name: "broken", setup: () => Promise.reject(new Error("no disk")) },
      "91_worse.ts": { name: "worse", setup: () => Promise.reject(new Error("no memory")) },
      "92_astray.ts": {
        name: "astray",
        setup: () => ({
          routes: () => {
            throw new Error("no way");
          },
          dispose: () => void calls.push("dispose astray"),
        }),
      },
    }),
    {},
    {},
  ).plugins;
  const run = () => installPlugins([...plugins, ...broken], host());
  assertEquals((await assertRejects(run, ConfigError)).problems, [
    { at: "p/90_broken.ts", message: 'plugin "broken" cannot be set up: no disk' },
    { at: "p/91_worse.ts", message: 'plugin "worse" cannot be set up: no memory' },
    { at: "p/92_astray.ts", message: 'plugin "astray" cannot add its routes: no way' },
  ]);
  assertEquals(calls, ["setup a", "setup b", "dispose astray", "dispose b", "dispose a"]);
});

Deno.test("installPlugins refuses a setup that does not end, and closes it once it has", async () => {
  const calls: string[] = [];
  const late = Promise.withResolvers<object>();
  const closed = Promise.withResolvers<void>();
  const { plugins } = checkPlugins(
    modules({ "90_late.ts": { name: "late", setup: () => late.promise } }),
    {},
    {},
  );
  const limits = { ...codeLimits, setup: 20 };
  const run = () =>
    installPlugins([...noting(calls, ["a"]), ...plugins], host(), new Map(), limits);
  assertEquals((await assertRejects(run, ConfigError)).problems, [{
    at: "p/90_late.ts",
    message: 'plugin "late" cannot be set up: It took longer than 0.02 s. ' +
      "Let its setup() return, and what may take long go on behind it",
  }]);
  assertEquals(calls, ["setup a", "dispose a"]);
  late.resolve({ dispose: () => closed.resolve() });
  await closed.promise;
});

Deno.test("disposePlugins leaves a plugin that does not end, and closes the others", async () => {
  const calls: string[] = [];
  const endless = { dispose: () => new Promise(() => {}) };
  const installed = await installPlugins(noting(calls, ["a", "b"], { b: endless }), host());
  const failed: string[] = [];
  const fail = ({ name }: { name: string }, error: unknown) => failed.push(`${name}: ${error}`);
  await disposePlugins(installed, fail, { ...codeLimits, dispose: 20 });
  assertEquals(calls, ["setup a", "setup b", "dispose a"]);
  assertEquals(failed, ["b: Error: It took longer than 0.02 s"]);
});

Deno.test("installPlugins refuses hooks that do not exist, and names them", async () => {
  for (
    const [hooks, said] of [
      [{ onRequests: setup, onchunk: setup }, 'unknown field "onRequests", "onchunk". Known'],
      [{ onRequest: 7 }, '"onRequest": must be a function'],
      [undefined, "is missing. It must be an object"],
    ] as const
  ) {
    const { plugins } = checkPlugins(
      modules({ "10_odd.ts": { name: "odd", setup: () => hooks } }),
      {},
      {},
    );
    const error = await assertRejects(() => installPlugins(plugins, host()), Error);
    assertStringIncludes(error.message, 'p/10_odd.ts: setup of plugin "odd" must return hooks: ');
    assertStringIncludes(error.message, said);
  }
});

Deno.test("assemble tells every problem of every folder and setting at once", async () => {
  await using plugins = await dropIn({
    "05_early.js": 'export default { name: "early", requires: ["caller"], setup: () => ({}) };',
    "06_broken.js": "export default {",
    "unnumbered.js": 'export default { name: "unnumbered", setup: () => ({}) };',
  });
  await using providers = await dropIn({
    "twin.js": 'export default { name: "openai", baseUrl: "https://x.invalid" };',
    "odd.js": 'export default { name: "odd", baseUrl: "x.invalid", colour: "red" };',
    "other.js": 'export default { name: "other", baseUrl: "ftp://x.invalid" };',
    "function.js": "export default () => {};",
    "lacking.js": `export default { name: "lacking", baseUrl: "https://x.invalid", missing() {
      throw new Error("cannot say");
    } };`,
    "counting.js": `export default { name: "counting", accounts() {
      throw new Error("cannot count");
    } };`,
    "dialling.js": `export default { name: "dialling", httpClient() {
      throw new Error("cannot dial");
    } };`,
  });
  const error = await assertRejects(
    () =>
      assemble({
        XROUTER_PLUGINS_DIR: plugins.path,
        XROUTER_PROVIDERS_DIR: providers.path,
        API_RATE_LIMIT: "0",
        XROUTER_TOTAL_MS: `${2 ** 31}`,
        OPENAI_BASE_URL: "nowhere",
      }),
    ConfigError,
  );
  const lines = error.message.split("\n");
  assertEquals(lines[0], "XRouter cannot start:");
  for (
    const said of [
      `${plugins.path}/05_early.js: plugin "early" needs state.caller, but "auth", which provides it, runs later.`,
      `${plugins.path}/06_broken.js: cannot be loaded: `,
      `${plugins.path}/unnumbered.js: has no number.`,
      `${providers.path}/twin.js: provider "openai" is already defined by `,
      `${providers.path}/odd.js: "baseUrl": must be a URL`,
      `${providers.path}/other.js: "baseUrl": must be a URL`,
      `${providers.path}/function.js: exports no provider by default. Write "export default defineProvider({ … })"`,
      `${providers.path}/lacking.js: "missing" throws: cannot say`,
      `${providers.path}/counting.js: "accounts" throws: cannot count`,
      `${providers.path}/dialling.js: "httpClient" throws: cannot dial`,
      `${providers.path}/odd.js: unknown field "colour". Known fields: "name", "baseUrl", `,
      "API_RATE_LIMIT: must be at least 1",
      "XROUTER_TOTAL_MS: must be at most 86400000 milliseconds, a day",
      "OPENAI_BASE_URL: must be a URL",
    ]
  ) assertStringIncludes(error.message, said);
});
