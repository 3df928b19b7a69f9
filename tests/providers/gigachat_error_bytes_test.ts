/** GigaChat's refusals as the bytes of HTTP: what the client is told, and what the log. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type ErrorCode, errorTable } from "../../core/errors.ts";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { namesIn, RawGigachat, readHttp, spokenWords } from "../support/raw_gigachat.ts";
import { ask as question, startRouter } from "../support/router.ts";

const chat = "POST /v1/chat/completions";

interface Told {
  code: ErrorCode;
  /** What the client reads, in part. */
  message: string;
  /** What the operator reads in the log, in part. */
  detail: string;
  /** When the client is told to come again, in seconds. */
  retryAfter?: string;
}

const refusals: Record<string, Told> = {
  "200_page": {
    code: "upstream_unavailable",
    message: "not a JSON object",
    detail: "content-type text/html",
  },
  "200_other_shape": {
    code: "upstream_unavailable",
    message: "unexpected",
    detail: "surprise",
  },
  "400_wrong_type": {
    code: "invalid_request",
    message: "any field that has the wrong type",
    detail: "x-request-id 5d1b2a50-6f0e-4c0c-9a7e-5b0f6f2c7f10",
  },
  "400_empty_schema": {
    code: "invalid_request",
    message: "GigaChat refuses the request: Empty schema with json format type is not supported",
    detail: "HTTP 400",
  },
  "400_page": {
    code: "upstream_rejected",
    message: "GigaChat's edge refuses the call",
    detail: "Check GIGACHAT_BASE_URL (HTTP 400 400 Bad Request",
  },
  "400_no_certificate": {
    code: "upstream_rejected",
    message: "xrouter doctor",
    detail: "wants a client certificate. Set GIGACHAT_CERT_FILE and GIGACHAT_KEY_FILE",
  },
  "400_certificate": {
    code: "upstream_rejected",
    message: "xrouter doctor",
    detail: "Check GIGACHAT_CERT_FILE",
  },
  "401": {
    code: "upstream_rejected",
    message: "xrouter doctor",
    detail: "GIGACHAT_BASE_URL and GIGACHAT_AUTH_URL must belong together",
  },
  "402": {
    code: "insufficient_quota",
    message: "asks XRouter's operator to pay (HTTP 402)",
    detail: "add the key of another account to GIGACHAT_CREDENTIALS",
  },
  "403": {
    code: "upstream_rejected",
    message: "GigaChat does not permit this call",
    detail: "The tariff of the account does not include it",
  },
  "403_page": {
    code: "upstream_rejected",
    message: "GigaChat does not permit this call",
    detail: "check GIGACHAT_BASE_URL",
  },
  "404_other_host": {
    code: "model_not_found",
    message: "GigaChat does not have this model: No such model",
    detail: "Each host has models of its own: check GIGACHAT_BASE_URL",
  },
  "404_page": {
    code: "upstream_rejected",
    message: "GigaChat does not have this model",
    detail: "Each host has models of its own: check GIGACHAT_BASE_URL",
  },
  "413": {
    code: "context_length_exceeded",
    message: "GigaChat finds the request too large: Payload too large. Send less",
    detail: "HTTP 413",
  },
  "422_functions": {
    code: "invalid_request",
    message: 'does not support functions. Leave "tools" out, or use another model',
    detail: "HTTP 422",
  },
  "422_properties": {
    code: "invalid_request",
    message: 'every object of a function\'s parameters needs "properties"',
    detail: "Field 'properties.schema.properties' is missing",
  },
  "422_too_long": {
    code: "context_length_exceeded",
    message: "GigaChat has too little room",
    detail: "over the context size",
  },
  "422_empty": {
    code: "invalid_request",
    message: "GigaChat refuses the request",
    detail: "HTTP 422",
  },
  "429": {
    code: "upstream_busy",
    message: "GigaChat is busy (HTTP 429)",
    detail: "Set GIGACHAT_PARALLEL",
    retryAfter: "1",
  },
  "429_retry_after": {
    code: "upstream_busy",
    message: "GigaChat is busy (HTTP 429)",
    detail: "Set GIGACHAT_PARALLEL",
    retryAfter: "9",
  },
  "500": {
    code: "upstream_unavailable",
    message: "GigaChat failed (HTTP 500)",
    detail: "x-request-id 5d1b2a50-6f0e-4c0c-9a7e-5b0f6f2c7f10",
  },
  "502_page": {
    code: "upstream_unavailable",
    message: "GigaChat failed (HTTP 502)",
    detail: "HTTP 502 502 Bad Gateway",
  },
  "503_empty": {
    code: "upstream_unavailable",
    message: "GigaChat failed (HTTP 503)",
    detail: "HTTP 503",
  },
  "504_page": {
    code: "upstream_unavailable",
    message: "GigaChat failed (HTTP 504)",
    detail: "504 Gateway Time-out",
  },
  "504_empty": {
    code: "upstream_unavailable",
    message: "GigaChat failed (HTTP 504)",
    detail: "HTTP 504",
  },
};
for (const [name, told] of Object.entries(refusals)) {
  Deno.test(`GigaChat's refusal ${name}.http is ${told.code}, and names its cure`, async () => {
    const { bytes, status, body, headers } = readHttp(`errors/${name}.http`);
    if (status !== 200 && headers.get("content-type")?.startsWith("application/json")) {
      assertEquals(differences("Error", JSON.parse(body)), []);
    }
    await using gigachat = new RawGigachat({ [chat]: [bytes] });
    await using router = await startRouter({ ...gigachat.env, XROUTER_RETRIES: "0" });
    const response = await router.chat(question("gigachat/GigaChat-2"));
    const { error } = await response.json();
    assertEquals([response.status, error.code], [errorTable[told.code].status, told.code]);
    assertEquals(error.param, told.code === "model_not_found" ? "model" : null);
    assertStringIncludes(error.message, told.message);
    for (const word of ["GIGACHAT_", "<html>"]) assertEquals(error.message.includes(word), false);
    assertEquals(response.headers.get("retry-after") ?? undefined, told.retryAfter);
    await router.stop();
    assertStringIncludes(router.log.map(({ detail }) => detail).join(), told.detail);
  });
}

Deno.test("a call that GigaChat's one stream has no room for is made again soon", async () => {
  const busy = readHttp("errors/429.http").bytes;
  await using gigachat = new RawGigachat({ [chat]: [busy, busy, spokenWords()] });
  using connection = connectTo(gigachat);
  const { choices } = await ask(connection);
  assertEquals(choices[0]!.message!.content, "Привет!");
  assertEquals(gigachat.requestsTo(chat).length, 3);
});

Deno.test("every fixture of GigaChat's refusals is read by a test", () => {
  assertEquals(namesIn("errors"), Object.keys(refusals).sort());
});
