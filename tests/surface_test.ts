import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { dropIn } from "./support/drop_in.ts";
import { readWholeStream } from "./support/event_stream.ts";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { ask, startRouter } from "./support/router.ts";
import { modelList, startUpstream, streamed, wholeAnswer } from "./support/upstream.ts";

Deno.test("GET /health answers without a key and without the database", async () => {
  await using router = await startRouter();
  router.program.database.close();
  const response = await fetch(`${router.url}/health`);
  assertEquals(response.status, 200);
  assertEquals(await response.json(), { status: "alive" });
});

Deno.test("GET /ready says yes, or what is down; why is in the log", async () => {
  await using router = await startRouter();
  const ready = await fetch(`${router.url}/ready`);
  assertEquals(ready.status, 200);
  assertEquals(await ready.json(), { status: "ready" });

  router.program.database.close();
  const down = await fetch(`${router.url}/ready`);
  assertEquals(down.status, 503);
  assertEquals(await down.json(), { status: "not ready", failed: ["database", "auth"] });
  assertMatch(String(router.log.find(({ failed }) => failed === "database")?.error), /closed/i);
});

Deno.test("GET /ready names a plugin that is down, as long as it is", async () => {
  await using router = await startRouter();
  const untilReadyIs = async (status: number) => {
    for (;;) {
      const response = await fetch(`${router.url}/ready`);
      const body = await response.json();
      if (response.status === status) return body;
    }
  };
  await router.program.database.execute("ALTER TABLE usage RENAME TO hidden");
  await (await router.chat(ask("echo"))).body?.cancel();
  assertEquals(await untilReadyIs(503), { status: "not ready", failed: ["usage-record"] });
  await router.program.database.execute("ALTER TABLE hidden RENAME TO usage");
  assertEquals(await untilReadyIs(200), { status: "ready" });
  assertEquals((await router.usage()).length, 1);
});

Deno.test("GET /v1/models tells in OpenRouter's words what is known of each model, and no more", async () => {
  await using vendor = startUpstream(() => wholeAnswer(), () => modelList("new", "deaf"));
  const price = { currency: "RUB", input: 65, output: 65 };
  const facts = { kind: "chat", tools: true, images: true, parameters: ["stop"], context: 1_000 };
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...vendor.env, ...fake.env }, {
    routes: { known: "openai/see", lost: "yandex/nothing" },
    models: {
      "openai/see": { ...facts, maxOutput: 100, region: "ru", price },
      "openai/deaf": { tools: false, images: false },
      "gigachat/GigaChat-2": { images: true, maxOutput: 8_192 },
    },
  });
  const { data } = await (await router.get("/v1/models")).json();
  const shown = (model: string) => {
    const { object: _object, created: _created, ...rest } = data
      .find(({ id }: { id: string }) => id === model);
    return rest;
  };
  const all = {
    context_length: 1_000,
    max_output_tokens: 100,
    architecture: { input_modalities: ["text", "image"], output_modalities: ["text"] },
    supported_parameters: ["stop", "tools", "tool_choice"],
    region: "ru",
    price,
  };
  assertEquals(shown("known"), { id: "known", owned_by: "xrouter", ...all });
  const one = await (await router.get("/v1/models/openai/see")).json();
  assertEquals({ object: "model", created: 0, id: "openai/see", owned_by: "openai", ...all }, one);
  assertEquals(shown("lost"), { id: "lost", owned_by: "xrouter" });
  assertEquals(shown("openai/new"), { id: "openai/new", owned_by: "openai" });
  assertEquals(shown("openai/deaf"), {
    id: "openai/deaf",
    owned_by: "openai",
    architecture: { input_modalities: ["text"] },
    supported_parameters: [],
  });
  const { architecture, supported_parameters: parameters, ...lite } = shown("gigachat/GigaChat-2");
  assertEquals(architecture, all.architecture);
  for (const field of ["tools", "tool_choice", "stop", "temperature", "structured_outputs"]) {
    assert(parameters.includes(field), field);
  }
  assertEquals(lite, {
    id: "gigachat/GigaChat-2",
    owned_by: "gigachat",
    context_length: 131_072,
    max_output_tokens: 8_192,
    price: { ...price, cached: 0 },
  });
  assertEquals(shown("gigachat/Embeddings").architecture, {
    input_modalities: ["text"],
    output_modalities: ["embeddings"],
  });
});

Deno.test("GET /v1/models lists models in OpenAI's shape, and each can be retrieved", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter(vendor.env, { routes: { fast: "echo/echo" } });
  const { object, data } = await (await router.get("/v1/models")).json();
  assertEquals(object, "list");
  const ids = data.map(({ id }: { id: string }) => id);
  for (const id of ["fast", "echo/echo", "openai/vendor-model"]) assert(ids.includes(id), id);
  for (const model of data) {
    assertEquals(model.object, "model");
    assertEquals(typeof model.created, "number");
    assertEquals(typeof model.owned_by, "string");
    for (const path of [model.id, encodeURIComponent(model.id)]) {
      const one = await router.get(`/v1/models/${path}`);
      assertEquals(one.status, 200);
      assertEquals((await one.json()).id, model.id);
    }
  }
  const none = await router.get("/v1/models/no-such-model");
  assertEquals(none.status, 404);
  assertStringIncludes((await none.json()).error.message, '"no-such-model"');
});

Deno.test("models of a plain object's prototype do not exist", async () => {
  await using router = await startRouter();
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    const { error } = await (await router.chat(ask(name))).json();
    assertEquals(error.code, "no_route");
    assertStringIncludes(error.message, `No provider has the model "${name}"`);
  }
});

Deno.test("wrong paths are 404, wrong methods are 405 with the right ones", async () => {
  await using router = await startRouter();
  const call = async (method: string, path: string) => {
    const response = await fetch(`${router.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${router.secret}` },
    });
    const { error } = await response.json();
    assertEquals(typeof error.message, "string");
    return [response.status, error.code, response.headers.get("allow")];
  };
  for (
    const path of ["/", "/v1", "/v1/", "/v2/models", "/v1/chat", "/v1/chat/completions/", "/%"]
  ) {
    assertEquals(await call("GET", path), [404, "not_found", null], path);
  }
  const refused = "method_not_allowed";
  for (const method of ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]) {
    assertEquals(await call(method, "/v1/chat/completions"), [405, refused, "POST"], method);
  }
  for (const path of ["/health", "/ready", "/v1/models", "/v1/models/echo"]) {
    assertEquals(await call("POST", path), [405, refused, "GET, HEAD"], path);
  }
  for (const path of ["/health", "/v1/models"]) {
    const head = await fetch(`${router.url}${path}`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${router.secret}` },
    });
    assertEquals([head.status, await head.text()], [200, ""]);
  }
});

Deno.test("every answer carries an own x-request-id, and its access line has the same", async () => {
  await using vendor = startUpstream(() => Response.json({}, { status: 500 }));
  await using router = await startRouter(
    { ...vendor.env, API_CORS_ORIGINS: "*", XROUTER_RETRIES: "0", XROUTER_BODY_LIMIT: "1024" },
  );
  const key = { authorization: `Bearer ${router.secret}` };
  const open = (path: string, init: RequestInit = {}) =>
    fetch(router.url + path, { ...init, headers: { ...key, ...init.headers as object } });
  const responses = [
    await open("/health"),
    await open("/ready"),
    await open("/v1/models"),
    await open("/v1/models/echo"),
    await open("/v1/models/nothing"),
    await open("/nothing"),
    await open("/health", { method: "POST" }),
    await open("/v1/models", { method: "HEAD" }),
    await open("/v1/models", { headers: { authorization: "Bearer wrong" } }),
    await open("/v1/chat/completions", {
      method: "OPTIONS",
      headers: { origin: "http://a.example", "access-control-request-method": "POST" },
    }),
    await router.chat(ask("echo")),
    await router.chat(ask("echo", "hi", { stream: true })),
    await router.chat(ask("nothing")),
    await router.chat(ask("openai/x")),
    await router.chat(ask("echo-cut", "a b c d", { stream: true })),
    await router.chat("{"),
    await router.chat("x".repeat(2000)),
    await router.chat(ask("echo"), { headers: { authorization: "Bearer wrong" } }),
  ];
  const statuses = responses.map(({ status }) => status);
  assertEquals(
    statuses,
    [200, 200, 200, 200, 404, 404, 405, 200, 401, 204, 200, 200, 404, 502, 200, 400, 413, 401],
  );
  const ids = responses.map(({ headers }) => headers.get("x-request-id")!);
  for (const id of ids) assertMatch(id, /^[0-9a-f-]{36}$/);
  assertEquals(new Set(ids).size, ids.length);
  for (const response of responses) await response.text();

  await router.stop();
  const access = router.log.filter(({ message }) => message === "access");
  assertEquals(access.map(({ requestId }) => requestId).sort(), [...ids].sort());
  for (const [i, id] of ids.entries()) {
    const line = access.find(({ requestId }) => requestId === id)!;
    assertEquals(line.status, statuses[i]);
    assertEquals(line.path, new URL(responses[i]!.url).pathname);
    assertEquals([typeof line.method, typeof line.durationMs], ["string", "number"]);
  }
});

Deno.test("stream_options.include_usage decides on the usage event, whatever the vendor sends", async () => {
  const chunk = (rest: object) => `data: ${JSON.stringify({ id: "1", choices: [], ...rest })}\n\n`;
  const said = { choices: [{ index: 0, delta: { content: "Hi" }, finish_reason: "stop" }] };
  const usage = { "prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8 };
  const done = "data: [DONE]\n\n";
  await using vendor = startUpstream(({ body }) =>
    body.model === "counts"
      ? streamed(chunk(said), chunk({ usage }), done)
      : streamed(chunk(said), done)
  );
  await using router = await startRouter(vendor.env);
  for (const model of ["openai/counts", "openai/counts-not", "echo"]) {
    for (
      const options of [undefined, null, {}, { include_usage: false }, { include_usage: null }]
    ) {
      const body = ask(model, "hi", {
        stream: true,
        ...options === undefined ? {} : { stream_options: options },
      });
      const { events, done } = await readWholeStream(await router.chat(body));
      assert(done);
      assertEquals(events.filter((each) => each.usage != null || each.choices.length === 0), []);
    }
    const body = ask(model, "hi", { stream: true, stream_options: { include_usage: true } });
    const { events } = await readWholeStream(await router.chat(body));
    const last = events.at(-1)!;
    assertEquals(last.choices, []);
    assertEquals(
      last.usage!.total_tokens,
      last.usage!.prompt_tokens + last.usage!.completion_tokens,
    );
    if (model === "openai/counts") assertEquals(last.usage, { ...usage, cost: null });
    assertEquals(events.slice(0, -1).filter((each) => each.usage != null), []);
  }
  for (const { body } of vendor.seen) assertEquals(body.stream_options.include_usage, true);
});

Deno.test("a plugin's route may answer with anything, and its crash shows nothing", async () => {
  const source = `export default { name: "odd", setup: () => ({
    routes(app) {
      app.get("/away", () => Response.redirect("http://a.example/b", 302));
      app.get("/crash", () => { throw new Error("inner words"); });
      app.get("/nothing-at-all", () => {});
    },
  }) };`;
  await using folder = await dropIn({ "90_odd.ts": source });
  await using router = await startRouter({
    XROUTER_PLUGINS_DIR: folder.path,
    API_CORS_ORIGINS: "*",
  });
  const away = await fetch(`${router.url}/away`, { redirect: "manual" });
  await away.body?.cancel();
  assertEquals([away.status, away.headers.get("location")], [302, "http://a.example/b"]);
  assert(away.headers.has("x-request-id"));
  for (const path of ["/crash", "/nothing-at-all"]) {
    const response = await fetch(router.url + path);
    const text = await response.text();
    assertEquals([response.status, JSON.parse(text).error.code], [500, "internal"]);
    assert(!/inner words|at file:|\.ts/.test(text), text);
    assert(response.headers.has("x-request-id"));
  }
  assert(
    router.log.some(({ level, error }) => level === "error" && /inner words/.test(`${error}`)),
  );
});
