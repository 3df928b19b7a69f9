/** GigaChat's refusals beyond what stands in each of them: see gigachat_error_bytes_test.ts. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open } from "../support/fake_gigachat_call.ts";

for (const status of [402, 403, 404, 413, 422, 429, 500, 502]) {
  Deno.test(`gigachat's ${status} is of one call: the next one works`, async () => {
    await using fake = await startFakeGigachat();
    using connection = connectTo(fake);
    fake.failNext("chat", { status, headers: { "retry-after": "9" } });
    await assertRejects(() => ask(connection), RouterError);
    await ask(connection);
  });
}

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
