// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { encodeV2 } from "../../providers/gigachat/v2/encode.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, askStream, bodyOf, connectTo } from "../support/fake_gigachat_call.ts";

const all = { flags: ["a"], n: 2, profanity_check: false, reasoning_effort: "low" } as const;

/** What reaches the wire of all grantable fields. */
function sent(grantedFields: string[] | undefined, policy: "warn" | "refuse" = "warn") {
  const replyHeaders: Record<string, string> = {};
  const settings = { ...grantedFields && { grantedFields } };
  const call = callOf({ settings, policy, replyHeaders });
  const encoded = JSON.parse(JSON.stringify(encode(bodyOf(all), call)));
  const { model: _model, messages: _messages, ...fields } = encoded;
  return { fields, changed: replyHeaders["x-xrouter-changed"] };
}

Deno.test("fields that Sber has for some accounts alone are sent as the setting says", () => {
  const { n, ...usual } = all;
  assertEquals(sent(undefined), { fields: usual, changed: "n" });
  assertEquals(sent(["n"]), {
    fields: { n },
    changed: "flags, profanity_check, reasoning_effort",
  });
  assertEquals(sent(Object.keys(all)), { fields: all, changed: undefined });
  const error = assertThrows(() => sent(["n"], "refuse"), RouterError);
  assertEquals([error.code, error.param], ["invalid_request", "flags"]);
  assertStringIncludes(error.message, "GIGACHAT_GRANTED_FIELDS does not name it");
  // What asks for nothing is nothing to refuse.
  const none = { n: 1, profanity_check: true, reasoning_effort: "none" } as const;
  const call = callOf({ settings: { grantedFields: [] } });
  const encoded = JSON.parse(JSON.stringify(encode(bodyOf(none), call)));
  assertEquals(Object.keys(encoded), ["model", "messages"]);
});

Deno.test("n is refused in words that hold for v1 and for v2, whatever is granted", async () => {
  for (const grantedFields of [[], ["n"]]) {
    const settings = { v2Models: ["*"], grantedFields, v2ToolRole: "tool" };
    const refused = encodeV2(bodyOf({ n: 2 }), callOf({ settings }) as never);
    await assertRejects(
      () => refused,
      RouterError,
      "v1 more where GIGACHAT_GRANTED_FIELDS says so",
    );
  }
});

Deno.test("v2, whose answers have no alternatives, is never sent n", async () => {
  const settings = { v2Models: ["*"], grantedFields: ["n"], v2ToolRole: "tool" };
  const call = callOf({ settings, policy: "drop" });
  const encoded = await encodeV2(bodyOf({ n: 2 }), call as never);
  assertEquals(Object.hasOwn(encoded, "n"), false);
});

const usage = { prompt_tokens: 17, completion_tokens: 9, precached_prompt_tokens: 0 };
const call = { name: "w", arguments: { city: "Омск" } };

Deno.test("a whole answer has as many alternatives as GigaChat gives", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_GRANTED_FIELDS: "n" });
  const choice = (index: number, content: string) => ({
    index,
    message: { role: "assistant", content },
    finish_reason: "stop",
  });
  fake.failNext("chat", {
    status: 200,
    body: { choices: [choice(0, "один два"), choice(1, "три")], usage },
  });
  const { choices } = await ask(connection, { n: 2, stop: " два" });
  assertEquals(fake.chats[0]!.n, 2);
  assertEquals(choices.map(({ index, message }) => [index, message?.content]), [
    [0, "один"],
    [1, "три"],
  ]);
});

/** The bytes of a stream of GigaChat's. */
function streamOf(...events: unknown[]) {
  return {
    status: 200,
    body: [...events.map((event) => JSON.stringify(event)), "[DONE]"]
      .map((data) => `data: ${data}\n\n`).join(""),
    headers: { "content-type": "text/event-stream" },
  };
}

const event = (index: number, delta: object, rest: object = {}, end: object = {}) => ({
  choices: [{ index, delta, ...rest }],
  ...end,
});

/** What each alternative says in a stream: role, text, calls and why it ends. */
function alternatives(replies: readonly ChatReply[]): unknown[] {
  const found: Record<number, { role?: string; text: string; calls: number[]; ends: string[] }> =
    {};
  for (const { index, delta, finish_reason } of replies.flatMap(({ choices }) => choices)) {
    const one = found[index] ??= { text: "", calls: [], ends: [] };
    if (delta?.role) one.role = delta.role;
    one.text += delta?.content ?? "";
    one.calls.push(...(delta?.tool_calls ?? []).map(({ index }) => index!));
    if (finish_reason) one.ends.push(finish_reason);
  }
  return Object.values(found);
}

Deno.test("a stream keeps alternatives apart, and tells usage once, after all of them", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_GRANTED_FIELDS: "n" });
  fake.failNext(
    "chat",
    streamOf(
      event(0, { role: "assistant", content: "один " }),
      event(1, { role: "assistant", content: "три" }),
      event(2, { content: "", function_call: call }, { finish_reason: "function_call" }),
      event(0, { content: "" }, { finish_reason: "stop" }),
      event(3, { content: "", function_call: call }, { finish_reason: "function_call" }),
      event(1, { content: " четыре" }, { finish_reason: "length" }, { usage }),
    ),
  );
  const replies = await askStream(connection, { n: 4 });
  const role = "assistant";
  assertEquals(alternatives(replies), [
    { text: "один ", calls: [], ends: ["stop"], role },
    { text: "три четыре", calls: [], ends: ["length"], role },
    { text: "", calls: [0], ends: ["tool_calls"], role },
    { text: "", calls: [0], ends: ["tool_calls"], role },
  ]);
  assertEquals(replies.flatMap(({ usage }) => usage?.total_tokens ?? []), [26]);
  assertEquals(replies.at(-1)!.choices, []);
});

Deno.test("a stream goes on until every alternative has come to its end or to a stop sequence", () => {
  const decoder = new GigachatDecoder(bodyOf({ n: 2, stop: "!" }), 2);
  const read = (...args: Parameters<typeof event>) =>
    decoder.event(JSON.stringify(event(...args))).map(({ choices: [choice] }) => [
      choice!.index,
      choice!.delta?.content,
      choice!.finish_reason,
    ]);
  assertEquals(read(0, { content: "раз! и" }), [[0, "раз", null], [0, undefined, "stop"]]);
  assertEquals(decoder.ended, false);
  assertEquals(read(0, { content: " ещё" }), []);
  assertEquals(read(1, { content: "два" }), [[1, "два", null]]);
  assertEquals(read(1, { content: "! три" }), [[1, "", null], [1, undefined, "stop"]]);
  assertEquals(decoder.ended, true);
});

Deno.test("an alternative that begins after another one was stopped is waited for", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_GRANTED_FIELDS: "n" });
  const events = [
    event(0, { content: "раз! и" }),
    event(1, { content: "два" }),
    event(1, { content: "" }, { finish_reason: "stop" }, { usage }),
  ];
  fake.failNext("chat", streamOf(...events));
  const replies = await askStream(connection, { n: 2, stop: "!" });
  assertEquals(alternatives(replies), [
    { text: "раз", calls: [], ends: ["stop"], role: "assistant" },
    { text: "два", calls: [], ends: ["stop"], role: "assistant" },
  ]);
});
