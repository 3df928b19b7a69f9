/** Breaks conversations the way clients do that shorten, join and store them. */
import type { ChatBody } from "../../core/chat.ts";
import type { Random } from "./random_history.ts";

type Message = ChatBody["messages"][number];

/** A copy with one to six faults; every text that stands in it stood in the original. */
export function breakHistory(random: Random, messages: readonly Message[]): Message[] {
  const below = (limit: number) => Math.floor(random() * limit);
  const broken: Message[] = structuredClone([...messages]);
  for (let faults = 1 + below(6); faults > 0; faults--) {
    const at = below(broken.length);
    const message = broken[at]!;
    const to = below(broken.length);
    const fault = [
      () => broken.length > 1 && broken.splice(at, 1),
      () => broken.splice(to, 0, structuredClone(message)),
      () => broken.splice(to, 0, ...broken.splice(at, 1)),
      () => broken.splice(below(broken.length), 0, { role: "system", content: null }),
      () => broken.splice(to, 0, { role: "tool", content: "stray", ["tool_call_id"]: "stray" }),
      () => broken.splice(to, 0, { role: "user", content: "" }),
      () => broken.splice(at, 0, { role: "assistant", content: null }),
      () => void (message.tool_call_id &&= ["", null, "other"][below(3)]),
      () => delete message.tool_call_id,
      () => message.tool_calls?.splice(below(4), 1),
      () => message.tool_calls?.forEach((call) => call.id = ["", null, undefined][below(3)]),
      () => message.tool_calls && (message.content = null),
      () => broken.splice(1 + below(broken.length)),
      () => makeOlder(broken, at),
    ][below(14)]!;
    fault();
  }
  return broken;
}

/** A call and its result in OpenAI's older form, in which there are no ids. */
function makeOlder(messages: Message[], at: number): void {
  const message = messages[at]!;
  const [call] = message.tool_calls ?? [];
  if (call === undefined) return;
  const result = messages.find((each) => each.tool_call_id === call.id);
  const { tool_calls: _, ...spoken } = message;
  messages[at] = { ...spoken, ["function_call"]: call.function };
  if (result === undefined) return;
  const { name } = call.function as { name: string };
  messages[messages.indexOf(result)] = { role: "function", name, content: result.content };
}
