/** Random conversations that OpenAI would take, tools and parallel calls among them. */
import type { ChatBody } from "../../core/chat.ts";

/** Numbers from 0 up to 1. */
export type Random = () => number;

/** A generator whose numbers depend on the seed alone (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const names = [
  "weather",
  "web_search",
  "mcp:files/read",
  "mcp_files_read",
  "text2image",
  "a.b-c",
  "время",
];
const results = [
  "{}",
  '{"t":[1,{"x":null}]}',
  "[1,2]",
  "true",
  '"text"',
  "просто текст",
  "",
  "{broken",
];

/** A question with its history; `markers` are words that stand in it and nowhere else. */
export function randomHistory(
  random: Random,
): { messages: ChatBody["messages"]; tools: NonNullable<ChatBody["tools"]>; markers: string[] } {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  const markers: string[] = [];
  const mark = () => {
    const marker = `m${markers.length}x${Math.floor(random() * 1e9)}`;
    markers.push(marker);
    return marker;
  };
  const content = () =>
    pick<() => ChatBody["messages"][number]["content"]>([
      () => mark(),
      () => `Привет 👋 ${mark()}`,
      () => [{ type: "text", text: mark() }, { type: "text", text: mark() }],
      () => "",
    ])();
  const messages: ChatBody["messages"] = [];
  for (let turn = Math.floor(random() * 6); turn >= 0; turn--) {
    if (random() < 0.3) messages.push({ role: pick(["system", "developer"]), content: content() });
    messages.push({ role: "user", content: content() });
    while (random() < 0.4) {
      const calls = Array.from({ length: 1 + Math.floor(random() * 4) }, () => ({
        id: pick([`call_${mark()}`, `call_gs${"A".repeat(22)}${"0".repeat(7)}${turn}`]),
        type: "function",
        function: {
          name: pick(names),
          arguments: pick(["{}", "", JSON.stringify({ value: mark(), deep: [{ x: 1 }] })]),
        },
      })).filter(({ id }, at, all) => all.findIndex((other) => other.id === id) === at);
      messages.push({ role: "assistant", content: pick([null, mark()]), tool_calls: calls });
      const answers = calls.map(({ id }) => ({
        role: "tool",
        tool_call_id: id,
        content: pick([...results, [{ type: "text", text: mark() }]]),
      }));
      messages.push(...(random() < 0.5 ? answers : answers.reverse()));
    }
    if (random() < 0.8) messages.push({ role: "assistant", content: content() });
  }
  const tools = names.filter(() => random() < 0.5).map((name) => ({
    type: "function",
    function: { name, parameters: { type: "object", properties: {} } },
  }));
  const said = JSON.stringify(messages.map((message) => ({
    ...message,
    tool_calls: message.tool_calls?.map((call) => call.function),
    tool_call_id: null,
  })));
  return { messages, tools, markers: markers.filter((marker) => said.includes(marker)) };
}
