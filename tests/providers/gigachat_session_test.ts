import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { addHeaders } from "../../providers/gigachat/call_headers.ts";
import { sessionId } from "../../providers/gigachat/session.ts";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";

const uuid = /^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
const system = { role: "system", content: "Ты помогаешь." };
const first = { role: "user", content: "Привет" };
const turns = [first, { role: "assistant", content: "Здравствуй" }, {
  role: "user",
  content: "Как дела?",
}];

function body(messages: ChatBody["messages"], more: Record<string, unknown> = {}): ChatBody {
  return { model: "GigaChat-2", messages, ...more };
}

function idOf(given: ChatBody, keyId?: string, headers: Record<string, string> = {}): string {
  return sessionId(given, callOf({ keyId, clientHeaders: new Headers(headers) }));
}

Deno.test("the turns of one conversation have one session, and others have others", () => {
  const id = idOf(body([system, first]), "key_1");
  assertMatch(id, uuid);
  assertEquals(idOf(body([system, ...turns]), "key_1"), id);
  assertEquals(idOf(body([system, first], { temperature: 1, stream: true }), "key_1"), id);
  const developer = { ...system, role: "developer" };
  assertEquals(idOf(body([developer, first]), "key_1"), id);
  const others = [
    idOf(body([system, first]), "key_2"),
    idOf(body([system, first])),
    idOf(body([system, first], { model: "GigaChat-2-Max" }), "key_1"),
    idOf(body([{ ...system, content: "Иначе." }, first]), "key_1"),
    idOf(body([system, { role: "user", content: "Пока" }]), "key_1"),
    idOf(body([first]), "key_1"),
  ];
  assertEquals(new Set([id, ...others]).size, others.length + 1);
});

Deno.test("a client names its session, and no two keys share it", () => {
  const named = { "x-session-id": "chat-7" };
  const id = idOf(body([first]), "key_1", named);
  assertMatch(id, uuid);
  assertEquals(idOf(body([system, ...turns], { prompt_cache_key: "other" }), "key_1", named), id);
  assertEquals(idOf(body([system], { prompt_cache_key: "chat-7" }), "key_1"), id);
  assertNotEquals(idOf(body([first]), "key_2", named), id);
  assertNotEquals(idOf(body([first], { prompt_cache_key: "chat-8" }), "key_1"), id);
  // What is no name is passed over.
  assertEquals(
    idOf(body([first], { prompt_cache_key: "" }), "key_1", { "x-session-id": " " }),
    idOf(body([first], { prompt_cache_key: 7 }), "key_1"),
  );
});

Deno.test("a session goes by the words and the pictures of a content in parts", () => {
  const part = (text: string, url: string) =>
    body([{
      role: "user",
      content: [{ type: "text", text }, { type: "image_url", image_url: { url } }],
    }]);
  const id = idOf(part("Что это?", "data:image/png;base64,AAAA"));
  assertEquals(idOf(part("Что это?", "data:image/png;base64,AAAA")), id);
  assertNotEquals(idOf(part("Что это?", "data:image/png;base64,BBBB")), id);
  assertNotEquals(idOf(part("Кто это?", "data:image/png;base64,AAAA")), id);
  // Words that are cut elsewhere are other words.
  const two = (a: string, b: string) =>
    body([{ role: "system", content: a }, { role: "u", content: b }]);
  assertNotEquals(idOf(two("ab", "c")), idOf(two("a", "bc")));
  assertMatch(idOf(body([{ role: "user" }])), uuid);
});

Deno.test("gigachat's cache hits on the next turn, and the client sees the cached tokens", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const long = { role: "user", content: "Слово. ".repeat(500) };
  const cachedOf = async (messages: ChatBody["messages"]) => {
    const { usage } = await ask(connection, { messages });
    const cached = usage!.prompt_tokens_details!.cached_tokens!;
    return { cached, rest: usage!.prompt_tokens! - cached };
  };
  assertEquals((await cachedOf([system, long])).cached, 2);
  const next = await cachedOf([system, long, turns[1]!, turns[2]!]);
  assertEquals(next.cached > 800 && next.rest < 50, true, JSON.stringify(next));
  const ids = fake.requestsTo("/v1/chat/completions").map(({ headers }) =>
    headers.get("x-session-id")
  );
  assertMatch(ids[0] ?? "", uuid);
  assertEquals(ids[0], ids[1]);
});

Deno.test("GIGACHAT_SESSIONS=off sends no session", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_SESSIONS: "off" });
  await ask(connection);
  assertEquals(fake.requests.at(-1)!.headers.get("x-session-id"), null);
});

Deno.test("gigachat gets the ids that a client writes for its log, and no x-client-id", () => {
  const passed = {
    "x-request-id": "r",
    "x-trace-id": "t",
    "x-operation-id": "o",
    "x-service-id": "s",
    "x-agent-id": "a",
  };
  const clientHeaders = new Headers({
    ...passed,
    "x-client-id": "c",
    "x-session-id": "mine",
    authorization: "Bearer xr-key",
    cookie: "c",
  });
  const headersOf = (sessions: "on" | "off", headers: Record<string, string> = {}) => {
    const call = callOf({ clientHeaders, headers, settings: { sessions } });
    addHeaders(body([first]), call);
    return call.headers;
  };
  assertEquals(headersOf("off"), passed);
  assertEquals(
    Object.keys(headersOf("on")).sort(),
    [...Object.keys(passed), "x-session-id"].sort(),
  );
  assertEquals(headersOf("on", { "x-session-id": "of a plugin" })["x-session-id"], "of a plugin");
  clientHeaders.set("x-trace-id", "t".repeat(129));
  assertEquals(headersOf("off")["x-trace-id"], undefined);
});
