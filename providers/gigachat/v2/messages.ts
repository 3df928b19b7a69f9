// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Messages of v1 as those of v2: contents are lists of parts, and one message holds all the calls of
 * a turn.
 *
 * @module
 */
import type { GigachatMessage } from "../assistant_turn.ts";
import { parseExactly } from "../exact_json.ts";
import type { ToolRole } from "./tool_role.ts";

/** What a part of a v2 message holds; the field says of what kind it is. */
export interface V2Part {
  text?: string;
  files?: { id: unknown }[];
  function_call?: { name?: string; arguments?: unknown; id?: string };
  function_result?: { name: string; result: unknown };
  [field: string]: unknown;
}

/** A message of GigaChat's v2. */
export interface V2Message {
  role: string;
  content: V2Part[];
  /** Ties calls to the answer they came in. */
  tools_state_id?: string;
}

/**
 * Translates a conversation.
 *
 * @param messages In v1 calls of one turn stand as call, result, call, result.
 * @param turns How many calls each turn has, those without calls left out.
 * @param role The role of results.
 */
export function toV2Messages(
  messages: readonly GigachatMessage[],
  turns: readonly number[],
  role: () => ToolRole,
): V2Message[] {
  const encoded: V2Message[] = [];
  let turn = 0;
  for (let at = 0; at < messages.length;) {
    const message = messages[at]!;
    if (message.function_call === undefined) {
      encoded.push(toV2Message(message, []));
      at++;
      continue;
    }
    const pairs = messages.slice(at, at + 2 * (turns[turn++] ?? 1));
    encoded.push(toV2Message(message, pairs));
    for (const { role: own, name, content } of pairs) {
      if (own === "function") encoded.push(toV2Result(name!, content, role()));
    }
    at += pairs.length;
  }
  return encoded;
}

/** @param pairs The calls and results of its turn. */
function toV2Message(message: GigachatMessage, pairs: readonly GigachatMessage[]): V2Message {
  const { role, content: text, attachments } = message;
  const content: V2Part[] = pairs.filter((each) => each.function_call !== undefined)
    .map(({ function_call: call }) => ({ function_call: call! }));
  if (Array.isArray(attachments) && attachments.length > 0) {
    content.unshift({ files: attachments.map((id) => ({ id })) });
  }
  if (text !== "" || content.length === 0) content.unshift({ text });
  const state = [message, ...pairs].find((each) => each.functions_state_id)?.functions_state_id;
  return { role, content, ...(state !== undefined && { tools_state_id: state }) };
}

/** Seen to be taken: an object under the role `tool`, and JSON in a string under `function`. */
function toV2Result(name: string, content: string, role: ToolRole): V2Message {
  const result = role === "tool" ? parseExactly(content) : content;
  return { role, content: [{ function_result: { name, result } }] };
}
