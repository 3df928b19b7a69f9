import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ErrorCode } from "../../core/errors.ts";
import { faultByStatus, readRetryAfter, readVendorMessage } from "../../core/fault.ts";
import { faultOf } from "../../core/health.ts";

const now = Date.parse("2025-01-01T00:00:00Z");

Deno.test("readRetryAfter reads seconds and dates", () => {
  const read = (value: string) => readRetryAfter(new Headers({ "retry-after": value }), now);
  assertEquals(read("3"), 3000);
  assertEquals(read(" 0.5 "), 500);
  assertEquals(read("0"), 0);
  assertEquals(read("Wed, 01 Jan 2025 00:00:30 GMT"), 30_000);
  assertEquals(read("Tue, 31 Dec 2024 23:00:00 GMT"), 0);
  // Nobody means so long.
  assertEquals(read("99999999999999999999"), 86_400_000);
  for (const nonsense of ["", "soon", "-1 day", "1e999"]) assertEquals(read(nonsense), undefined);
  assertEquals(readRetryAfter(new Headers()), undefined);
});

Deno.test("readVendorMessage reads every usual shape of an error", () => {
  const shapes: [body: string, read: ReturnType<typeof readVendorMessage>][] = [
    ['{"error":{"message":"no","code":"bad"}}', { message: "no", code: "bad" }],
    ['{"error":{"message":"no","type":"worse"}}', { message: "no", type: "worse" }],
    ['{"message":"no","code":"bad"}', { message: "no", code: "bad" }],
    ['{"error":{"message":"no","param":"top_p"}}', { message: "no", param: "top_p" }],
    ['{"error":{"message":"no","param":null}}', { message: "no" }],
    ['{"status":404,"message":"no"}', { message: "no" }],
    ['{"error":"no"}', { message: "no" }],
    ['{"error":{"message":7,"code":429}}', {}],
    ["<html>502</html>", {}],
    ['"no"', {}],
    ["null", {}],
    ["", {}],
  ];
  for (const [body, read] of shapes) assertEquals(readVendorMessage(body), read, body);
  assertEquals(readVendorMessage(`{"message":"${"x".repeat(900)}"}`).message?.length, 500);
});

/** What a status means: our code, whether the vendor's words reach the client. */
const meanings: [status: number, code: ErrorCode, said: boolean][] = [
  [400, "invalid_request", true],
  [422, "invalid_request", true],
  [401, "upstream_rejected", false],
  [402, "insufficient_quota", false],
  [403, "upstream_rejected", false],
  [404, "model_not_found", true],
  [408, "upstream_busy", false],
  [413, "context_length_exceeded", false],
  [425, "upstream_busy", false],
  [429, "upstream_busy", false],
  [418, "upstream_rejected", true],
  [500, "upstream_unavailable", false],
  [502, "upstream_unavailable", false],
  [503, "upstream_unavailable", false],
  [529, "upstream_unavailable", false],
];

Deno.test("faultByStatus names every refusal", () => {
  const body = '{"error":{"message":"the vendor\'s words on its model"}}';
  for (const [status, code, said] of meanings) {
    const fault = faultByStatus("vendor", status, body, new Headers());
    assertEquals(fault.code, code, `HTTP ${status}`);
    assertEquals(fault.body().error.message.includes("the vendor's words"), said, `HTTP ${status}`);
    assertStringIncludes(fault.message, '"vendor"');
    assertStringIncludes(fault.detail!, "the vendor's words");
  }
});

Deno.test("faultByStatus tells a vendor's 401 as our 502", () => {
  const fault = faultByStatus("vendor", 401, "", new Headers());
  assertEquals([fault.status, fault.retry, fault.fallback], [502, false, true]);
});

Deno.test("faultByStatus tells a model that is not there as 404, where it is the vendor who says so", () => {
  const fault = (body: string) => faultByStatus("vendor", 404, body, new Headers());
  const said = fault('{"error":{"message":"No such model"}}');
  assertEquals([said.status, said.param, said.fallback], [404, "model", true]);
  const others = [
    '{"error":{"message":"Not found","code":"model_not_found"}}',
    '{"error":{"message":"Not found","param":"model"}}',
    '{"error":{"message":"Модель не найдена"}}',
    '{"error":{"message":"No endpoints found for acme/m.","code":404}}',
  ];
  for (const other of others) assertEquals(fault(other).code, "model_not_found", other);
  const lost = [
    "",
    "<html>",
    '{"detail":"Not Found"}',
    '{"error":{"message":"Invalid URL (POST /v2/chat/completions)","type":"invalid_request_error","param":null,"code":null}}',
  ];
  for (const page of lost) {
    const error = fault(page);
    // A field would make it the client's: the provider would count as up.
    assertEquals([error.code, faultOf(error, false)], ["upstream_rejected", error.code], page);
    assertStringIncludes(error.message, "xrouter doctor");
    assert(!error.message.includes("Invalid URL"));
  }
});

Deno.test("faultByStatus tells who names what is not there, and blames no vendor for it", () => {
  const named: [body: string, param: string][] = [
    ['{"error":{"message":"Audio none not found","param":"messages[1].audio.id"}}', "messages[1]"],
    ['{"error":{"message":"No file file-1"}}', "body"],
  ];
  for (const [body, param] of named) {
    const error = faultByStatus("vendor", 404, body, new Headers());
    assertEquals([error.code, error.fallback], ["upstream_rejected", true]);
    assertStringIncludes(error.param!, param);
    assertMatch(error.message, /Audio none|No file file-1/);
    assertEquals(faultOf(error, false), undefined);
  }
});

Deno.test("faultByStatus tells what is to be paid as a quota, which no waiting renews", () => {
  const named = (code: string, type = code) =>
    JSON.stringify({ error: { message: "", code, type } });
  const unpaid: [status: number, body: string][] = [
    [402, ""],
    [429, named("insufficient_quota")],
    [429, named("credit_balance_exhausted", "insufficient_quota")],
    [429, named("organization_spend_limit_exceeded")],
    [429, named("billing_not_active")],
    [400, named("billing_hard_limit_reached", "invalid_request_error")],
  ];
  for (const [status, body] of unpaid) {
    const fault = faultByStatus("vendor", status, body, new Headers());
    assertEquals([fault.status, fault.body().error.type, fault.retry, fault.fallback], [
      429,
      "insufficient_quota",
      false,
      true,
    ]);
    assertEquals(fault.answerHeaders(), { "x-should-retry": "false" });
  }
  const busy = named("rate_limit_exceeded", "tokens");
  assertEquals(faultByStatus("vendor", 429, busy, new Headers()).code, "upstream_busy");
});

Deno.test("faultByStatus's busy vendor that names no time is left alone for a second", () => {
  const fault = faultByStatus("vendor", 429, "", new Headers());
  assertEquals([fault.retryAfterMs, fault.answerHeaders()], [undefined, { "retry-after": "1" }]);
});

Deno.test("faultByStatus knows too long a prompt, which another model may take", () => {
  for (
    const body of [
      '{"error":{"code":"context_length_exceeded","message":"too long"}}',
      '{"message":"This model\'s maximum context length is 8192 tokens"}',
    ]
  ) {
    const fault = faultByStatus("vendor", 400, body, new Headers());
    assertEquals([fault.code, fault.status, fault.fallback], [
      "context_length_exceeded",
      400,
      true,
    ]);
  }
});

Deno.test("faultByStatus knows refused content, which nobody else is asked for", () => {
  for (const code of ["content_filter", "content_policy_violation"]) {
    const body = JSON.stringify({ error: { code, message: "not this" } });
    const fault = faultByStatus("vendor", 400, body, new Headers());
    assertEquals([fault.code, fault.fallback], ["content_filter", false]);
  }
});

Deno.test("faultByStatus names the field that the vendor names", () => {
  for (const code of ["unknown", "context_length_exceeded", "content_filter"]) {
    const body = JSON.stringify({ error: { code, message: "no", param: "messages[0].content" } });
    const fault = faultByStatus("vendor", 400, body, new Headers());
    assertEquals(fault.body().error.param, "messages[0].content", code);
  }
  const silent = faultByStatus("vendor", 400, '{"error":{"message":"no"}}', new Headers());
  assertEquals(silent.body().error.param, null);
});

Deno.test("faultByStatus hands on how long to wait", () => {
  for (const status of [429, 503]) {
    const fault = faultByStatus("vendor", status, "", new Headers({ "retry-after": "2" }));
    assertEquals([fault.retryAfterMs, fault.retry], [2000, true]);
    assertEquals(fault.answerHeaders(), { "retry-after": "2" });
  }
});
