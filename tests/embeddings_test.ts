import { assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { ask, startRouter } from "./support/router.ts";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { dimensions, vectorOf } from "./support/fake_gigachat_embeddings.ts";
import { clientOf } from "./support/openai_client.ts";
import { startUpstream } from "./support/upstream.ts";

const model = "gigachat/Embeddings";

Deno.test("the openai client gets GigaChat's embeddings of a text and of a list, as base64 and as numbers", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  // Without a format the client asks for base64 and decodes it by itself.
  const one = await client.embeddings.create({ model, input: "Привет" });
  assertEquals(one.data.map(({ embedding }) => [...embedding]), [vectorOf("Привет")]);
  const inputs = ["раз", "два", "три"];
  const list = await client.embeddings.create({ model, input: inputs, encoding_format: "float" });
  assertEquals(list.data.map(({ embedding }) => embedding), inputs.map(vectorOf));
  assertEquals(list.data.map(({ index, object }) => [index, object]), [
    [0, "embedding"],
    [1, "embedding"],
    [2, "embedding"],
  ]);
  assertEquals(list.usage.total_tokens, list.usage.prompt_tokens);
  assertEquals(fake.requestsTo("/v1/embeddings").map(({ body }) => body), [
    { model: "Embeddings", input: ["Привет"] },
    { model: "Embeddings", input: inputs },
  ]);
});

Deno.test("a chat with an embedder, and embeddings of a chat, are refused before GigaChat is asked", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env, {
    routes: { both: [model, "gigachat/GigaChat-2"] },
  });
  const refused = await router.chat(ask(model));
  assertEquals(refused.status, 400);
  const { error } = await refused.json();
  assertEquals([error.code, error.param], ["invalid_request", "model"]);
  assertMatch(error.message, /makes embeddings, and does not chat\. Ask it at \/v1\/embeddings/);
  const client = clientOf(router);
  await assertRejects(
    () => client.embeddings.create({ model: "gigachat/GigaChat-2", input: "раз" }),
    OpenAI.BadRequestError,
    "chats, and makes no embeddings. Ask it at /v1/chat/completions",
  );
  assertEquals(
    [...fake.requestsTo("/v1/chat/completions"), ...fake.requestsTo("/v1/embeddings")],
    [],
  );
  const chat = await router.chat(ask("both"));
  assertEquals([chat.status, chat.headers.get("x-xrouter-attempts")], [200, "1"]);
  await chat.body!.cancel();
  assertEquals((await client.embeddings.create({ model: "both", input: "раз" })).data.length, 1);
});

Deno.test("embeddings are held, charged and recorded like chats", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const answer = await clientOf(router).embeddings.create({ model, input: ["раз", "два"] });
  const { prompt_tokens: tokens, cost } = answer.usage as { prompt_tokens: number; cost?: number };
  await router.stop();
  const [row] = await router.usage();
  assertEquals(
    [row!.provider, row!.model, row!.input_tokens, row!.output_tokens, row!.state, row!.estimated],
    ["gigachat", "Embeddings", tokens, 0, "completed", 0],
  );
  // 14 roubles a million tokens are 14 millionths a token.
  assertEquals([row!.cost, row!.charged, cost], [14 * tokens, 14 * tokens, 14e-6 * tokens]);
  const line = router.log.find(({ path }) => path === "/v1/embeddings");
  assertEquals([line?.status, line?.model], [200, model]);
});

Deno.test("dimensions cut GigaChat's vectors, which have the length 1 then", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const short = await client.embeddings.create({
    model,
    input: "Привет",
    dimensions: 3,
    encoding_format: "float",
  });
  const { embedding } = short.data[0]!;
  assertEquals(embedding.length, 3);
  assertAlmostEquals(Math.hypot(...embedding), 1);
  const [first, second] = vectorOf("Привет") as [number, number];
  assertAlmostEquals(embedding[0]! * second, embedding[1]! * first);
  const many = await assertRejects(
    () => client.embeddings.create({ model, input: "a", dimensions: dimensions + 1 }),
    OpenAI.BadRequestError,
  );
  assertMatch(many.message, /"dimensions" must be at most 8/);
});

Deno.test("token ids are refused where nobody can read them, and pass where the vendor is OpenAI", async () => {
  await using fake = await startFakeGigachat();
  await using vendor = startUpstream(() =>
    Response.json({
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: [0.5] }],
      model: "vendor-embed",
      usage: { prompt_tokens: 3, total_tokens: 3 },
      kept: 1,
    })
  );
  await using router = await startRouter({ ...fake.env, ...vendor.env });
  const client = clientOf(router);
  const refused = await assertRejects(
    () => client.embeddings.create({ model, input: [1, 2, 3] }),
    OpenAI.BadRequestError,
  );
  assertEquals(refused.param, "input");
  assertMatch(refused.message, /token ids/);
  assertEquals(fake.requestsTo("/v1/embeddings"), []);
  const answer = await client.embeddings.create({
    model: "openai/vendor-embed",
    input: [1, 2, 3],
    encoding_format: "float",
    dimensions: 1,
    user: "u",
  });
  assertEquals(vendor.seen[0]!.path, "/v1/embeddings");
  assertEquals(vendor.seen[0]!.body, {
    model: "vendor-embed",
    input: [1, 2, 3],
    encoding_format: "float",
    dimensions: 1,
    user: "u",
  });
  assertEquals([answer.data[0]!.embedding, (answer as { kept?: number }).kept], [[0.5], 1]);
  await router.stop();
  const row = (await router.usage()).find(({ provider }) => provider === "openai")!;
  assertEquals([row.input_tokens, row.output_tokens, row.estimated], [3, 0, 0]);
});

Deno.test("a key without credit gets no embeddings, and what no vendor reports is counted", async () => {
  await using vendor = startUpstream(() =>
    Response.json({ object: "list", data: [{ object: "embedding", index: 0, embedding: [1] }] })
  );
  await using router = await startRouter(vendor.env, {
    models: { "openai/e": { price: { currency: "RUB", input: 10, output: 0 } } },
  });
  const accounts = router.program.database;
  await accounts.execute(
    "UPDATE accounts SET prepaid = 1, balance = 0 WHERE id NOT LIKE 'owner:%'",
  );
  const poor = await assertRejects(
    () => clientOf(router).embeddings.create({ model: "openai/e", input: "x" }),
    OpenAI.APIError,
  );
  assertEquals([poor.status, poor.code], [402, "insufficient_credits"]);
  assertEquals(vendor.seen, []);
  await accounts.execute("UPDATE accounts SET prepaid = 0 WHERE id NOT LIKE 'owner:%'");
  const answer = await clientOf(router).embeddings.create({
    model: "openai/e",
    input: "one two three",
    encoding_format: "float",
  });
  assertEquals(answer.usage.prompt_tokens, 3);
  await router.stop();
  const row = (await router.usage()).find(({ state }) => state === "completed")!;
  assertEquals([row.input_tokens, row.output_tokens, row.estimated, row.cost], [3, 0, 1, 30]);
});

for (
  const [body, param] of [
    [{ model }, "input"],
    [{ model, input: "" }, "input"],
    [{ model, input: [] }, "input"],
    [{ model, input: ["a", ""] }, "input[1]"],
    [{ model, input: ["a", 1] }, "input[1]"],
    [{ model, input: [[1], []] }, "input[1]"],
    [{ model, input: { a: 1 } }, "input"],
    [{ model, input: "a", dimensions: 0 }, "dimensions"],
    [{ model, input: "a", encoding_format: "int8" }, "encoding_format"],
    [{ model, input: "a", messages: [] }, "messages"],
    [{ model, input: "a", stream: true }, "stream"],
    [{ model, input: Array(2049).fill("a") }, "input"],
    [{ input: "a" }, "model"],
  ] as const
) {
  Deno.test(`embeddings of ${JSON.stringify(body).slice(0, 60)} are a 400 that names ${param}`, async () => {
    await using router = await startRouter();
    const response = await fetch(`${router.url}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${router.secret}` },
      body: JSON.stringify(body),
    });
    assertEquals([response.status, (await response.json()).error.param], [400, param]);
  });
}

Deno.test("/v1/embeddings takes only POST, and only with a key", async () => {
  await using router = await startRouter();
  const got = await router.get("/v1/embeddings");
  assertEquals([got.status, got.headers.get("allow")], [405, "POST"]);
  await got.body!.cancel();
  const anonymous = await fetch(`${router.url}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, input: "a" }),
  });
  assertEquals(anonymous.status, 401);
  await anonymous.body!.cancel();
});
