import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { models } from "../../providers/gigachat/models.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { embedders } from "../support/fake_gigachat_embeddings.ts";
import { ask as questionTo, startRouter } from "../support/router.ts";
import { connectTo } from "../support/fake_gigachat_call.ts";

const { signal } = new AbortController();

Deno.test("gigachat lists the models of its host that chat or make vectors", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  assertEquals(await connection.transport.listModels(signal), [...fake.models, ...embedders]);
  fake.failNext("models", { status: 500 }, { status: 200, body: { models: [] } });
  for (let times = 0; times < 2; times++) {
    const error = await assertRejects(() => connection.transport.listModels(signal), RouterError);
    assertEquals(error.code, "upstream_unavailable");
  }
});

Deno.test("gigachat passes over what is no model in its host's list", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.held = false;
  fake.modelEntries = [{ id: "GigaChat-2", type: "chat" }, { object: "model" }, null];
  assertEquals(await connection.transport.listModels(signal), ["GigaChat-2"]);
});

Deno.test("gigachat's own list says what models are for that nobody else knows", async () => {
  await using fake = await startFakeGigachat();
  fake.held = false;
  fake.modelEntries = [
    { id: "GigaChat-2-Max-preview", type: "chat" },
    { id: "Embeddings-9", type: "embedder" },
    { id: "Embeddings", type: "chat" },
    { id: "glm-5.2" },
  ];
  await using router = await startRouter(fake.env);
  const { data } = await (await router.get("/v1/models")).json();
  const makes = (model: string) =>
    data.find(({ id }: { id: string }) => id === `gigachat/${model}`).architecture
      ?.output_modalities;
  assertEquals([makes("GigaChat-2-Max-preview"), makes("Embeddings-9")], [["text"], [
    "embeddings",
  ]]);
  // The table wins, and what nobody says is not known.
  assertEquals([makes("Embeddings"), makes("glm-5.2")], [["embeddings"], undefined]);
  const response = await router.chat(questionTo("gigachat/Embeddings-9"));
  assertEquals([response.status, (await response.json()).error.param], [400, "model"]);
  assertEquals(fake.chats, []);
});

Deno.test("gigachat lists what any of its accounts may use, by its own host", async () => {
  await using old = await startFakeGigachat();
  await using current = await startFakeGigachat({ credentials: btoa("other:key") });
  old.models = ["GigaChat", "GigaChat-2"];
  current.models = ["GigaChat-2", "GigaChat-3-Ultra"];
  const account = (fake: typeof old, name: string) => ({
    name,
    credentials: fake.account.credentials,
    baseUrl: fake.env.GIGACHAT_BASE_URL,
    authUrl: fake.env.GIGACHAT_AUTH_URL,
  });
  const file = { accounts: [account(old, "old"), account(current, "current")] };
  using connection = connectTo(old, { GIGACHAT_CREDENTIALS: "" }, file);
  assertEquals(await connection.transport.listModels(signal), [
    "GigaChat",
    "GigaChat-2",
    ...embedders,
    "GigaChat-3-Ultra",
  ]);
  current.failNext("models", { status: 403 });
  assertEquals(await connection.transport.listModels(signal), [...old.models, ...embedders]);
});

Deno.test("gigachat's embeddings cost what Sber's tariff says", () => {
  const embedders = Object.entries(models).filter(([id]) => id.includes("Embeddings"));
  assertEquals(embedders.length, 4);
  for (const [id, { price }] of embedders) {
    assertEquals([price?.currency, price?.input], ["RUB", 14], id);
  }
});

Deno.test("gigachat tells an operator what is left of the packages", async () => {
  await using fake = await startFakeGigachat({ balance: [{ usage: "GigaChat", value: 100_500 }] });
  using connection = connectTo(fake);
  const [account] = connection.transport.accounts;
  assertEquals(await account!.balance(signal), [
    { name: "GigaChat", left: 100_500, unit: "tokens" },
  ]);
  delete fake.account.balance;
  const error = await assertRejects(() => account!.balance(signal), RouterError);
  assertEquals(error.message, "The account has no balance: it pays by use");
  assertStringIncludes(error.detail ?? "", "Permission denied");
  fake.failNext("balance", { status: 200, body: { balance: 7 } }, { status: 500 });
  for (const text of ["another shape", "HTTP 500"]) {
    const error = await assertRejects(() => account!.balance(signal), RouterError);
    assertStringIncludes(error.message, text);
  }
});
