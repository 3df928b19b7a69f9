import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { assemble } from "../../core/assembly.ts";
import { ConfigError } from "../../core/config.ts";
import { clientOf } from "../support/openai_client.ts";
import { ask, startRouter } from "../support/router.ts";
import { modelList, startUpstream, wholeAnswer } from "../support/upstream.ts";

const signedIn = { YANDEX_FOLDER_ID: "b1g1", YANDEX_API_KEY: "key-1" };

/** Sends one chat to a Yandex with these settings. @returns What the vendor saw of it. */
async function sent(model: string, env: Record<string, string> = signedIn, rest: object = {}) {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({ ...env, YANDEX_BASE_URL: vendor.url });
  const response = await router.chat(ask(model, "hi", rest));
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, seen: vendor.seen[0] };
}

Deno.test("yandex is asked with an API key or an IAM token, and the folder", async () => {
  const ways: [env: Record<string, string>, authorization: string][] = [
    [{ YANDEX_API_KEY: "key-1" }, "Api-Key key-1"],
    [{ YANDEX_IAM_TOKEN: "t1.abc" }, "Bearer t1.abc"],
    [{ YANDEX_API_KEY: "key-1", YANDEX_IAM_TOKEN: "t1.abc" }, "Api-Key key-1"],
  ];
  for (const [env, authorization] of ways) {
    const { seen } = await sent("yandex/yandexgpt", { YANDEX_FOLDER_ID: "b1g1", ...env });
    assertEquals(seen!.path, "/v1/chat/completions");
    assertEquals(seen!.headers.get("authorization"), authorization);
    assertEquals(seen!.headers.get("openai-project"), "b1g1");
  }
});

Deno.test("yandex says what to set", async () => {
  for (const env of [{}, { YANDEX_FOLDER_ID: "b1g1" }, { YANDEX_API_KEY: "key-1" }]) {
    for (const model of ["yandex/x", "yandexgpt-lite:rc"]) {
      const { status, text } = await sent(model, env);
      assertEquals(status, 404);
      assertStringIncludes(text, "Set YANDEX_FOLDER_ID, and YANDEX_API_KEY or YANDEX_IAM_TOKEN");
    }
  }
});

Deno.test("yandex's models are called by URIs of the folder, and the rest is handed on", async () => {
  const uris: [model: string, uri: string][] = [
    ["yandex/yandexgpt", "gpt://b1g1/yandexgpt/latest"],
    ["yandex/yandexgpt-lite:rc", "gpt://b1g1/yandexgpt-lite/rc"],
    ["yandex/yandexgpt-lite/rc", "gpt://b1g1/yandexgpt-lite/rc"],
    ["yandex/yandexgpt:deprecated", "gpt://b1g1/yandexgpt/deprecated"],
    ["yandex/yandexgpt-32k", "gpt://b1g1/yandexgpt/latest"],
    ["yandex/yandexgpt-32k:rc", "gpt://b1g1/yandexgpt/rc"],
    ["yandex/yandexgpt-5.1", "gpt://b1g1/yandexgpt-5.1/latest"],
    ["yandex/new-one", "gpt://b1g1/new-one/latest"],
    ["yandex/yandexgpt-lite/latest@tuned", "gpt://b1g1/yandexgpt-lite/latest@tuned"],
    ["yandex/yandexgpt-lite:latest@tuned", "gpt://b1g1/yandexgpt-lite/latest@tuned"],
    ["yandex/gpt://other/yandexgpt/rc", "gpt://other/yandexgpt/rc"],
    ["yandex/ds://tuned", "ds://tuned"],
    // Without the provider's name.
    ["yandexgpt", "gpt://b1g1/yandexgpt/latest"],
    ["yandexgpt:rc", "gpt://b1g1/yandexgpt/rc"],
    ["yandexgpt-lite", "gpt://b1g1/yandexgpt-lite/latest"],
    ["yandexgpt-lite:latest", "gpt://b1g1/yandexgpt-lite/latest"],
    ["yandexgpt-lite:deprecated", "gpt://b1g1/yandexgpt-lite/deprecated"],
    ["yandexgpt-32k:latest", "gpt://b1g1/yandexgpt/latest"],
    ["aliceai-llm", "gpt://b1g1/aliceai-llm/latest"],
  ];
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({ ...signedIn, YANDEX_BASE_URL: vendor.url });
  const strange = { future: { deep: [1, null, "x"] }, seed: 5 };
  for (const [model, uri] of uris) {
    await (await router.chat(ask(model, "hi", strange))).body?.cancel();
    assertEquals(vendor.seen.at(-1)!.body, ask(uri, "hi", strange));
  }
  assertEquals(vendor.seen.length, uris.length);
});

Deno.test("yandex's list has its models for chats and embeddings, without the folder", async () => {
  let asked: Headers | undefined;
  await using vendor = startUpstream(() => wholeAnswer(), ({ headers }) => {
    asked = headers;
    return modelList(
      "gpt://b1g1/yandexgpt/rc",
      "gpt://b1g1/new-one/latest",
      "gpt://b1g1/plain",
      "gpt://b1g1/yandexgpt-lite/latest@tuned",
      "gpt://other/shared/latest",
      "gpt://b1g1/speech-realtime-250923",
      "emb://b1g1/text-search-doc/latest",
      "art://b1g1/aliceai-image-art-3.0/latest",
    );
  });
  await using router = await startRouter({ ...signedIn, YANDEX_BASE_URL: vendor.url });
  const { data } = await (await router.get("/v1/models")).json() as { data: { id: string }[] };
  const listed = data.map(({ id }) => id).filter((id) => id.startsWith("yandex/"));
  assertEquals(listed.sort(), [
    "yandex/gpt://other/shared/latest",
    "yandex/new-one",
    "yandex/plain",
    "yandex/text-search-doc",
    "yandex/yandexgpt-lite:latest@tuned",
    "yandex/yandexgpt:rc",
  ]);
  assertEquals(asked!.get("openai-project"), "b1g1");
  assertEquals(asked!.get("authorization"), "Api-Key key-1");
  // What is listed can be asked for as it stands, and also without the provider's name.
  for (const id of ["yandex/gpt://other/shared/latest", "gpt://other/shared/latest"]) {
    await (await router.chat(ask(id))).body?.cancel();
    assertEquals(vendor.seen.at(-1)!.body.model, "gpt://other/shared/latest");
  }
  await (await router.chat(ask("yandexgpt-lite:latest@tuned"))).body?.cancel();
  assertEquals(vendor.seen.at(-1)!.body.model, "gpt://b1g1/yandexgpt-lite/latest@tuned");
});

Deno.test("yandex's models have their facts and prices by each of their names", async () => {
  const price = { currency: "RUB", input: 5, output: 10 };
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({ ...signedIn, YANDEX_BASE_URL: vendor.url }, {
    models: { "yandex/yandexgpt": { price }, "yandex/yandexgpt:rc": { price, context: 90 } },
  });
  await router.program.database.execute("UPDATE accounts SET prepaid = 1, balance = 1000000000");
  const names: [name: string, context: number][] = [
    ["yandex/yandexgpt", 32_768],
    ["yandexgpt:latest", 32_768],
    ["yandexgpt/latest", 32_768],
    ["yandexgpt-32k", 32_768],
    ["yandex/yandexgpt-32k:latest", 32_768],
    ["yandex/gpt://b1g1/yandexgpt/latest", 32_768],
    ["yandexgpt-32k/rc", 90],
  ];
  for (const [name, context] of names) {
    const model = await (await router.get(`/v1/models/${encodeURIComponent(name)}`)).json();
    assertEquals([model.price, model.context_length], [price, context], name);
    const { usage } = await (await router.chat(ask(name))).json();
    assertEquals(typeof usage.cost, "number", name);
  }
});

Deno.test("yandex's models are asked for what they are for, whatever they are called by", async () => {
  await using vendor = startUpstream(
    () => wholeAnswer(),
    () => modelList("gpt://b1g1/new-chat/latest", "emb://b1g1/new-embedder/latest"),
  );
  await using router = await startRouter({ ...signedIn, YANDEX_BASE_URL: vendor.url });
  await (await router.get("/v1/models")).body!.cancel();
  const embedders = [
    "text-search-doc",
    "text-search-doc:latest",
    "new-embedder",
    "emb://b1g1/text-search-doc/latest",
    "emb://other/mine/latest",
  ];
  for (const model of embedders) {
    const { error } = await (await router.chat(ask(`yandex/${model}`))).json();
    assertStringIncludes(error.message, "makes embeddings, and does not chat", model);
  }
  for (const model of ["yandexgpt", "yandexgpt:rc", "new-chat", "gpt://other/mine/latest"]) {
    const asked = clientOf(router).embeddings.create({ model: `yandex/${model}`, input: "раз" });
    const { message } = await assertRejects(() => asked) as Error;
    assertStringIncludes(message, "chats, and makes no embeddings", model);
  }
  assertEquals(vendor.seen, []);
});

Deno.test("yandex is not asked for a model without a name", async () => {
  for (const model of ["yandex/:", "yandex/:rc", "yandex//latest"]) {
    const { status, text, seen } = await sent(model);
    assertEquals([status, JSON.parse(text).error.code, seen], [404, "no_route", undefined], model);
  }
});

Deno.test("yandex makes embeddings of one text a call, in the forms that clients ask for", async () => {
  const vectors: Record<string, number[]> = { раз: [3, 4, 0], два: [0, 0.5, 0] };
  await using vendor = startUpstream(({ body }) =>
    Response.json({
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: vectors[body.input] }],
      model: body.model,
      usage: { prompt_tokens: 2, total_tokens: 2 },
    })
  );
  await using router = await startRouter({ ...signedIn, YANDEX_BASE_URL: vendor.url });
  const client = clientOf(router);
  const answer = await client.embeddings.create({
    model: "yandex/text-search-doc",
    input: ["раз", "два"],
    dimensions: 2,
  });
  assertEquals(answer.data.map(({ index }) => index), [0, 1]);
  // The client asked for base64, which holds 32 bits a number.
  assertEquals(answer.data.map(({ embedding }) => [...embedding]), [
    [Math.fround(0.6), Math.fround(0.8)],
    [0, 1],
  ]);
  assertEquals(answer.usage.prompt_tokens, 4);
  const model = "emb://b1g1/text-search-doc/latest";
  assertEquals(vendor.seen.map(({ path, body }) => [path, body]), [
    ["/v1/embeddings", { model, input: "раз" }],
    ["/v1/embeddings", { model, input: "два" }],
  ]);
  await client.embeddings.create({ model: "yandex/emb://other/mine/latest", input: "раз" });
  assertEquals(vendor.seen[2]!.body.model, "emb://other/mine/latest");
});

Deno.test("yandex may call tools or not, and what else is asked of it goes by the policy", async () => {
  const tool = { type: "function", function: { name: "f" } };
  const more = ["required", tool, { type: "allowed_tools", allowed_tools: { mode: "auto" } }];
  for (const choice of ["auto", "none", null]) {
    const { seen } = await sent("yandex/yandexgpt", signedIn, {
      tools: [tool],
      tool_choice: choice,
    });
    assertEquals(seen!.body.tool_choice, choice);
  }
  for (const choice of more) {
    const rest = { tools: [tool], tool_choice: choice };
    const { status, text, seen } = await sent("yandex/yandexgpt", signedIn, rest);
    assertEquals([status, JSON.parse(text).error.param, seen], [400, "tool_choice", undefined]);
    assertStringIncludes(text, 'must be \\"auto\\" or \\"none\\" at provider \\"yandex\\"');
    for (const policy of ["warn", "drop"]) {
      const env = { ...signedIn, XROUTER_UNSUPPORTED: policy };
      const { status, seen, headers } = await sent("yandex/yandexgpt", env, rest);
      assertEquals(status, 200);
      assertEquals(seen!.body, ask("gpt://b1g1/yandexgpt/latest", "hi", { tools: [tool] }));
      assertEquals(headers.get("x-xrouter-changed"), policy === "warn" ? "tool_choice" : null);
    }
  }
});

Deno.test("yandex's refused key is not sent a second time", async () => {
  await using vendor = startUpstream(() => Response.json({ error: "no" }, { status: 401 }));
  await using router = await startRouter({
    ...signedIn,
    YANDEX_BASE_URL: vendor.url,
    XROUTER_RETRIES: "0",
  });
  const response = await router.chat(ask("yandex/yandexgpt"));
  assertEquals(response.status, 502);
  await response.body!.cancel();
  assertEquals(vendor.seen.length, 1);
});

Deno.test("yandex says what a wrong folder should be", async () => {
  const error = await assertRejects(() => assemble({ YANDEX_FOLDER_ID: "my folder" }), ConfigError);
  assertStringIncludes(error.message, "YANDEX_FOLDER_ID: must be a folder's id. It sets:");
});
