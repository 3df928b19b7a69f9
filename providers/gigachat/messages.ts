/**
 * A conversation in OpenAI's shape as GigaChat's messages.
 *
 * GigaChat takes one system message, which comes first, texts instead of content parts, and one
 * function call a message, each followed by its result. Histories that break this are repaired
 * where their meaning survives, because agents shorten and join them.
 *
 * @module
 */
import type { Call } from "xrouter/provider";
import { callsIn, isResult, type Message, roleOf } from "./asked_call.ts";
import { encodeCalls, encodeSpoken, type GigachatMessage } from "./assistant_turn.ts";
import { textOf } from "./content.ts";
import type { FunctionNames } from "./function_names.ts";
import { pairResults, type Pairs } from "./pair_results.ts";
import { encodeUser } from "./user_turn.ts";

/**
 * Translates a conversation. System and developer messages become one; several calls in one message
 * become call, result, call, result; a result stands after its call, wherever it stood; one without
 * a call becomes the user's words.
 *
 * @param call Is told of every message that is repaired.
 * @throws {RouterError} `invalid_request` naming what GigaChat cannot be told: speech, and parts that
 * are no texts or files.
 */
export function encodeMessages(
  messages: readonly Message[],
  names: FunctionNames,
  call: Call,
): GigachatMessage[] {
  const pairs = pairResults(messages);
  const system: string[] = [];
  const encoded: GigachatMessage[] = [];
  /** The message before the results that stand here. */
  let turn = -1;
  for (const [at, message] of messages.entries()) {
    const role = roleOf(message);
    if (role !== message.role) call.changed(`messages[${at}].role`);
    // Nobody but the assistant calls functions.
    if (role !== "assistant") { for (const { path } of callsIn(message, at)) call.changed(path); }
    if (isResult(message)) {
      const result = encodeResult(messages, at, pairs, turn, call);
      if (result !== undefined) encoded.push(result);
      continue;
    }
    turn = at;
    // GigaChat knows names of functions alone.
    if (message.name) call.changed(`messages[${at}].name`);
    switch (role) {
      case "system":
      case "developer": {
        const content = textOf(message.content, `messages[${at}].content`, call);
        if (content === "") break;
        system.push(content);
        if (at > 0) call.changed(`messages[${at}]`);
        break;
      }
      case "user":
        encoded.push(...encodeUser(message, at, call));
        break;
      default: {
        const spoken = encodeSpoken(message, at, call);
        const calls = pairs.calls.get(at) ?? [];
        const isLast = at === messages.length - 1 && encoded.length > 0;
        if (calls.length > 0 && isLast && calls.every(({ result }) => result === undefined)) {
          // Nobody has run what it asks for, and the model may ask again.
          call.changed(`messages[${at}]`);
          if (spoken.content !== "") encoded.push(spoken);
        } else if (calls.length > 0) {
          encoded.push(...encodeCalls(messages, calls, spoken, names, call));
        } else encoded.push(spoken);
      }
    }
  }
  const instruction = system.join("\n\n");
  if (encoded.length === 0) {
    // An instruction alone is what the user wants done.
    call.changed("messages");
    return [{ role: "user", content: instruction }];
  }
  if (instruction !== "") encoded.unshift({ role: "system", content: instruction });
  return encoded;
}

/**
 * What stands in a result's place: nothing where its call takes it, otherwise the user's words.
 *
 * @param turn The message before this result and its neighbours.
 */
function encodeResult(
  messages: readonly Message[],
  at: number,
  { answered, named }: Pairs,
  turn: number,
  call: Call,
): GigachatMessage | undefined {
  const message = messages[at]!;
  const own = answered.get(at);
  if (own?.at === turn) return undefined;
  call.changed(`messages[${at}]`);
  if (own !== undefined) return undefined;
  const content = textOf(message.content, `messages[${at}].content`, call);
  const same = named.get(message.tool_call_id ?? "");
  const { result } = same ?? {};
  if (result !== undefined) {
    const told = textOf(messages[result]!.content, `messages[${result}].content`, call);
    if (content === told) return undefined;
  }
  const name = message.name || same?.name;
  const tool = name ? `tool ${JSON.stringify(name)}` : "a tool";
  return { role: "user", content: `Result of ${tool}: ${content}` };
}
