import { assert, assertEquals, assertMatch } from "@std/assert";
import { FileWatcher } from "../../core/file_watcher.ts";
import { dropIn } from "../support/drop_in.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import { providerText, refused, startReloading } from "./reloading.ts";

const text = async (response: Response) => (await response.json()).choices?.[0].message.content;

/** The word of the plugin `probe` that an answer passed. */
async function word(response: Response, name = "probe"): Promise<string | null> {
  await response.body?.cancel();
  return response.headers.get(`x-${name}`);
}

Deno.test("reload takes over a provider that is added, changed and removed", async () => {
  await using one = startUpstream(() => wholeAnswer("one"));
  await using two = startUpstream(() => wholeAnswer("two"));
  await using running = await startReloading();
  const { router } = running;
  const file = "providers/late.ts";
  const status = async () => {
    const response = await router.chat(ask("late/m"));
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(), 404);
  assertEquals(await running.write({ [file]: providerText("late", one.url) }), [
    'provider "late" added',
  ]);
  assertEquals(await text(await router.chat(ask("late/m"))), "one");
  assertEquals(await running.write({ [file]: providerText("late", two.url) }), [
    'provider "late" changed',
  ]);
  assertEquals(await text(await router.chat(ask("late/m"))), "two");
  assertEquals(await running.write({ [file]: null }), ['provider "late" removed']);
  assertEquals(await status(), 404);
  assertEquals([one.seen.length, two.seen.length], [1, 1]);
});

Deno.test("reload leaves alone what has not changed", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using running = await startReloading({
    "providers/kept.ts": providerText("kept", vendor.url),
  });
  const { router, events } = running;
  const { catalog } = router.program;
  const before = [...catalog.providers.values()];
  await running.write({ "plugins/91_one.ts": running.plugin("one", "one") });
  await running.write({ "plugins/92_two.ts": running.plugin("two", "two") });
  await running.write({ "providers/other.ts": providerText("other", vendor.url) });
  assertEquals(events, ["setup one", "setup two"]);
  assertEquals(
    [...catalog.providers.values()].filter(({ name }) => name !== "other"),
    before,
  );
  // The same text once more is no change, and no line of the log.
  const lines = router.log.length;
  await Deno.writeTextFile(
    `${router.program.config.settings.pluginsDir}/91_one.ts`,
    running.plugin("one", "one"),
  );
  await router.program.reload();
  assertEquals([router.log.length, events.length], [lines, 2]);
});

Deno.test("reload takes over plugins, and what they import", async () => {
  const folder = (rest: string) =>
    `import { definePlugin } from "xrouter/plugin";
     import { word } from "./deep/word.ts";
     export default definePlugin({
       name: "probe",
       setup: () => ({ onRequest: (x) => void (x.replyHeaders["x-probe"] = word${rest}) }),
     });`;
  await using running = await startReloading({
    "plugins/90_probe/mod.ts": folder(""),
    "plugins/90_probe/deep/word.ts": 'export { word } from "../../_shared.ts";',
    "plugins/_shared.ts": 'export const word: string = "one";',
  });
  const { router } = running;
  const changed = ['plugin "probe" changed'];
  assertEquals(await word(await router.chat(ask("echo"))), "one");
  const shared = 'export const word: string = "two";';
  assertEquals(await running.write({ "plugins/_shared.ts": shared }), changed);
  assertEquals(await word(await router.chat(ask("echo"))), "two");
  assertEquals(await running.write({ "plugins/90_probe/mod.ts": folder(' + "!"') }), changed);
  assertEquals(await word(await router.chat(ask("echo"))), "two!");
  const deep = 'export const word: string = "three";';
  assertEquals(await running.write({ "plugins/90_probe/deep/word.ts": deep }), changed);
  assertEquals(await word(await router.chat(ask("echo"))), "three!");
  assertEquals(await running.write({ "plugins/90_probe": null }), ['plugin "probe" removed']);
  assertEquals(await word(await router.chat(ask("echo"))), null);
});

Deno.test("reload takes over routes, prices and settings of the configuration file", async () => {
  await using running = await startReloading();
  const { router } = running;
  const write = (file: object) => running.write({ "xrouter.json": JSON.stringify(file) });
  const price = (output: number) => ({
    "echo/echo": { price: { currency: "RUB", input: 0, output } },
  });
  assertEquals((await (await router.chat(ask("quick"))).json()).error.code, "no_route");
  assertEquals(await write({ routes: { quick: "echo/echo" }, models: price(1_000_000) }), [
    "configuration file: routes",
    "configuration file: models",
  ]);
  const cost = async () => (await (await router.chat(ask("quick"))).json()).usage.cost;
  // Three words, each a ruble.
  assertEquals(await cost(), 3);
  assertEquals(await write({ routes: { quick: "echo/echo" }, models: price(2_000_000) }), [
    "configuration file: models",
  ]);
  assertEquals(await cost(), 6);
  const limited = { routes: { quick: "echo/echo" }, plugins: { "rate-limit": { perMinute: 7 } } };
  assertEquals(await write(limited), [
    'plugin "rate-limit" changed',
    "configuration file: models",
  ]);
  const response = await router.chat(ask("quick"));
  assertEquals(response.headers.get("x-ratelimit-limit-requests"), "7");
  assertEquals((await response.json()).usage.cost, 0, "echo's own price holds again");
  const { data } = await (await router.get("/v1/models")).json();
  assertEquals(data.some(({ id }: { id: string }) => id === "quick"), true);
  const { database } = router.program;
  const { rows } = await database.execute(
    "SELECT output, currency FROM prices WHERE source = 'file' ORDER BY set_at",
  );
  assertEquals(rows.map(({ output, currency }) => [output, currency]), [
    [1_000_000_000_000, "RUB"],
    [2_000_000_000_000, "RUB"],
    [0, ""],
  ]);
});

Deno.test("reload refuses what is wrong, says why, and goes on as before", async () => {
  await using running = await startReloading();
  const { router, events } = running;
  await running.write({ "plugins/90_probe.ts": running.plugin("good") });
  const broken: [file: string, text: string, reason: RegExp][] = [
    ["plugins/90_probe.ts", "export default {", /90_probe\.ts: cannot be loaded: /],
    ["plugins/91_twin.ts", running.plugin("twin"), /plugin "probe" is already defined by /],
    ["plugins/twin.ts", running.plugin("twin", "twin"), /has no number/],
    [
      "plugins/92_bad.ts",
      running.plugin("bad", "bad").replace("setup() {", 'setup() { throw new Error("no luck");'),
      /plugin "bad" cannot be set up: no luck/,
    ],
    [
      "plugins/92_bad.ts",
      running.plugin("bad", "bad").replace("onChunk:", 'routes: () => { throw "up"; }, onChunk:'),
      /plugin "bad" cannot add its routes: up/,
    ],
    ["plugins/92_bad.ts", running.plugin("bad", "bad").replace("onChunk", "onWord"), /onWord/],
    ["providers/bad.ts", providerText("echo", "http://x"), /provider "echo" is already defined/],
    ["providers/bad.ts", providerText("bad", "no address"), /"baseUrl": must be a URL/],
    ["xrouter.json", '{"plugins": ', /is not valid JSON/],
    ["xrouter.json", '{"plugins": {"probe": {"speed": 1}}}', /unknown setting "speed"/],
    ["xrouter.json", '{"plugins": {"nobody": {}}}', /there is no plugin "nobody"/],
    ["xrouter.json", '{"routes": {"a": 7}}', /"routes\.a"/],
    ["xrouter.json", '{"routes": {"a": "nobody/m"}}', /nobody/],
  ];
  const mend = async (file: string) => {
    const path = `${router.program.config.env.XROUTER_CONFIG!.replace("xrouter.json", "")}${file}`;
    if (file === "xrouter.json") await Deno.writeTextFile(path, "{}");
    else if (file === "plugins/90_probe.ts") {
      await Deno.writeTextFile(path, running.plugin("good"));
    } else await Deno.remove(path);
  };
  for (const [file, text, reason] of broken) {
    const problems = await running.write({ [file]: text }, refused);
    assertMatch(problems.join("\n"), reason);
    assertEquals(problems.length, 1, problems.join("\n"));
    assertEquals(await word(await router.chat(ask("echo"))), "good");
    assertEquals((await (await router.get("/v1/models")).json()).object, "list");
    // A plugin that was set up in vain is closed again.
    const tried = events.filter((each) => each === "setup bad").length;
    assertEquals(events.filter((each) => each === "dispose bad").length, tried);
    await mend(file);
    await router.program.reload();
  }
  // Once at first, and once after its file had been broken.
  assertEquals(events.filter((each) => each === "setup good").length, 2);
  assertEquals(await running.write({ "plugins/90_probe.ts": running.plugin("better") }), [
    'plugin "probe" changed',
  ]);
  assertEquals(await word(await router.chat(ask("echo"))), "better");
});

Deno.test("reload notices a folder that vanishes and returns", async () => {
  await using running = await startReloading();
  const { router } = running;
  const folder = router.program.config.settings.pluginsDir!;
  const problems = await running.write({ plugins: null }, refused);
  assertMatch(problems.join("\n"), /XROUTER_PLUGINS_DIR: ".*plugins" cannot be read as a folder/);
  assertEquals(await word(await router.chat(ask("echo"))), null);
  // It returns with something in it.
  await Deno.mkdir(`${folder}.new`);
  await Deno.writeTextFile(`${folder}.new/90_probe.ts`, running.plugin("one"));
  const line = router.logged("reloaded");
  await Deno.rename(`${folder}.new`, folder);
  assertEquals((await line).changes, ['plugin "probe" added']);
  assertEquals(await running.write({ "plugins/90_probe.ts": running.plugin("two") }), [
    'plugin "probe" changed',
  ]);
  assertEquals(await word(await router.chat(ask("echo"))), "two");
});

Deno.test("reload notices a configuration file that is mounted by links", async () => {
  await using mount = await dropIn({
    "..1/x.json": "{}",
    "..2/x.json": '{"routes": {"quick": "echo/echo"}}',
  });
  const { path } = mount;
  await Deno.symlink("..1", `${path}/..data`);
  await Deno.symlink("..data/x.json", `${path}/x.json`);
  await using running = await startReloading({}, { XROUTER_CONFIG: `${path}/x.json` });
  const line = running.router.logged("reloaded");
  await Deno.symlink("..2", `${path}/..new`);
  await Deno.rename(`${path}/..new`, `${path}/..data`);
  assertEquals((await line).changes, ["configuration file: routes"]);
});

Deno.test("a database that lies among the plugins wakes no reload", async () => {
  await using folder = await dropIn({ "README.md": "", "data/README.md": "" });
  await using router = await startRouter({
    XROUTER_PLUGINS_DIR: folder.path,
    DATABASE_URL: `file:${folder.path}/data/x.db`,
  });
  const { program } = router;
  let reloads = 0;
  program.reload = () => Promise.resolve(void reloads++);
  assert(program.watch());
  // It looks once itself for what has changed since it was read.
  assertEquals(reloads, 1);
  const seen = Promise.withResolvers<void>();
  const beside = new FileWatcher({ folders: [folder.path], file: undefined }, seen.resolve);
  await (await router.chat(ask("echo"))).text();
  await seen.promise;
  await beside.close();
  assertEquals(reloads, 1);
});
