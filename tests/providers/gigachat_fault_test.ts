import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type ErrorCode, RouterError } from "../../core/errors.ts";
import { type FakeFault, startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open } from "../support/fake_gigachat_call.ts";

const html = "<html><body>403 Forbidden nginx</body></html>";

const faults: [FakeFault, ErrorCode, string][] = [
  [{ status: 402 }, "insufficient_quota", "402"],
  [{ status: 403 }, "upstream_rejected", "GigaChat does not permit this call"],
  [{ status: 403, body: html }, "upstream_rejected", "GigaChat does not permit this call"],
  [{ status: 404 }, "model_not_found", "GigaChat does not have this model: No such model"],
  [{ status: 404, body: html }, "upstream_rejected", "GigaChat does not have this model"],
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
  [{ status: 422, body: "" }, "invalid_request", "GigaChat refuses the request"],
  [{ status: 429, headers: { "retry-after": "9" } }, "upstream_busy", "busy"],
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
    assertEquals([error.code, error.param], [
      code,
      code === "model_not_found" ? "model" : undefined,
    ]);
    assertStringIncludes(error.message, text);
    assertEquals(error.message.includes("<html>"), false);
    // The next call works.
    await ask(connection);
  });
}

const tooLong = { status: 422, message: "text file is over the context size of the model" };
const certificatePage = "<html><title>400 No required SSL certificate was sent</title></html>";
const refusedCertificate = "<html><title>400 The SSL certificate error</title></html>";

/** What the log and `xrouter doctor` say. */
const cures: [FakeFault, ErrorCode, string][] = [
  [{ status: 402 }, "insufficient_quota", "add the key of another account to GIGACHAT_CREDENTIALS"],
  [{ status: 403 }, "upstream_rejected", "The tariff of the account does not include it"],
  [{ status: 403, body: html }, "upstream_rejected", "check GIGACHAT_BASE_URL"],
  [{ status: 404 }, "model_not_found", "Each host has models of its own"],
  [{ status: 400, body: html }, "upstream_rejected", "Check GIGACHAT_BASE_URL (HTTP 400 403 Forb"],
  [{ status: 400, body: certificatePage }, "upstream_rejected", "wants a client certificate"],
  [{ status: 400, body: refusedCertificate }, "upstream_rejected", "Check GIGACHAT_CERT_FILE"],
  [{ status: 422, body: tooLong }, "context_length_exceeded", "over the context size"],
  [{ status: 429, headers: { "retry-after": "9" } }, "upstream_busy", "Set GIGACHAT_PARALLEL"],
  [{ status: 500, headers: { "x-request-id": "r-1" } }, "upstream_unavailable", "x-request-id r-1"],
  [{ status: 503, body: "" }, "upstream_unavailable", "HTTP 503"],
];
for (const [given, code, cure] of cures) {
  Deno.test(`gigachat's ${JSON.stringify(given).slice(0, 60)} names its cure`, async () => {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake);
    fake.failNext("chat", given);
    const error = await assertRejects(() => ask(connection), RouterError);
    assertEquals(error.code, code);
    assertStringIncludes(error.detail ?? "", cure);
    assertEquals(error.message.includes("GIGACHAT_"), false);
  });
}

Deno.test("gigachat's 401 after a new token names the addresses", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.failNext("chat", { status: 401 }, { status: 401 });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertStringIncludes(error.message, "xrouter doctor");
  assertStringIncludes(error.detail ?? "", "GIGACHAT_BASE_URL and GIGACHAT_AUTH_URL must belong");
});

Deno.test("gigachat's refusals repeat neither keys nor tokens", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  await ask(connection);
  const { credentials } = fake.account;
  const bearer = fake.requests.at(-1)!.headers.get("authorization")!;
  for (const status of [400, 401, 402, 403, 404, 413, 418, 422, 500]) {
    const body = { status, message: `no: ${bearer} of ${credentials}, ${bearer.slice(7)}` };
    fake.failNext("chat", { status, body }, { status, body });
    // Each of another model, so that no circuit opens.
    const { message, detail = "" } = await assertRejects(
      () => ask(connection, { model: `m-${status}` }),
      RouterError,
    );
    assertStringIncludes(`${message} ${detail}`, "no: ");
    for (const secret of [credentials, "xxxxxxxx"]) {
      assertEquals(`${message} ${detail}`.includes(secret), false, `${status} ${detail}`);
    }
  }
});

Deno.test("a call that finds gigachat busy is made again soon", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.failNext("chat", { status: 429 }, { status: 429, headers: { "retry-after": "0" } });
  assertEquals((await ask(connection)).choices.length, 1);
  assertEquals(fake.chats.length, 3);
});

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
