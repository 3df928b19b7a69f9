import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";
import { fixture, MutualTlsServer } from "../support/mutual_tls_server.ts";

const noKey = { GIGACHAT_CREDENTIALS: "" };
const byUser = { ...noKey, GIGACHAT_USER: "Иван", GIGACHAT_PASSWORD: "два слова: и знак" };
const certificate = {
  GIGACHAT_CERT_FILE: fixture("test_client.pem"),
  GIGACHAT_KEY_FILE: fixture("test_client_key.pem"),
};
const user = { name: byUser.GIGACHAT_USER, password: byUser.GIGACHAT_PASSWORD };

const answers = {
  "/v1/chat/completions": {
    choices: [{ message: { role: "assistant", content: "да" }, index: 0, finish_reason: "stop" }],
  },
};

Deno.test("gigachat signs in by user and password, and renews its token", async () => {
  await using fake = await startFakeGigachat({ user });
  using connection = connectTo(fake, { ...byUser, GIGACHAT_PARALLEL: "50" });
  await Promise.all(Array.from({ length: 50 }, () => ask(connection)));
  const [request, ...more] = fake.requestsTo("/v1/token");
  assertEquals(more.length, 0);
  assertEquals(request!.method, "POST");
  assertEquals(request!.body, "");
  assertEquals(request!.headers.get("rquid"), null);
  assertEquals(fake.requestsTo("/api/v2/oauth").length, 0);
  fake.expireTokens();
  await ask(connection);
  assertEquals(fake.tokensIssued, 2);
});

Deno.test("gigachat names the cure for a wrong password, and shows none", async () => {
  await using fake = await startFakeGigachat({ user });
  using connection = connectTo(fake, { ...byUser, GIGACHAT_PASSWORD: "wrong-CANARY" });
  const wrong = await assertRejects(() => ask(connection), RouterError);
  assertEquals(wrong.code, "upstream_rejected");
  assertStringIncludes(wrong.detail ?? "", "Check GIGACHAT_USER and GIGACHAT_PASSWORD");
  const sent = fake.requestsTo("/v1/token")[0]!.headers.get("authorization")!;
  const body = { message: `no ${sent}, wrong-CANARY` };
  fake.failNext("token", { status: 401, body }, { status: 403, body: "<html>nginx</html>" });
  const repeated = await assertRejects(() => ask(connection), RouterError);
  assertStringIncludes(repeated.detail ?? "", "no Basic […], [password]");
  const elsewhere = await assertRejects(() => ask(connection), RouterError);
  assertStringIncludes(elsewhere.detail ?? "", "Check GIGACHAT_BASE_URL");
});

Deno.test("gigachat takes a ready token as it is, and says who renews it", async () => {
  await using fake = await startFakeGigachat();
  const token = fake.issueToken();
  using connection = connectTo(fake, { ...noKey, GIGACHAT_ACCESS_TOKEN: `Bearer ${token}` });
  await ask(connection);
  assertEquals(fake.requests.at(-1)!.headers.get("authorization"), `Bearer ${token}`);
  fake.expireTokens();
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_rejected");
  assertStringIncludes(error.detail ?? "", "The token in GIGACHAT_ACCESS_TOKEN has ended");
  assertEquals(`${error.message} ${error.detail}`.includes(token), false);
  assertEquals(fake.requestsTo("/v1/chat/completions").length, 2);
  assertEquals(fake.requestsTo("/api/v2/oauth").length, 0);
});

for (const key of ["test_client_key.pem", "test_client_key_locked.pem"]) {
  Deno.test(`gigachat signs in by a client certificate alone, with ${key}`, async () => {
    await using fake = await startFakeGigachat();
    await using server = await MutualTlsServer.start(answers);
    using connection = connectTo(fake, {
      ...noKey,
      ...certificate,
      GIGACHAT_BASE_URL: `${server.origin}/v1`,
      GIGACHAT_KEY_FILE: fixture(key),
      ...(key.includes("locked") && { GIGACHAT_KEY_PASSWORD: "test-password" }),
    });
    assertEquals((await ask(connection)).choices[0]!.message!.content, "да");
    assertEquals(server.calls, [{
      path: "/v1/chat/completions",
      client: "xrouter-test-client",
      authorization: undefined,
    }]);
    assertEquals(fake.requests.length, 0);
  });
}

Deno.test("gigachat shows its client certificate to the API, and its key to OAuth alone", async () => {
  await using fake = await startFakeGigachat();
  await using server = await MutualTlsServer.start(answers);
  await using other = await MutualTlsServer.start({});
  using connection = connectTo(fake, {
    ...certificate,
    GIGACHAT_BASE_URL: `${server.origin}/v1`,
  });
  await ask(connection);
  assertEquals(server.calls.map(({ client }) => client), ["xrouter-test-client"]);
  assertStringIncludes(server.calls[0]!.authorization ?? "", "Bearer fake.");
  assertEquals(fake.requests.map(({ path }) => path), ["/api/v2/oauth"]);
  assertEquals(fake.requests[0]!.headers.get("user-agent"), "xrouter");

  // A sign-in that asks for certificates sees none.
  using asked = connectTo(fake, { ...certificate, GIGACHAT_AUTH_URL: `${other.origin}/oauth` });
  await assertRejects(() => ask(asked), RouterError);
  assertEquals(other.calls.map(({ client }) => client), [undefined]);
});

Deno.test("gigachat names the cure where a client certificate is missing or refused", async () => {
  await using fake = await startFakeGigachat();
  await using server = await MutualTlsServer.start(answers);
  const baseUrl = { GIGACHAT_BASE_URL: `${server.origin}/v1` };
  const detailOf = async (env: Record<string, string>) => {
    using connection = connectTo(fake, { ...baseUrl, ...env });
    const error = await assertRejects(() => ask(connection), RouterError);
    assertEquals(error.code, "upstream_rejected");
    return error.detail ?? "";
  };
  assertStringIncludes(await detailOf({}), "Set GIGACHAT_CERT_FILE and GIGACHAT_KEY_FILE");
  const stranger = {
    GIGACHAT_CERT_FILE: fixture("test_server.pem"),
    GIGACHAT_KEY_FILE: fixture("test_server_key.pem"),
  };
  assertStringIncludes(await detailOf({ ...noKey, ...stranger }), "Check GIGACHAT_CERT_FILE");
  const calls = server.calls.length;
  const expired = { ...certificate, GIGACHAT_CERT_FILE: fixture("test_client_expired.pem") };
  assertStringIncludes(
    await detailOf({ ...noKey, ...expired }),
    "The client certificate in GIGACHAT_CERT_FILE ended on 2020-02-01. Put a new one there",
  );
  assertEquals(server.calls.length, calls);
});

Deno.test("gigachat says what is wrong when a certificate alone is answered with 401", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { ...noKey, ...certificate });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertStringIncludes(error.detail ?? "", "or set GIGACHAT_CREDENTIALS too");
  assertEquals(fake.requestsTo("/v1/chat/completions").length, 1);
});
