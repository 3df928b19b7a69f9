import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { assemble, closeProviders } from "../../core/assembly.ts";
import { ConfigError } from "../../core/config.ts";
import { HeldClock } from "../support/clock.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const keyId = "key-id-1";
const secret = "CANARY-secret";

/** Cloud.ru: its IAM at `/token`, and chats that take the tokens it has issued. */
function startCloudru() {
  const valid = new Set<string>();
  let issued = 0;
  let iamStatus = 200;
  const upstream = startUpstream(({ path, body, headers }) => {
    if (path === "/token") {
      const known = body.keyId === keyId && body.secret === secret;
      const status = known ? iamStatus : 401;
      if (status !== 200) return Response.json({ message: `Not ${body.secret}` }, { status });
      const token = `token-${++issued}`;
      valid.add(`Bearer ${token}`);
      return Response.json({ access_token: token, id_token: "x", expires_in: 3600 });
    }
    return valid.has(headers.get("authorization") ?? "")
      ? wholeAnswer()
      : Response.json({ error: { message: "Ended" } }, { status: 401 });
  });
  const address = new URL(upstream.url).origin;
  return {
    env: {
      CLOUDRU_BASE_URL: upstream.url,
      CLOUDRU_AUTH_URL: `${address}/token`,
      CLOUDRU_KEY_ID: keyId,
      CLOUDRU_SECRET: secret,
      XROUTER_RETRIES: "0",
    },
    get seen() {
      return upstream.seen;
    },
    get issued() {
      return issued;
    },
    chats: () => upstream.seen.filter(({ path }) => path !== "/token"),
    revoke: () => valid.clear(),
    answerTokens: (status: number) => iamStatus = status,
    [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose](),
  };
}

const model = "cloudru/ai-sage/GigaChat3-10B-A1.8B";

Deno.test("cloudru is asked with its API key, which needs no token", async () => {
  await using cloud = startCloudru();
  await using router = await startRouter({ ...cloud.env, CLOUDRU_API_KEY: "key-1" });
  await (await router.chat(ask(model))).body?.cancel();
  const [chat] = cloud.seen;
  assertEquals(chat!.path, "/v1/chat/completions");
  assertEquals(chat!.headers.get("authorization"), "Bearer key-1");
  assertEquals(chat!.body, ask("ai-sage/GigaChat3-10B-A1.8B"));
  assertEquals(cloud.issued, 0);
});

Deno.test("cloudru's access key gets one token for 50 calls at once", async () => {
  await using cloud = startCloudru();
  await using router = await startRouter(cloud.env);
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => router.chat(ask(model))),
  );
  for (const answer of answers) {
    assertEquals(answer.status, 200);
    await answer.body?.cancel();
  }
  assertEquals([cloud.issued, cloud.chats().length], [1, 50]);
  const { method, headers, body } = cloud.seen.find(({ path }) => path === "/token")!;
  assertEquals([method, body], ["POST", { keyId, secret }]);
  assertEquals(headers.get("content-type"), "application/json");
  assertEquals(headers.get("authorization"), null);
  assertEquals(cloud.chats()[0]!.headers.get("authorization"), "Bearer token-1");
});

Deno.test("cloudru's token is renewed before its end, and once when it is refused", async () => {
  await using cloud = startCloudru();
  await using router = await startRouter(cloud.env);
  const chat = async () => {
    const response = await router.chat(ask(model));
    await response.body?.cancel();
    return response.status;
  };
  {
    using clock = new HeldClock();
    assertEquals([await chat(), cloud.issued], [200, 1]);
    clock.pass(3_530_000);
    assertEquals([await chat(), cloud.issued], [200, 1]);
    clock.pass(20_000);
    assertEquals([await chat(), cloud.issued], [200, 2]);
  }
  cloud.revoke();
  const statuses = await Promise.all(Array.from({ length: 20 }, chat));
  assertEquals([new Set(statuses), cloud.issued], [new Set([200]), 3]);
});

Deno.test("cloudru that refuses the new token, too, is asked no third time", async () => {
  await using strict = startUpstream(({ path }) =>
    path === "/token"
      ? Response.json({ access_token: crypto.randomUUID() })
      : new Response(null, { status: 401 })
  );
  await using router = await startRouter({
    CLOUDRU_BASE_URL: strict.url,
    CLOUDRU_AUTH_URL: `${new URL(strict.url).origin}/token`,
    CLOUDRU_KEY_ID: keyId,
    CLOUDRU_SECRET: secret,
  });
  const response = await router.chat(ask(model));
  const { error } = await response.json();
  assertEquals([response.status, error.code], [502, "upstream_rejected"]);
  assertEquals(strict.seen.map(({ path }) => path), [
    "/token",
    "/v1/chat/completions",
    "/token",
    "/v1/chat/completions",
  ]);
});

Deno.test("cloudru's refused access key is the operator's matter, and is not repeated", async () => {
  for (const status of [400, 401, 403, 503]) {
    await using cloud = startCloudru();
    await using router = await startRouter(cloud.env);
    cloud.answerTokens(status);
    const response = await router.chat(ask(model));
    const text = await response.text();
    assertEquals(response.status, 502);
    assertStringIncludes(text, status === 503 ? "upstream_unavailable" : "upstream_rejected");
    assertEquals(cloud.chats(), []);
    await router.stop();
    assert(!`${text}${JSON.stringify(router.log)}`.includes(secret));
    assertStringIncludes(JSON.stringify(router.log), `HTTP ${status}`);
  }
});

Deno.test("cloudru says what to set", async () => {
  for (const env of [{}, { CLOUDRU_KEY_ID: keyId }, { CLOUDRU_SECRET: secret }]) {
    await using router = await startRouter(env);
    const response = await router.chat(ask(model));
    assertStringIncludes(
      (await response.json()).error.message,
      "Set CLOUDRU_API_KEY, or CLOUDRU_KEY_ID and CLOUDRU_SECRET",
    );
  }
});

Deno.test("cloudru sends its access key to nobody who could be overheard", async () => {
  const wrong = [
    "http://iam.invalid/token",
    "ftp://127.0.0.1/token",
    "iam.invalid",
    "http://127.evil.invalid/",
  ];
  for (const address of wrong) {
    const error = await assertRejects(
      () => assemble({ CLOUDRU_AUTH_URL: address }),
      ConfigError,
    );
    assertStringIncludes(
      error.message,
      "CLOUDRU_AUTH_URL: must be an address that begins with https://: secrets are sent to it",
    );
  }
  for (
    const address of ["https://iam.invalid/token", "http://localhost:1/token", "http://[::1]/"]
  ) {
    const { catalog } = await assemble({ CLOUDRU_AUTH_URL: address });
    await closeProviders(catalog);
  }
});
