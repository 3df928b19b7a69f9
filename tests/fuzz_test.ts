import { assert, assertEquals } from "@std/assert";
import { pick, randomJson } from "./support/random_json.ts";
import { type RandomBelow, seededRandom } from "./support/random.ts";
import { sendRaw } from "./support/raw_http.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";
import { delta, ending, event, startUpstream, streamed, wholeAnswer } from "./support/upstream.ts";

/** What no answer may hold: a place in the code, or the name of an exception. */
const stackTrace = /\bat .*(file:|\.ts\b)|\.ts:\d|(Type|Range|Syntax|Reference)Error/;

/** Checks one answer: below 500, and if it is a refusal, in OpenAI's shape. */
async function check(response: Response, sent: string): Promise<void> {
  const text = await response.text();
  const shown = `${response.status} for ${sent.slice(0, 2000)}: ${text.slice(0, 1000)}`;
  assert(response.status < 500, shown);
  assert(response.headers.has("x-request-id"), shown);
  if (response.ok) return;
  assert(!stackTrace.test(text), shown);
  const { error } = JSON.parse(text);
  assertEquals(Object.keys(error), ["message", "type", "code", "param"], shown);
  for (const field of ["message", "type", "code"]) {
    assertEquals(typeof error[field], "string", shown);
  }
  assert(error.message !== "" && (error.param === null || typeof error.param === "string"), shown);
}

/** Nothing failed inside, every request is recorded, and the router still works. */
async function checkAfter(router: TestRouter, requests: number): Promise<void> {
  await check(await router.chat(ask("echo")), "a plain request");
  assertEquals(await (await fetch(`${router.url}/ready`)).json(), { status: "ready" });
  assertEquals((await router.usage()).length, requests + 1);
  assertEquals(router.log.filter(({ level }) => level === "error"), []);
}

const fields = [
  ..."model models messages stream stream_options max_tokens max_completion_tokens".split(" "),
  ..."temperature top_p presence_penalty frequency_penalty n stop tools tool_choice".split(" "),
  ..."functions function_call response_format user metadata logprobs seed store".split(" "),
  ..."__proto__ constructor toJSON then".split(" "),
];

/** A request of which some fields are anything at all. */
function randomRequest(random: RandomBelow, model: string): string {
  const members = new Map([
    ["model", JSON.stringify(model)],
    ["messages", '[{"role":"user","content":"hi"}]'],
  ]);
  if (random(2) === 0) members.set("stream", "true");
  for (let changes = 1 + random(3); changes > 0; changes--) {
    members.set(pick(random, fields), randomJson(random));
  }
  if (random(3) === 0) {
    const message = [..."role content name tool_calls tool_call_id refusal audio".split(" ")]
      .filter(() => random(2) === 0).map((name) => `"${name}":${randomJson(random)}`);
    members.set("messages", `[{"role":"user",${message}}]`.replace(",}", "}"));
  }
  return `{${[...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`)}}`;
}

Deno.test("no value of any field gives a 500 or a stack trace", async () => {
  const random = seededRandom();
  await using vendor = startUpstream(({ body }) =>
    body.stream === true ? streamed(delta("hi"), ...ending()) : wholeAnswer()
  );
  await using router = await startRouter({ ...vendor.env, API_RATE_LIMIT: "100000" });
  const requests = 1500;
  for (let i = 0; i < requests; i++) {
    const text = randomRequest(random, pick(random, ["echo", "echo-long", "vendor-model"]));
    await check(await router.chat(text), text);
  }
  await checkAfter(router, requests);
});

Deno.test("no bytes give a 500 or a stack trace", async () => {
  const random = seededRandom();
  await using router = await startRouter({ API_RATE_LIMIT: "100000" });
  const encoder = new TextEncoder();
  const requests = 500;
  for (let i = 0; i < requests; i++) {
    const valid = encoder.encode(JSON.stringify(ask("echo", "hi 👋", { stream: random(2) === 0 })));
    const bytes = random(5) === 0
      ? crypto.getRandomValues(new Uint8Array(random(300)))
      : valid.slice(0, random(4) === 0 ? random(valid.length) : valid.length);
    for (let flips = random(4); flips > 0 && bytes.length > 0; flips--) {
      bytes[random(bytes.length)] = random(256);
    }
    await check(await router.chat("", { body: bytes }), bytes.toString());
  }
  await checkAfter(router, requests);
});

Deno.test("no answer of a vendor gives a 500 or a stack trace", async () => {
  const random = seededRandom();
  const reply = (): unknown => {
    const part = `{"role":"assistant","content":${randomJson(random)},"tool_calls":${
      pick(random, [randomJson(random), `[${randomJson(random)}]`])
    }}`;
    const choice = `{"index":0,"message":${part},"delta":${part},"finish_reason":"stop"}`;
    return JSON.parse(
      `{"id":"1","model":${randomJson(random)},"choices":${
        pick(random, [randomJson(random), `[${choice}]`, `[${choice}]`])
      },"usage":${
        pick(random, [
          "null",
          randomJson(random),
          `{"prompt_tokens":${randomJson(random)},"completion_tokens":${randomJson(random)},` +
          `"prompt_tokens_details":${randomJson(random)}}`,
        ])
      }}`,
    );
  };
  await using vendor = startUpstream(({ body }) => {
    const events = Array.from({ length: random(4) }, () => event(reply()));
    if (body.stream === true && random(4) > 0) return streamed(...events, ...ending());
    const status = pick(random, [200, 200, 200, 400, 401, 404, 429]);
    return new Response(pick(random, [JSON.stringify(reply()), randomJson(random)]), { status });
  });
  await using router = await startRouter({
    ...vendor.env,
    API_RATE_LIMIT: "100000",
    XROUTER_RETRIES: "0",
  }, { models: { "openai/vendor-model": { price: { currency: "RUB", input: 1, output: 2 } } } });
  const requests = 500;
  for (let i = 0; i < requests; i++) {
    const stream = random(2) === 0;
    const response = await router.chat(ask("openai/vendor-model", "hi", {
      stream,
      stream_options: { include_usage: random(2) === 0 },
    }));
    const text = await response.text();
    assert(response.status !== 500 && !stackTrace.test(text), `${response.status} ${text}`);
  }
  await checkAfter(router, requests);
});

Deno.test("no path, method or header gives a 500 or a stack trace", async () => {
  const random = seededRandom();
  await using router = await startRouter({ API_CORS_ORIGINS: "https://a.example" });
  const key = `authorization: Bearer ${router.secret}`;
  const paths = [
    ..."/ // /v1//models /v1/models/ /%00 /v1/models/%00 /v1/models/%E0%A4%A /v1/models/%2F".split(
      " ",
    ),
    ..."/v1/models/__proto__ /v1/models/echo/constructor /v1/models/../../etc /.. /? /?# /* *"
      .split(" "),
    ..."http://a.example/v1/models /v1/models/echo?a=%FF /v1/models/ECHO%2fecho /ready/.".split(
      " ",
    ),
    `/${"x".repeat(8_000)}`,
    `/v1/models/${"x".repeat(8_000)}`,
    `/v1/models/${"/".repeat(2_000)}`,
    `/v1/models/${"%25".repeat(200)}`,
    `/health?${"a=b&".repeat(2_000)}`,
  ];
  const methods = "GET POST HEAD PUT DELETE OPTIONS PATCH TRACE CONNECT PROPFIND get X".split(" ");
  const headers = [
    "host: a b",
    "host: a:99999",
    "authorization: Bearer",
    "authorization: Bearer \u00ff\u00fe",
    `authorization: Bearer ${"x".repeat(5_000)}`,
    `authorization: ${"Bearer ".repeat(500)}`,
    "x-api-key: ",
    "x-api-key: \t'; DROP TABLE api_keys; --",
    "content-type: application/json",
    "content-type: \u00ff",
    "content-length: 4",
    "content-encoding: gzip",
    "transfer-encoding: chunked",
    "expect: 100-continue",
    "origin: https://a.example",
    "origin: null",
    "origin: \u00ff",
    "access-control-request-method: POST",
    "access-control-request-headers: x\u00ff",
    "upgrade: websocket\r\nconnection: upgrade",
    "accept-encoding: gzip, br, \u00ff",
    "if-none-match: *",
    "range: bytes=0-1",
    ": empty",
    "a b: c",
  ];
  const bodies = ["hello", "5\r\nhello\r\n0\r\n\r\n", "{}", "zz\r\n", ""];
  for (let i = 0; i < 400; i++) {
    const own = headers.filter(() => random(12) === 0);
    if (!own.some((header) => /^host/.test(header))) own.push("host: x");
    if (random(2) === 0) own.push(key);
    const path = random(3) === 0 ? "/v1/chat/completions" : pick(random, paths);
    const head = `${pick(random, methods)} ${path} HTTP/1.${random(2)}\r\n${own.join("\r\n")}\r\n`;
    const bytes = Uint8Array.from(`${head}connection: close\r\n\r\n`, (sign) => sign.charCodeAt(0));
    const { status, body } = await sendRaw(router.url, bytes, pick(random, bodies), "\r\n\r\n");
    assert(status === undefined || status < 500, `${status} ${body} for ${head}`);
    assert(!stackTrace.test(body), `${body} for ${head}`);
  }
  assertEquals(router.log.filter(({ level }) => level === "error"), []);
  await check(await router.chat(ask("echo")), "a plain request");
});
