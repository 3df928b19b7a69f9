import { assertEquals, assertMatch } from "@std/assert";
import { inFolder, spawnXrouter, xrouter } from "./xrouter.ts";

const provider = `import { defineProvider } from "xrouter/provider";
export default defineProvider({ name: "late", baseUrl: "https://late.invalid/v1" });
`;

/** A running server whose log is read line by line. */
function serve(folder: string, env: Record<string, string>) {
  const child = spawnXrouter(folder, ["start"], { PORT: "0", ...env });
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const printed = child.stdout.pipeTo(new WritableStream());
  return {
    child,
    /** The fields of the next line with this message. */
    async logged(message: string) {
      for (;;) {
        const end = text.indexOf("\n");
        if (end < 0) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`It ended: ${text}`);
          text += value;
          continue;
        }
        const line = JSON.parse(text.slice(0, end));
        text = text.slice(end + 1);
        if (line.message === message) return line;
      }
    },
    async stop() {
      child.kill("SIGTERM");
      while (!(await reader.read()).done);
      await printed;
      return (await child.status).code;
    },
  };
}

Deno.test("start takes changes over by itself, and says so", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    await Deno.writeTextFile(`${folder}/x.json`, "{}");
    const server = serve(folder, { XROUTER_PROVIDERS_DIR: "mine", XROUTER_CONFIG: "x.json" });
    assertEquals((await server.logged("started")).watching, true);
    await Deno.writeTextFile(`${folder}/mine/late.ts`, provider);
    assertEquals((await server.logged("reloaded")).changes, ['provider "late" added']);
    await Deno.writeTextFile(`${folder}/x.json`, '{"routes": {"a": "echo/echo"}}');
    assertEquals((await server.logged("reloaded")).changes, ["configuration file: routes"]);
    assertEquals(await server.stop(), 0);
  }));

Deno.test("start takes over what has changed while it started", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    await Deno.mkdir(`${folder}/plugins`);
    // Set up after the providers were read, and before anything is watched.
    await Deno.writeTextFile(
      `${folder}/plugins/90_slow.ts`,
      `import { definePlugin } from "xrouter/plugin";
      const setup = () => {
        Deno.writeTextFileSync("mine/late.ts", ${JSON.stringify(provider)});
        return {};
      };
      export default definePlugin({ name: "slow", setup });`,
    );
    const folders = { XROUTER_PROVIDERS_DIR: "mine", XROUTER_PLUGINS_DIR: "plugins" };
    const server = serve(folder, folders);
    assertEquals((await server.logged("reloaded")).changes, ['provider "late" added']);
    assertEquals(await server.stop(), 0);
  }));

Deno.test("start reloads at SIGHUP, whether it watches or not", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    const server = serve(folder, { XROUTER_PROVIDERS_DIR: "mine", XROUTER_WATCH: "false" });
    assertEquals((await server.logged("started")).watching, false);
    await Deno.writeTextFile(`${folder}/mine/late.ts`, provider);
    server.child.kill("SIGHUP");
    assertEquals((await server.logged("reloaded")).changes, ['provider "late" added']);
    await Deno.writeTextFile(`${folder}/mine/late.ts`, "export default 1;");
    server.child.kill("SIGHUP");
    const { level, problems } = await server.logged("a change is refused; what ran before goes on");
    assertEquals(level, "error");
    assertMatch(problems[0], /late\.ts: /);
    assertEquals(await server.stop(), 0);
  }));

const plugin = (setup: string) =>
  `import { definePlugin } from "xrouter/plugin";
export default definePlugin({ name: "late", setup() { ${setup} } });
`;

const careless = plugin(`
  setTimeout(() => void Promise.reject(new Error("left alone")), 10);
  setTimeout(() => { throw new Error("in a timer"); }, 30);
  return new Promise((resolve) => setTimeout(() => resolve({}), 60));
`);

Deno.test("start goes on after errors that nobody waits for, and logs them", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    const server = serve(folder, { XROUTER_PLUGINS_DIR: "mine" });
    await server.logged("started");
    await Deno.writeTextFile(`${folder}/mine/90_late.ts`, careless);
    const promise = await server.logged("a promise failed that nobody waits for");
    assertEquals(promise.level, "error");
    assertMatch(promise.error, /^Error: left alone\n.*90_late\.ts:\d/s);
    assertMatch(promise.hint, /plugin or a provider/);
    const timer = await server.logged("an error was thrown that nobody catches");
    assertMatch(timer.error, /^Error: in a timer\n.*90_late\.ts:\d/s);
    assertEquals((await server.logged("reloaded")).changes, ['plugin "late" added']);
    assertEquals(await server.stop(), 0);
  }));

Deno.test("check ends with an error that nobody waits for", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    await Deno.writeTextFile(`${folder}/mine/90_late.ts`, careless);
    const { code, stderr } = await xrouter(folder, ["check"], { XROUTER_PLUGINS_DIR: "mine" });
    assertEquals(code, 1);
    assertMatch(stderr, /left alone/);
  }));

Deno.test("check says beforehand what a start or a reload refuses", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    const env = { XROUTER_PLUGINS_DIR: "mine" };
    const check = async (text: string) => {
      await Deno.writeTextFile(`${folder}/mine/90_late.ts`, text);
      return await xrouter(folder, ["check"], env);
    };
    const good = await check(plugin("return {};"));
    assertEquals([good.code, good.stderr], [0, ""]);
    assertMatch(good.stdout, /^\d+ plugins and \d+ providers are well\n$/);
    for (
      const [text, reason] of [
        ["export default {", /90_late\.ts: cannot be loaded/],
        [plugin('throw new Error("no luck");'), /plugin "late" cannot be set up: no luck/],
        [plugin('return { routes() { throw new Error("no way"); } };'), /add its routes: no way/],
        [plugin("return { onWord() {} };"), /onWord/],
        // What fails once may be well a moment later: what was found is told all the same.
        [
          plugin("return {};") +
          'if (!globalThis.tried) { globalThis.tried = true; throw new Error("cold"); }',
          /cold/,
        ],
      ] as const
    ) {
      const { code, stderr } = await check(text);
      assertEquals(code, 1);
      assertMatch(stderr, reason);
    }
    const wrong = { PORT: "abc", DATABASE_URL: "postgres://db/x", DATABASE_AUTH_TOKEN: "a b" };
    Object.assign(env, wrong);
    const { code, stderr } = await check(plugin('throw new Error("no luck");'));
    assertEquals(code, 1);
    for (const at of [...Object.keys(wrong), "90_late\\.ts"]) {
      assertMatch(stderr, new RegExp(`${at}: `));
    }
    // It has left nothing behind: no database was opened.
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assertEquals(left, ["mine"]);
  }));
