// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, askStream, connectTo } from "../support/fake_gigachat_call.ts";

const call = { id: "a", type: "function", function: { name: "weather", arguments: "{}" } };
const history = {
  messages: [
    { role: "user", content: "Погода?" },
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", tool_call_id: "a", content: "1°" },
    { role: "user", content: "И?" },
  ],
};
const v2 = { GIGACHAT_V2_MODELS: "*" };
const rolesIn = (chats: readonly { messages: { role: string }[] }[]) =>
  chats.map(({ messages }) => messages[2]?.role);

Deno.test("v2: a refused role is followed by the other one, which is remembered for the model", async () => {
  await using fake = await startFakeGigachat();
  fake.v2.toolRole = "function";
  using connection = connectTo(fake, v2);
  for (const answer of [ask, askStream, ask]) await answer(connection, history);
  assertEquals(rolesIn(fake.chatsV2), ["tool", "function", "function", "function"]);
  await ask(connection, { ...history, model: "GigaChat-3-Ultra" });
  assertEquals(rolesIn(fake.chatsV2).slice(4), ["tool", "function"]);
  // A host may change its mind.
  fake.v2.toolRole = "tool";
  await ask(connection, history);
  await ask(connection, history);
  assertEquals(rolesIn(fake.chatsV2).slice(6), ["function", "tool", "tool"]);
  // Another account may be on another host.
  using other = connectTo(fake, v2);
  fake.v2.toolRole = "function";
  await ask(other, history);
  assertEquals(rolesIn(fake.chatsV2).slice(9), ["tool", "function"]);
});

Deno.test("v2: a request that is refused under both roles says so, and nothing is remembered", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, v2);
  const body = { status: 400, message: "Your request contains invalid JSON syntax." };
  fake.failNext("chat", { status: 400, body }, { status: 400, body });
  const error = await assertRejects(() => ask(connection, history), RouterError);
  assertEquals(error.code, "invalid_request");
  assertEquals(rolesIn(fake.chatsV2), ["tool", "function"]);
  await ask(connection, history);
  assertEquals(rolesIn(fake.chatsV2), ["tool", "function", "tool"]);
});

Deno.test("v2: no second try without results, for other faults, or with a role that is set", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, v2);
  const body = { status: 400, message: "Your request contains invalid JSON syntax." };
  fake.failNext("chat", { status: 400, body });
  await assertRejects(() => ask(connection), RouterError);
  assertEquals(fake.chatsV2.length, 1);
  for (const status of [422, 500]) {
    fake.failNext("chat", { status });
    await assertRejects(() => ask(connection, history), RouterError);
  }
  assertEquals(fake.chatsV2.length, 3);
  fake.failNext("chat", { status: 400, body });
  using set = connectTo(fake, { ...v2, GIGACHAT_V2_TOOL_ROLE: "tool" });
  await assertRejects(() => ask(set, history), RouterError);
  assertEquals(fake.chatsV2.length, 4);
  fake.v2.toolRole = "function";
  using other = connectTo(fake, { ...v2, GIGACHAT_V2_TOOL_ROLE: "function" });
  await ask(other, history);
  assertEquals(fake.chatsV2.length, 5);
});
