/**
 * What every plugin keeps to. Whatever lies in `plugins/` is tested here.
 */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { Catalog } from "../../core/catalog.ts";
import { RouterError } from "../../core/errors.ts";
import { loadModules } from "../../core/load.ts";
import { createLog } from "../../core/log.ts";
import { type CheckedPlugin, checkPlugins, installPlugins } from "../../core/pipeline.ts";
import type { Exchange, Hooks, Host, Outcome } from "../../core/plugin.ts";
import { connectProviders } from "../../core/connect.ts";
import { migrationsFolder } from "../../core/program.ts";
import { settingsOf } from "../../core/settings.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import echo from "../../providers/echo.ts";

const folder = fileURLToPath(new URL("../../plugins", import.meta.url));
const { modules, problems } = await loadModules([folder]);
const { plugins, problems: wrong } = checkPlugins(modules, {}, {});

Deno.test("every file in plugins/ can be loaded, needs nothing to be set, and stands in order", () => {
  assertEquals([...problems, ...wrong], []);
  assert(plugins.length > 0);
  const numbers = modules.map(({ file }) => Number.parseInt(file));
  assertEquals(new Set(numbers).size, numbers.length, `${numbers}`);
});

/** The ways in which an exchange can end, from the one of which least is known. */
const outcomes: Outcome[] = [
  { state: "refused", status: 401, error: new RouterError("unauthorized", "No"), durationMs: 1 },
  { state: "aborted", status: 499, error: new RouterError("aborted", "Gone"), durationMs: 0 },
  {
    state: "failed",
    status: 502,
    target: { provider: "echo", model: "x", facts: {} },
    durationMs: 5,
  },
  {
    state: "completed",
    status: 200,
    target: {
      provider: "echo",
      model: "echo",
      facts: { price: { currency: "RUB", input: 1, output: 1 } },
    },
    servedModel: "echo",
    usage: { input: 1, output: 2, cached: 0, estimated: true },
    durationMs: 5.5,
    firstChunkMs: 1.5,
  },
];

/** An exchange of which no plugin has told anything, and whose body nobody has read. */
function unknownExchange(): Exchange {
  return {
    id: crypto.randomUUID(),
    startedAt: Date.now(),
    path: "/v1/chat/completions",
    dryRun: false,
    route: undefined,
    headers: new Headers(),
    get body(): never {
      throw new RouterError("payload_too_large", "Too long");
    },
    parsedBody: undefined,
    signal: new AbortController().signal,
    replyHeaders: {},
    state: {},
    attempts: [],
    producedTokens: () => 0,
  };
}

for (const checked of plugins) {
  const test = (what: string, run: (hooks: Hooks, host: Host) => void | Promise<void>) =>
    Deno.test(`plugin ${checked.file.slice(folder.length + 1)} ${what}`, () =>
      withHooks(checked, run));

  test("declares each setting with its variable and a sentence", () => {
    for (const [field, { variable, description }] of settingsOf(checked.plugin.config!)) {
      assert(/^[A-Z][A-Z0-9_]+$/.test(variable ?? ""), `${field} has no variable`);
      assert((description ?? "").length > 10, `${field} has no description`);
    }
  });

  test("is ready after its setup, and can be closed twice", async (hooks) => {
    await hooks.ready?.();
    await hooks.dispose?.();
    await hooks.dispose?.();
  });

  test("records an exchange of which nothing is known, however it ended", async (hooks, host) => {
    for (const outcome of outcomes) await hooks.onFinish?.(unknownExchange(), outcome);
    await hooks.dispose?.();
    // Nothing that it wrote may be half an answer: the database is as sound as before.
    assertEquals((await host.database.execute("PRAGMA integrity_check")).rows[0]![0], "ok");
  });

  test("adds routes that answer, and leaves the others alone", async (hooks) => {
    const app = new Hono();
    app.onError((error) => {
      if (error instanceof RouterError) return new Response(null, { status: error.status });
      throw error;
    });
    hooks.routes?.(app);
    app.all("*", (c) => c.text("others"));
    const paths = app.routes.filter(({ method, path }) => method === "GET" && !/[:*]/.test(path));
    for (const { path } of paths) assert((await app.request(path)).status < 500, path);
    assertEquals(await (await app.request("/elsewhere")).text(), "others");
    await hooks.dispose?.();
  });
}

/** Sets one plugin up with its defaults on a database of its own. */
async function withHooks(
  checked: CheckedPlugin,
  run: (hooks: Hooks, host: Host) => void | Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const { transports } = connectProviders(
    [{ file: "echo.ts", path: "echo.ts", value: echo }],
    {},
    {},
  );
  const database = await openDatabase({ url: `file:${directory}/xrouter.db` });
  try {
    await migrate(database, migrationsFolder);
    const host = {
      catalog: new Catalog(transports),
      database,
      log: createLog(() => {}),
      currency: "RUB",
    };
    const [installed] = await installPlugins([checked], () => host);
    try {
      await run(installed!.hooks, host);
    } finally {
      await installed!.hooks.dispose?.();
    }
  } finally {
    database.close();
    for (const transport of transports) transport.close();
    await Deno.remove(directory, { recursive: true });
  }
}
