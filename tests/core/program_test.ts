import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { pathToFileURL } from "node:url";
import { ConfigError } from "../../core/config.ts";
import { assemble } from "../../core/assembly.ts";
import { createLog } from "../../core/log.ts";
import { Program } from "../../core/program.ts";
import { loadTokenizer } from "../../core/tokens.ts";
import { dropIn } from "../support/drop_in.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { seededRandom } from "../support/random.ts";
import { ask, startRouter } from "../support/router.ts";
import {
  delta,
  ending,
  event,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

/** A second vendor, whose answers are read to their end when the client leaves. */
const drained = `
import { defineProvider } from "xrouter/provider";

export default defineProvider({
  name: "drained",
  baseUrl: "https://drained.invalid/v1",
});
`;

/** A plugin that lets the test wait until a client has gone. */
const watch = `
import { definePlugin } from "xrouter/plugin";

const watched = new Map();

export function gone(model) {
  if (!watched.has(model)) watched.set(model, Promise.withResolvers());
  return watched.get(model);
}

export default definePlugin({
  name: "watch",
  setup: () => ({
    onRequest(x) {
      const { model } = x.body;
      x.signal.addEventListener("abort", () => gone(model).resolve(), { once: true });
    },
  }),
});
`;

Deno.test("Program records each exchange once, whatever became of its client", async () => {
  const random = seededRandom();
  await using providers = await dropIn({ "drained.ts": drained });
  await using plugins = await dropIn({ "11_watch.js": watch });
  const { gone } = await import(pathToFileURL(`${plugins.path}/11_watch.js`).href);
  const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i} `);
  const plans = Array.from({ length: 60 }, (_, i) => {
    const chunks = 1 + random(12);
    return {
      model: `${random(2) === 0 ? "openai" : "drained"}/m-${i}`,
      chunks,
      // How many chunks the client reads before it leaves; as many as there are and it stays.
      leavesAt: random(3) === 0 ? chunks : random(chunks),
    };
  });
  await using upstream = startUpstream(async ({ body, closed }) => {
    const plan = plans.find(({ model }) => model.endsWith(`/${body.model}`))!;
    const { model, chunks, leavesAt } = plan;
    const left = model.startsWith("openai") ? closed : gone(model).promise;
    const script = new Script();
    const all = words(chunks).map((word) => delta(word));
    const finish = async () => {
      if (leavesAt < chunks) await left;
      await script.send(...all.slice(leavesAt), ...ending());
      await script.close();
    };
    if (leavesAt === 0) await finish();
    else {
      await script.send(...all.slice(0, leavesAt));
      // A vendor that was hung up on has nobody to write to.
      finish().catch(() => {});
    }
    return script.response();
  });
  await using router = await startRouter({
    ...upstream.env,
    DRAINED_BASE_URL: upstream.url,
    DRAINED_API_KEY: "other-secret",
    XROUTER_PROVIDERS_DIR: providers.path,
    XROUTER_PLUGINS_DIR: plugins.path,
  });
  await Promise.all(plans.map(async ({ model, chunks, leavesAt }) => {
    const body = ask(model, "hi", { stream: true });
    const client = new LeavingClient((init) => router.chat(body, init));
    if (leavesAt === chunks) {
      await client.readAll();
      return;
    }
    if (leavesAt > 0) await client.readUntil(`w${leavesAt - 1} `);
    else {
      while (!upstream.seen.some((seen) => model.endsWith(`/${seen.body.model}`))) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    client.leave();
    await gone(model).promise;
  }));
  const rows = await router.usage();
  assertEquals(rows.length, plans.length);
  const tokenizer = await loadTokenizer("o200k_base");
  for (const { model, chunks, leavesAt } of plans) {
    const [row, ...others] = rows.filter((row) => row.model_asked === model);
    assertEquals(others, [], model);
    const told = [row!.state, row!.status, row!.estimated, row!.input_tokens, row!.output_tokens];
    const unseen = leavesAt === 0;
    const counted = tokenizer.count(words(leavesAt).join(""));
    assertEquals(
      told,
      leavesAt === chunks
        ? ["completed", 200, 0, 10, 5]
        : model.startsWith("drained")
        ? ["aborted", unseen ? 499 : 200, 0, 10, 5]
        : ["aborted", unseen ? 499 : 200, 1, 8, counted],
      JSON.stringify({ model, chunks, leavesAt }),
    );
    assertEquals([row!.key_id, row!.stream, row!.attempts], [router.keyId, 1, 1]);
  }
});

Deno.test("Program records a refused caller, of whom nothing is known", async () => {
  await using router = await startRouter();
  const response = await router.chat(ask("echo"), { headers: { authorization: "Bearer no" } });
  assertEquals(response.status, 401);
  const requestId = response.headers.get("x-request-id");
  await response.body?.cancel();
  const [row, ...others] = await router.usage();
  assertEquals(others, []);
  assertEquals(
    [row!.request_id, row!.state, row!.status, row!.error_code, row!.key_id, row!.attempts],
    [requestId, "refused", 401, "unauthorized", null, 0],
  );
  assertEquals([row!.provider, row!.output_tokens, row!.cost], [null, null, null]);
});

Deno.test("Program tells its vendor's key to nobody, whatever the vendor says", async () => {
  const say = (status: number) => ({ headers }: { headers: Headers }) => {
    const said = `Wrong key: ${headers.get("authorization")}`;
    return Response.json({ error: { message: said, code: said } }, {
      status,
      headers: { "x-echo": said, "retry-after": "3600" },
    });
  };
  const frame = (headers: Headers) => event({ error: { message: headers.get("authorization") } });
  const answers: Record<string, (seen: { headers: Headers }) => Response> = {
    ...Object.fromEntries([200, 400, 401, 402, 403, 404, 413, 418, 429, 500].map((status) => [
      String(status),
      say(status),
    ])),
    first: ({ headers }) => streamed(frame(headers)),
    middle: ({ headers }) => streamed(delta("a"), frame(headers)),
    page: ({ headers }) => new Response(`<html>${headers.get("authorization")}</html>`),
    headers: ({ headers }) => {
      const response = wholeAnswer();
      response.headers.set("x-echo", headers.get("authorization")!);
      return response;
    },
  };
  await using upstream = startUpstream((seen) => answers[seen.body.model]!(seen));
  await using router = await startRouter({ ...upstream.env, XROUTER_RETRIES: "0" });
  for (const model of Object.keys(answers)) {
    for (const stream of [false, true]) {
      const response = await router.chat(ask(`openai/${model}`, "hi", { stream }));
      const told = `${JSON.stringify([...response.headers])} ${await response.text()}`;
      assertEquals(told.includes("vendor-secret"), false, `${model}: ${told}`);
      assertEquals(told.includes(router.secret), false, model);
    }
  }
  assertEquals(upstream.seen.length, 2 * Object.keys(answers).length);
  assertEquals(upstream.seen[0]!.headers.get("authorization"), "Bearer vendor-secret");
  const rows = await router.usage();
  const written = JSON.stringify([router.log, rows]);
  for (const secret of ["vendor-secret", router.secret]) {
    assertEquals(written.includes(secret), false, secret);
  }
  const refused = rows.find((row) => row.error_code === "upstream_rejected");
  assertEquals(refused?.status, 502);
});

Deno.test("Program keeps to the limits that its environment sets", async () => {
  const script = new Script();
  await using upstream = startUpstream(async ({ body, closed }) => {
    if (body.model !== "silent") return script.response();
    await closed;
    return wholeAnswer();
  });
  await using router = await startRouter({
    ...upstream.env,
    XROUTER_LAST_MS: "100",
    XROUTER_WHOLE_MS: "100",
    XROUTER_IDLE_MS: "1500",
    XROUTER_KEEP_ALIVE_SECONDS: "1",
  });
  const late = await router.chat(ask("openai/silent"));
  assertEquals([late.status, (await late.json()).error.code], [504, "timeout"]);
  await upstream.seen[0]!.closed;
  await script.send(delta("one"));
  const response = await router.chat(ask("openai/m", "hi", { stream: true }));
  const text = await response.text();
  assertMatch(text, /"one".*\n\n: keep-alive\n\n/s);
  assertStringIncludes(text, "no sign of the next chunk");
  await upstream.seen[1]!.closed;
  const rows = await router.usage();
  assertEquals(rows.map(({ state, error_code }) => [state, error_code]), [
    ["failed", "timeout"],
    ["failed", "timeout"],
  ]);
});

const sevenLines = `import { defineProvider } from "xrouter/provider";

export default defineProvider({
  name: "dropped",
  baseUrl: "https://api.dropped.invalid/v1",
  onAbort: "cancel",
});
`;

const twelveLines = `import { definePlugin, setting } from "xrouter/plugin";
import { z } from "zod";

export default definePlugin({
  name: "greeter",
  config: z.strictObject({ word: setting("GREETING", z.string(), "What is said") }),
  setup: ({ word }) => ({
    onRequest(x) {
      x.replyHeaders["x-greeting"] = word;
    },
  }),
});
`;

Deno.test("Program takes a provider of seven lines and a plugin of twelve from outside", async () => {
  assertEquals([sevenLines, twelveLines].map((text) => text.trimEnd().split("\n").length), [7, 12]);
  await using providers = await dropIn({ "dropped.ts": sevenLines });
  await using plugins = await dropIn({ "99_greeter/mod.ts": twelveLines });
  await using upstream = startUpstream(() => wholeAnswer("fine"));
  await using router = await startRouter({
    DROPPED_BASE_URL: upstream.url,
    DROPPED_API_KEY: "key-of-dropped",
    GREETING: "hello",
    XROUTER_PROVIDERS_DIR: providers.path,
    XROUTER_PLUGINS_DIR: plugins.path,
  });
  const response = await router.chat(ask("vendor-model"));
  assertEquals((await response.json()).choices[0].message.content, "fine");
  assertEquals(response.headers.get("x-greeting"), "hello");
  assertEquals(response.headers.get("x-xrouter-provider"), "dropped");
  assertEquals(upstream.seen[0]!.headers.get("authorization"), "Bearer key-of-dropped");
});

Deno.test("Program lists what set-ups find with all else that is wrong, and touches no database", async () => {
  const failing = (name: string) =>
    `export default {
      name: "${name}",
      setup(config, { database }) {
        if (database === undefined) throw new Error("no database");
        throw new Error("the file of ${name} is missing. Give it one");
      },
    };`;
  const disposed = `${crypto.randomUUID()}`;
  await using plugins = await dropIn({
    "15_empty.ts": "export {};",
    "91_first.ts": failing("first"),
    "92_second.ts": failing("second"),
    "93_well.ts": `export default {
      name: "well",
      setup: () => ({ dispose: () => void (globalThis["${disposed}"] = true) }),
    };`,
  });
  await using providers = await dropIn({ "bad.ts": "export default { name: 7 };" });
  const env = {
    API_RATE_LIMIT: "none",
    DATABASE_URL: `file:${plugins.path}/none/xrouter.db`,
    XROUTER_PLUGINS_DIR: plugins.path,
    XROUTER_PROVIDERS_DIR: providers.path,
  };
  const open = () => Program.open(env, createLog(() => {}));
  const { problems } = await assertRejects(open, ConfigError);
  assertEquals(problems.map(({ at }) => at.split("/").at(-1)!), [
    ...["15_empty.ts", "API_RATE_LIMIT", "bad.ts", "91_first.ts", "92_second.ts"],
  ]);
  assertStringIncludes(problems.at(-1)!.message, "the file of second is missing. Give it one");
  assertEquals((globalThis as Record<string, unknown>)[disposed], true);
  await assertRejects(() => Deno.stat(`${plugins.path}/none`), Deno.errors.NotFound);
});

Deno.test("assemble lists what is wrong with settings, plugins and providers at once", async () => {
  await using plugins = await dropIn({ "15_empty.ts": "export {};" });
  await using providers = await dropIn({ "bad.ts": "export default { name: 7 };" });
  const env = {
    PORT: "many",
    API_RATE_LIMIT: "none",
    XROUTER_PLUGINS_DIR: plugins.path,
    XROUTER_PROVIDERS_DIR: providers.path,
  };
  const { problems } = await assertRejects(() => assemble(env), ConfigError);
  const places = problems.map(({ at }) => at.split("/").at(-1)!);
  assertEquals(places, ["PORT", "15_empty.ts", "API_RATE_LIMIT", "bad.ts"]);
});
