/** What XRouter may cost, as counts: they hold on any machine, however busy. */
import { assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import { Kernel } from "../core/kernel.ts";
import { createLog } from "../core/log.ts";
import { installPlugins } from "../core/pipeline.ts";
import type { Hooks } from "../core/plugin.ts";
import { assemble, closeProviders } from "../core/assembly.ts";
import { migrationsFolder } from "../core/program.ts";
import { openDatabase } from "../core/store/database.ts";
import { migrate } from "../core/store/migrate.ts";
import { ask, startRouter } from "./support/router.ts";
import { isShipped } from "./support/shipped.ts";
import { unlimited } from "./support/unlimited.ts";
import { delta, ending, startUpstream, streamed } from "./support/upstream.ts";

/** Lines of `core/` without its command line, and of any file. */
const coreLines = 21_000;
const fileLines = 350;

/** The lines of each TypeScript file below a folder, by its path. */
async function linesIn(folder: string): Promise<Map<string, number>> {
  const lines = new Map<string, number>();
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(`../${folder}`, import.meta.url))
  ) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const each of await linesIn(path)) lines.set(...each); }
    else if (name.endsWith(".ts")) {
      const text = await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
      lines.set(path, text.split("\n").length - 1);
    }
  }
  return lines;
}

Deno.test("budgets: core stays small enough to be read, and so does each file", async () => {
  let core = 0;
  for (const folder of ["core", "plugins", "providers"]) {
    for (const [path, lines] of await linesIn(folder)) {
      assertLessOrEqual(lines, fileLines, path);
      if (folder === "core" && !path.startsWith("core/cli/")) core += lines;
    }
  }
  assertLessOrEqual(core, coreLines);
});

Deno.test("budgets: a vendor that speaks OpenAI is a file of thirty lines at most", async () => {
  const folder = new URL("../providers/", import.meta.url);
  const lines: Record<string, number> = {};
  for await (const { name, isFile } of Deno.readDir(folder)) {
    // Echo is no vendor: it answers by itself.
    if (!isFile || !name.endsWith(".ts") || name === "echo.ts") continue;
    lines[name] = (await Deno.readTextFile(new URL(name, folder))).split("\n").length - 1;
  }
  assertLess(12, Object.keys(lines).length);
  assertEquals(Object.entries(lines).filter(([, count]) => count > 30), []);
});

/** Runs one streamed exchange through the plugins as they ship. @returns Calls by hook. */
async function callsOf(words: number): Promise<Partial<Record<keyof Hooks, number>>> {
  const { plugins, catalog } = await assemble({});
  const database = await openDatabase({ url: "file::memory:" });
  await migrate(database, migrationsFolder);
  const log = createLog(() => {});
  const installed = await installPlugins(
    // Who asks is known here, and not counted.
    plugins.filter(({ plugin, file }) => plugin.name !== "auth" && isShipped(file)),
    () => ({ catalog, database, log, currency: "RUB" }),
  );
  const calls: Partial<Record<keyof Hooks, number>> = {};
  const counted = installed.map((plugin) => ({
    ...plugin,
    hooks: Object.fromEntries(
      Object.entries(plugin.hooks).map(([name, run]) => [name, (...args: unknown[]) => {
        calls[name as keyof Hooks] = (calls[name as keyof Hooks] ?? 0) + 1;
        return Reflect.apply(run, plugin.hooks, args);
      }]),
    ) as Hooks,
  }));
  const caller = {
    id: "key_1",
    name: "test",
    owner: null,
    limits: unlimited,
    ownerLimits: null,
  } as never;
  const auth: Hooks = { onRequest: ({ state }) => void (state.caller = caller) };
  const kernel = new Kernel({
    plugins: [{ name: "auth", file: "auth.ts", onError: "reject", hooks: auth }, ...counted],
    time: 20_000,
    catalog,
    currency: "RUB",
    log,
    drainMs: 1_000,
    keepAliveMs: 10_000,
    unsupported: "refuse",
  });
  const text = Array.from({ length: words }, () => "word").join(" ");
  const body = JSON.stringify(ask("echo", text, { stream: true }));
  const request = new Request("http://xrouter.test/", { method: "POST", body });
  const response = await kernel.handle(
    request,
    "/v1/chat/completions",
    () => request.bytes(),
  );
  await response.text();
  await kernel.drain(1_000);
  for (const { hooks } of installed) await hooks.dispose?.();
  await closeProviders(catalog);
  database.close();
  return calls;
}

Deno.test("budgets: an exchange costs a few calls of hooks, and a chunk none", async () => {
  const short = await callsOf(1);
  const { onRequest = 0, onRoute = 0, onAttempt = 0, onChunk = 0, onFinish = 0 } = short;
  assertEquals(onChunk, 0);
  assertLessOrEqual(onAttempt, 3);
  assertLessOrEqual(onRoute, 2);
  assertLessOrEqual(onRequest, 5);
  assertLessOrEqual(onFinish, 5);
  // As many words as one likes cost no call more.
  assertEquals(await callsOf(500), short);
});

/** Counts what a function of an object is called with, until it is disposed. */
function spy<Name extends string>(
  // deno-lint-ignore no-explicit-any
  object: Record<Name, (...args: any[]) => any>,
  name: Name,
): { calls: unknown[][] } & Disposable {
  const real = object[name];
  const calls: unknown[][] = [];
  object[name] = (...args: unknown[]) => {
    calls.push(args);
    return Reflect.apply(real, object, args);
  };
  return { calls, [Symbol.dispose]: () => void (object[name] = real) };
}

Deno.test("budgets: nobody parses or prints a chunk that nobody reads", async () => {
  const words = Array.from({ length: 500 }, (_, i) => delta(`word${i} `));
  const events = [...words, ...ending()];
  await using upstream = startUpstream(() => streamed(...events));
  await using router = await startRouter(upstream.env);
  using parse = spy(JSON as never, "parse");
  using stringify = spy(JSON as never, "stringify");
  const response = await router.chat(ask("openai/m", "hi", { stream: true }));
  const text = await response.text();
  await router.stop();
  assertEquals(text, events.filter((event) => !event.includes("usage")).join(""));
  const parsed = parse.calls.map(([value]) => String(value))
    .filter((value) => value.includes("chat.completion.chunk"));
  // The first, the one that says why the answer ends, and the last ones, which may hold the usage.
  assertLessOrEqual(parsed.length, 7);
  const printed = stringify.calls.filter(([value]) =>
    (value as { object?: string } | undefined)?.object === "chat.completion.chunk"
  );
  assertEquals(printed.length, 0);
});

Deno.test("budgets: a request costs one write of its own, its hold, and no read", async () => {
  const requests = 50;
  await using router = await startRouter();
  // Time that stands still: no key grows old, so that it is looked up again.
  const realNow = performance.now;
  const now = performance.now();
  performance.now = () => now;
  const { database } = router.program;
  const real = database.execute;
  // The first settlement waits until all requests are over, so that no clock decides on the groups.
  const over = Promise.withResolvers<void>();
  const calls: string[] = [];
  const { calls: batches } = spy(database as never, "batch");
  database.execute = (async (...args: Parameters<typeof real>) => {
    const call = JSON.stringify(args);
    calls.push(call);
    if (/INSERT INTO usage /.test(call)) await over.promise;
    return await Reflect.apply(real, database, args);
  }) as typeof real;
  try {
    for (let i = 0; i < requests; i++) {
      const response = await router.chat(ask("echo"));
      assertEquals(response.status, 200);
      await response.body?.cancel();
    }
    over.resolve();
    const count = (pattern: RegExp) => calls.filter((call) => pattern.test(call)).length;
    assertEquals(count(/SELECT/), 1);
    assertEquals(count(/INSERT INTO holds/), requests);
  } finally {
    performance.now = realNow;
    over.resolve();
  }
  assertEquals((await router.usage()).length, requests);
  // They are settled in groups, after the answers.
  assertLess(calls.length + batches.length - requests, requests / 2);
});

Deno.test("budgets: an answer waits for its hold, and for nothing else in the database", async () => {
  await using router = await startRouter();
  const { database } = router.program;
  await (await router.chat(ask("echo"))).body?.cancel();
  const realNow = performance.now;
  const now = performance.now();
  performance.now = () => now;
  const real = database.execute;
  const released = Promise.withResolvers<void>();
  database.execute = (async (...args: Parameters<typeof real>) => {
    if (!/INSERT INTO holds/.test(JSON.stringify(args))) await released.promise;
    return await Reflect.apply(real, database, args);
  }) as typeof real;
  try {
    for (const stream of [false, true]) {
      const response = await router.chat(ask("echo", "hi", { stream }));
      assertEquals([response.status, (await response.text()).length > 0], [200, true]);
    }
  } finally {
    performance.now = realNow;
    released.resolve();
    database.execute = real;
  }
  assertEquals((await router.usage()).length, 3);
});
