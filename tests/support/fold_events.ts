/**
 * The events of a stream as the whole answer that they make.
 *
 * @module
 */
import type { ChatChoice, ChatMessage, ChatReply } from "../../core/chat.ts";

/** Puts a stream's events together as OpenAI's clients do. */
export function foldEvents(events: readonly ChatReply[]): ChatReply {
  const [first] = events;
  const choices: ChatChoice[] = [];
  let whole: ChatReply = { ...first, choices };
  for (const { choices: parts, ...event } of events) {
    whole = { ...whole, ...event, choices };
    for (const { index, delta = {}, finish_reason: reason, ...rest } of parts ?? []) {
      const choice = choices[index] ??= { index, message: {} };
      Object.assign(choice, rest, reason && { finish_reason: reason });
      addDelta(choice.message!, delta);
    }
  }
  return whole;
}

function addDelta(message: ChatMessage, delta: ChatMessage): void {
  for (const [field, value] of Object.entries(delta)) {
    const before = message[field];
    if (field === "tool_calls") {
      message.tool_calls = [...message.tool_calls ?? [], ...value as never[]];
    } else if (typeof before === "string" && typeof value === "string" && field !== "role") {
      message[field] = before + value;
    } else message[field] = value;
  }
}
