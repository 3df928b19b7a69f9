/**
 * A conversation in OpenAI's shape as GigaChat's messages.
 *
 * GigaChat takes one system message, which comes first, texts instead of content parts, and one
 * function call a message, each followed by its result.
 *
 * @module
 */
import { encodeAssistant, type GigachatMessage, type Message } from "./assistant_turn.ts";
import { textOf } from "./content.ts";
import { refuse } from "./fault.ts";
import type { FunctionNames } from "./function_names.ts";

/**
 * Translates a conversation. System and developer messages become one; several calls in one message
 * become call, result, call, result.
 *
 * @throws {RouterError} `invalid_request` naming the message that GigaChat cannot take.
 */
export function encodeMessages(
  messages: readonly Message[],
  names: FunctionNames,
): GigachatMessage[] {
  const system: string[] = [];
  const encoded: GigachatMessage[] = [];
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at]!;
    const content = textOf(message.content, `messages[${at}].content`);
    switch (message.role) {
      case "system":
      case "developer":
        if (content !== "") system.push(content);
        break;
      case "user":
        encoded.push({
          role: "user",
          content,
          ...(Array.isArray(message.attachments) && { attachments: message.attachments }),
        });
        break;
      case "assistant": {
        const turn = encodeAssistant(messages, at, content, names);
        encoded.push(...turn);
        // Results follow their calls, so as many messages are used up as there are results.
        at += turn.filter(({ role }) => role === "function").length;
        break;
      }
      case "tool":
        throw refuse(
          `messages[${at}]`,
          'is a result without a call: the message before the results must be the assistant\'s, with "tool_calls"',
        );
      case "function":
        throw refuse(
          `messages[${at}]`,
          'is a result without a call: the message before it must be the assistant\'s, with "function_call"',
        );
      default:
        throw refuse(
          `messages[${at}].role`,
          `is "${message.role}". GigaChat takes system, developer, user, assistant and tool`,
        );
    }
  }
  if (system.length > 0) encoded.unshift({ role: "system", content: system.join("\n\n") });
  return encoded;
}
