import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import type { z } from "zod";
import type { Hooks, Host } from "../core/plugin.ts";
import { programSettings } from "../core/config.ts";
import { loadModules } from "../core/load.ts";
import { assemble, closeProviders } from "../core/assembly.ts";
import { settingsOf } from "../core/settings.ts";
import template from "../plugins/_template.ts";
import { KeyStore } from "../core/store/keys.ts";
import { dropIn } from "./support/drop_in.ts";
import { ask, startRouter } from "./support/router.ts";
import { isShipped } from "./support/shipped.ts";
import { startUpstream, wholeAnswer } from "./support/upstream.ts";

const root = new URL("..", import.meta.url).pathname;
const readme = await Deno.readTextFile(`${root}README.md`);

/** The rows of a text's tables, their columns' padding taken out. */
function rowsOf(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.replaceAll(/\s+/g, " "));
}

const rows = new Set(rowsOf(readme));

/** The first TypeScript block after a heading. */
function block(heading: string): string {
  const from = readme.indexOf(heading);
  assert(from > 0, `README has no heading "${heading}"`);
  return /```ts\n([\s\S]*?)```/.exec(readme.slice(from))![1]!;
}

function codeLines(code: string): number {
  return code.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//")).length;
}

Deno.test("README lists every setting with its default and its description", async () => {
  const schemas: z.ZodType[] = [programSettings];
  for (const folder of ["plugins", "providers"]) {
    const { modules } = await loadModules([`${root}${folder}`]);
    for (const { value, path } of modules) {
      if (!isShipped(path)) continue;
      const { config, settings } = value as { config?: z.ZodType; settings?: z.ZodType };
      const schema = config ?? settings;
      if (schema !== undefined) schemas.push(schema);
    }
  }
  let found = 0;
  for (
    const { schema, variable, description } of schemas.flatMap((
      each,
    ) => [...settingsOf(each).values()])
  ) {
    if (variable === undefined) continue;
    const standard = schema.safeParse(undefined);
    const value = standard.success ? standard.data : undefined;
    const none = value === undefined || (Array.isArray(value) && value.length === 0);
    const row = `| \`${variable}\` | ${none ? "" : `\`${value}\` `}| ${description} |`;
    assert(rows.has(row), `README has no row "${row}"`);
    found++;
  }
  assert(found > 15, `only ${found} settings were found`);
});

Deno.test("README's provider of seven lines answers when it is dropped in", async () => {
  const example = block("## Add a provider");
  assertLessOrEqual(codeLines(example), 7);
  // Whoever has dropped it in may run the tests, too.
  const code = example.replace('"mistral"', '"another-mistral"');
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/mistral.ts`, code);
  await using vendor = startUpstream(() => wholeAnswer("From afar"));
  await using router = await startRouter({
    XROUTER_PROVIDERS_DIR: folder,
    ANOTHER_MISTRAL_API_KEY: "vendor-key",
    ANOTHER_MISTRAL_BASE_URL: vendor.url,
  });
  const response = await router.chat(ask("another-mistral/mistral-small-latest"));
  assertEquals(response.status, 200);
  assertEquals((await response.json()).choices[0].message.content, "From afar");
  assertEquals(vendor.seen[0]!.headers.get("authorization"), "Bearer vendor-key");
  assertEquals(vendor.seen[0]!.body.model, "mistral-small-latest");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("README's plugin of twelve lines refuses when it is dropped in", async () => {
  const code = block("## Add a plugin");
  assertLessOrEqual(codeLines(code), 12);
  const folder = await Deno.makeTempDir();
  // Every day is a weekend here, so that the test does not wait for one.
  const weekend = code.replace("[0, 6]", "[0, 1, 2, 3, 4, 5, 6]");
  assert(weekend !== code, "the example has changed: change the test with it");
  const another = weekend.replace('"office-hours"', '"other-office-hours"');
  await Deno.writeTextFile(`${folder}/17_other_office_hours.ts`, another);
  await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder });
  const others = await router.chat(ask("echo"));
  await others.body?.cancel();
  assertEquals(others.status, 200);
  const intern = { name: "test", owner: "interns" };
  const { secret } = await new KeyStore(router.program.database).create(intern);
  const headers = { authorization: `Bearer ${secret}` };
  const response = await router.chat(ask("echo"), { headers });
  assertEquals(response.status, 403);
  assertStringIncludes((await response.json()).error.message, '"test" rests at weekends');
  const [, row] = await router.usage();
  assertEquals([row!.state, row!.error_code, row!.model_asked], ["refused", "forbidden", "echo"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("README's routes are taken, from the file and from the plugin", async () => {
  const from = readme.indexOf("## Routes");
  const file = /```jsonc\n([\s\S]*?)```/.exec(readme.slice(from))![1]!;
  await using folder = await dropIn({
    "xrouter.jsonc": file,
    "plugins/42_support.ts": block("## Routes").replaceAll('"support"', '"other-support"'),
  });
  const { catalog } = await assemble({
    XROUTER_CONFIG: `${folder.path}/xrouter.jsonc`,
    XROUTER_PLUGINS_DIR: `${folder.path}/plugins`,
  });
  await closeProviders(catalog);
  const shown = ["fast", "best", "chat", "other-support"];
  assertEquals([...catalog.routes.keys()].filter((name) => shown.includes(name)), shown);
});

Deno.test("README's configuration file is one that XRouter takes", async () => {
  const from = readme.indexOf("`XROUTER_CONFIG` names");
  const json = /```json\n([\s\S]*?)```/.exec(readme.slice(from))![1]!;
  const file = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(file, json);
  await using router = await startRouter({ XROUTER_CONFIG: file });
  const response = await router.chat(ask("fast"));
  assertEquals((await response.json()).model, "echo", "GigaChat is not configured here");
  assertEquals(response.headers.get("x-ratelimit-limit-requests"), "300");
  await Deno.remove(file);
});

Deno.test("plugins/README shows the pipeline as the folder is", async () => {
  const { plugins, catalog } = await assemble({});
  await closeProviders(catalog);
  const quoted = (words: readonly string[] = []) => words.map((word) => `\`${word}\``).join(", ");
  const pipeline = plugins.filter(({ file }) => isShipped(file)).map((
    { file, plugin: { requires, provides } },
  ) => [
    quoted([file.slice(`${root}plugins/`.length).replace("mod.ts", "")]),
    quoted(requires),
    quoted(provides),
  ]);
  const shown = rowsOf(await Deno.readTextFile(`${root}plugins/README.md`))
    .map((row) => row.split("|").map((cell) => cell.trim()))
    .filter(([, file]) => /^`\d/.test(file!))
    .map(([, file, _does, requires, provides]) => [file, requires, provides]);
  assertEquals(shown, pipeline);
});

Deno.test("the template of a plugin has every hook", async () => {
  const every = {
    onRequest: true,
    onRoute: true,
    onAttempt: true,
    onChunk: true,
    onFinish: true,
    estimate: true,
    routes: true,
    ready: true,
    dispose: true,
  } satisfies Record<keyof Hooks, true>;
  const host = { log: { info() {} } } as unknown as Host;
  const hooks = await template.setup({ greeting: "hello" }, host);
  assertEquals(Object.keys(hooks).toSorted(), Object.keys(every).toSorted());
});
