// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals } from "@std/assert";
import type { ChatBody, ChatReply } from "../../core/chat.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import type { FakeReplyV2 } from "../support/fake_gigachat_v2.ts";
import { ask, askStream, connectTo } from "../support/fake_gigachat_call.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";
import { pick } from "../support/random_json.ts";

type Message = ChatBody["messages"][number];

const names = ["weather", "web_search", "mcp:files/read", "mcp_files_read", "время"];
const tools = names.map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: {} } },
}));
const texts = ["", "Смотрю.", "🥐 a\nb", '{"a":1}'];
const values = [{}, { city: "Москва" }, { deep: [{ x: null }, "\u2028"], n: -0.5 }, { "": "" }];

/** What a model may say: a text, some calls, and a state. The names are those that were offered. */
function randomReply(random: RandomBelow, offered: readonly string[]): FakeReplyV2 {
  const calls = Array.from({ length: random(5) }, () => ({
    name: pick(random, offered),
    arguments: pick(random, values),
  }));
  return {
    content: calls.length === 0 ? "Готово." : pick(random, texts),
    ...(calls.length > 0 && { calls }),
    ...(random(2) === 0 && calls.length > 0 && { stateId: crypto.randomUUID() }),
  };
}

/** The message that a client of OpenAI makes of a stream. */
function messageOf(events: readonly ChatReply[]): Message {
  const deltas = events.flatMap(({ choices }) => choices).map(({ delta }) => delta!);
  const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
  assertEquals(calls.map(({ index }) => index), calls.map((_, place) => place));
  return {
    role: "assistant",
    content: deltas.map(({ content }) => content ?? "").join(""),
    ...(calls.length > 0 && { tool_calls: calls as Message["tool_calls"] }),
  };
}

Deno.test("v2: what the model said comes back to it as it said it, whole and streamed", async () => {
  const random = seededRandom();
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_V2_MODELS: "*" });
  let said: FakeReplyV2 = {};
  fake.v2.reply = ({ tools }) => {
    const offered = tools![0]!.functions!.specifications.map(({ name }) => String(name));
    return said = randomReply(random, offered);
  };
  for (let conversation = 0; conversation < 12; conversation++) {
    const messages: Message[] = [{ role: "user", content: "?" }];
    const expected: unknown[] = [{ role: "user", content: [{ text: "?" }] }];
    for (let turn = 0; turn < 6; turn++) {
      const question = { messages, tools };
      const message = random(2) === 0
        ? (await ask(connection, question)).choices[0]!.message as Message
        : messageOf(await askStream(connection, question));
      assertEquals(fake.chatsV2.at(-1)!.messages as unknown, expected);
      messages.push({ ...message, functions_state_id: undefined });
      const { content, calls = [], stateId } = said;
      const parts = calls.map((call) => ({ function_call: call }));
      expected.push({
        role: "assistant",
        content: content === "" ? parts : [{ text: content }, ...parts],
        ...(stateId !== undefined && { tools_state_id: stateId }),
      });
      for (const [place, { id }] of (message.tool_calls ?? []).entries()) {
        messages.push({ role: "tool", tool_call_id: id, content: `{"place":${place}}` });
        expected.push({
          role: "tool",
          content: [{ function_result: { name: calls[place]!.name, result: { place } } }],
        });
      }
      messages.push({ role: "user", content: "?" });
      expected.push({ role: "user", content: [{ text: "?" }] });
    }
  }
});
