/** Files whose code never ends: they are refused, and hold up neither the next change nor a stop. */
import { assertEquals, assertMatch } from "@std/assert";
import { codeLimits } from "../../core/code_limits.ts";
import { loadModules } from "../../core/load.ts";
import { dropIn } from "../support/drop_in.ts";
import { startRouter } from "../support/router.ts";
import { providerText, refused, startReloading } from "./reloading.ts";

/** Lets code go on that waits for `globalThis[place]`: Deno counts an endless one as a failure. */
function release(place: string): void {
  (Reflect.get(globalThis, place) as () => void)();
  Reflect.deleteProperty(globalThis, place);
}

const waiting = (place: string) =>
  `await new Promise((resolve) => globalThis["${place}"] = resolve);`;

Deno.test("loadModules refuses a file whose top-level await never ends, and takes it mended", async () => {
  const place = crypto.randomUUID();
  await using folder = await dropIn({
    "10_late.ts": 'import "./_late.ts"; export default 1;',
    "_late.ts": waiting(place),
    "20_well.ts": "export default 2;",
  });
  const { modules, problems } = await loadModules([folder.path], 500);
  assertEquals(modules.map(({ value }) => value), [2]);
  assertEquals(problems, [{
    at: `${folder.path}/10_late.ts`,
    message: "cannot be loaded: It took longer than 0.5 s. " +
      "Let no top-level await of it, or of what it imports, wait for what may not come",
  }]);
  release(place);
  await Deno.writeTextFile(`${folder.path}/_late.ts`, "");
  const mended = await loadModules([folder.path]);
  assertEquals(mended.problems, []);
  assertEquals(mended.modules.map(({ value }) => value), [1, 2]);
});

Deno.test("loadModules names the file where nothing else keeps the process", async () => {
  await using folder = await dropIn({ "10_late.ts": "await new Promise(() => {});" });
  const load = new URL("../../core/load.ts", import.meta.url).href;
  const text = `
import { loadModules } from "${load}";
const { problems } = await loadModules(["${folder.path}"], 20);
console.log(problems[0].at);
Deno.exit();`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--config", `${import.meta.dirname}/../../deno.json`, "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout } = await child.output();
  assertEquals(new TextDecoder().decode(stdout), `${folder.path}/10_late.ts\n`);
});

for (const kind of ["setup", "top-level await"] as const) {
  Deno.test(`reload goes on after a plugin whose ${kind} never ends`, async () => {
    const limits = { ...codeLimits };
    await using running = await startReloading({}, {}, limits);
    // What is there already may take its time.
    Object.assign(limits, { load: 500, setup: 50 });
    const place = crypto.randomUUID();
    const well = running.plugin("late", "late");
    const late = kind === "setup"
      ? well.replace("setup() {", `async setup() { ${waiting(place)}`)
      : `${well}\n${waiting(place)}`;
    const [problem] = await running.write({ "plugins/91_late.ts": late }, refused);
    assertMatch(problem!, /plugins\/91_late\.ts: .*: It took longer than 0\.0?5 s\. Let /);
    release(place);
    const files = {
      "plugins/91_late.ts": null,
      "providers/next.ts": providerText("next", "http://127.0.0.1:1"),
    };
    assertEquals(await running.write(files), ['provider "next" added']);
    await running.router.stop();
    // A setup that ends after all is closed.
    assertEquals(running.events, kind === "setup" ? ["setup late", "dispose late"] : []);
  });
}

Deno.test("Program stops while a plugin's setup never ends, and closes what it opened", async () => {
  await using running = await startReloading({}, {}, { ...codeLimits, stop: 50 });
  const { router, events } = running;
  const [closing, place] = [crypto.randomUUID(), crypto.randomUUID()];
  const reached = async (name: string) => {
    while (!Reflect.has(globalThis, name)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await running.write({
    "plugins/90_slow.ts": running.plugin("slow", "slow")
      .replace("dispose: () =>", `dispose: async () => { ${waiting(closing)} },\n ready: () =>`),
  });
  const late = running.plugin("late").replace("setup() {", `async setup() { ${waiting(place)}`);
  const folder = router.program.config.settings.pluginsDir!;
  await Deno.writeTextFile(`${folder}/91_late.ts`, late);
  await Deno.writeTextFile(`${folder}/92_after.ts`, running.plugin("after", "after"));
  const reloaded = router.program.reload();
  await reached(place);
  const lines = router.log.length;
  const stopped = router.stop();
  // The reload was given up: plugins are closed, and the database is still open.
  await reached(closing);
  release(place);
  await reloaded;
  assertEquals(events, [
    "setup slow",
    "setup late",
    "setup after",
    "dispose after",
    "dispose late",
  ]);
  release(closing);
  await stopped;
  assertEquals(router.log.slice(lines), []);
});

Deno.test("GET /ready names a plugin that never says whether it can work", async () => {
  await using folder = await dropIn({
    "90_late.js": `export default {
      name: "late",
      setup: () => ({ ready: () => new Promise(() => {}) }),
    };`,
  });
  await using router = await startRouter(
    { XROUTER_PLUGINS_DIR: folder.path },
    {},
    { ...codeLimits, ready: 50 },
  );
  const response = await router.get("/ready");
  assertEquals(response.status, 503);
  assertEquals(await response.json(), { status: "not ready", failed: ["late"] });
});
