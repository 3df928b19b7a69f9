import { embedders } from "../support/fake_gigachat_embeddings.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type ErrorCode, RouterError } from "../../core/errors.ts";
import { type FakeFault, startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open } from "../support/fake_gigachat_call.ts";

const html = "<html><body>403 Forbidden nginx</body></html>";

const faults: [FakeFault, ErrorCode, string][] = [
  [{ status: 402 }, "upstream_rejected", "402"],
  [{ status: 403 }, "upstream_rejected", "GigaChat does not permit this call"],
  [{ status: 403, body: html }, "upstream_rejected", "GigaChat does not permit this call"],
  [{ status: 404 }, "upstream_rejected", "GigaChat does not have this model: No such model"],
  [{ status: 413 }, "context_length_exceeded", "too large"],
  [
    { status: 422, body: { status: 422, message: "Invalid params: x" } },
    "invalid_request",
    "params: x",
  ],
  [
    { status: 400, body: { status: 400, message: "Empty schema" } },
    "invalid_request",
    "Empty schema",
  ],
  [{ status: 429 }, "upstream_busy", "busy"],
  [{ status: 500 }, "upstream_unavailable", "500"],
  [{ status: 502, body: html }, "upstream_unavailable", "502"],
  [{ status: 504, body: "" }, "upstream_unavailable", "504"],
  [{ status: 200, body: html }, "upstream_unavailable", "not a JSON object"],
  [{ status: 200, body: { surprise: 1 } }, "upstream_unavailable", "unexpected"],
];
for (const [fault, code, text] of faults) {
  Deno.test(`gigachat's ${JSON.stringify(fault).slice(0, 60)} is ${code}`, async () => {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake);
    fake.failNext("chat", fault);
    const error = await assertRejects(() => ask(connection), RouterError);
    assertEquals(error.code, code);
    assertStringIncludes(error.message, text);
    assertEquals(error.message.includes("<html>"), false);
    // The next call works.
    await ask(connection);
  });
}

Deno.test("gigachat's invalid JSON is explained", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const error = await assertRejects(
    () => ask(connection, { repetition_penalty: "1" }),
    RouterError,
  );
  assertEquals(error.code, "invalid_request");
  assertStringIncludes(error.message, "any field that has the wrong type");
});

Deno.test("gigachat's retry-after is passed on", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.failNext("chat", { status: 429, headers: { "retry-after": "3" } });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.retryAfterMs, 3000);
});

Deno.test("gigachat's wrong base address is named", async () => {
  await using fake = await startFakeGigachat();
  const address = fake.env.GIGACHAT_BASE_URL!.replace("/v1", "/v9");
  using connection = connectTo(fake, { GIGACHAT_BASE_URL: address });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_rejected");
  assertStringIncludes(error.detail ?? "", "GIGACHAT_BASE_URL");
});

Deno.test("gigachat lists the models of its host that chat or make vectors", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const { signal } = new AbortController();
  const listed = await connection.transport.listModels(signal);
  assertEquals(listed, [...fake.models, ...embedders]);
  fake.failNext("models", { status: 500 }, { status: 200, body: { models: [] } });
  for (let times = 0; times < 2; times++) {
    const error = await assertRejects(() => connection.transport.listModels(signal), RouterError);
    assertEquals(error.code, "upstream_unavailable");
  }
});

Deno.test("leaving a stream gives its place back", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.streams = 1;
  const rest = Promise.withResolvers<void>();
  async function* slowly() {
    yield "один";
    await rest.promise;
  }
  fake.reply = () => ({ content: slowly() });
  const upstream = await open(connection, { stream: true });
  const busy = await assertRejects(() => ask(connection), RouterError);
  assertEquals(busy.code, "upstream_busy");
  await upstream.cancel();
  assertEquals(await fake.requestsTo("/v1/chat/completions")[0]!.end, "aborted");
  rest.resolve();
  fake.reply = () => ({ content: "снова" });
  assertEquals((await ask(connection)).choices[0]!.message!.content, "снова");
  assertEquals(connection.transport.onAbort, "cancel");
});

Deno.test("a caller who leaves a silent gigachat gets his own reason", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  await ask(connection);
  fake.failNext("chat", "silence");
  const leaving = new AbortController();
  const waiting = assertRejects(() => open(connection, {}, leaving.signal), RouterError);
  leaving.abort(new RouterError("timeout", "The provider was too slow"));
  assertEquals((await waiting).code, "timeout");
});
