// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * An assistant's message, with the function calls in it and their results.
 *
 * @module
 */
import type { Call } from "xrouter/provider";
import { stateOf } from "./call_id.ts";
import { textOf } from "./content.ts";
import { parseExactly } from "./exact_json.ts";
import { refuse } from "./fault.ts";
import type { FunctionNames } from "./function_names.ts";
import { asJsonObject, noResult } from "./function_result.ts";
import type { AskedCall, Message } from "./pair_results.ts";

/** A message of GigaChat's v1. */
export interface GigachatMessage {
  role: "system" | "user" | "assistant" | "function";
  content: string;
  /** The function whose result this is. */
  name?: string;
  function_call?: { name: string; arguments: Record<string, unknown> };
  /** Ties a call to the answer it came in. */
  functions_state_id?: string;
  /** Ids of uploaded files. */
  attachments?: unknown;
}

/**
 * An assistant's message without its calls.
 *
 * @param at The message's place.
 * @throws {RouterError} `invalid_request` for speech: GigaChat takes only its text.
 */
export function encodeSpoken(message: Message, at: number): GigachatMessage {
  if (message.audio) {
    throw refuse(`messages[${at}].audio`, "cannot be sent to GigaChat: send its text");
  }
  const content = textOf(message.content, `messages[${at}].content`);
  const { refusal, functions_state_id: state } = message;
  return {
    role: "assistant",
    content: content === "" && typeof refusal === "string" ? refusal.toWellFormed() : content,
    ...(typeof state === "string" && { functions_state_id: state }),
  };
}

/**
 * An assistant's message with its calls: each call with its result, one after the other. A call
 * that nobody answered gets a result that says so.
 *
 * @param spoken The message without its calls.
 * @throws {RouterError} `invalid_request` naming a call without name, or with arguments that are no
 * JSON object.
 */
export function encodeCalls(
  messages: readonly Message[],
  calls: readonly AskedCall[],
  spoken: GigachatMessage,
  names: FunctionNames,
  call: Call,
): GigachatMessage[] {
  return calls.flatMap(({ asked, id, path, result }, number): GigachatMessage[] => {
    const encoded = encodeCall(asked, id === undefined ? path : `${path}.function`, names, call);
    const state = typeof id === "string" ? stateOf(id) : undefined;
    if (result === undefined) call.changed(path);
    return [
      {
        ...(number === 0 ? spoken : { role: "assistant", content: "" }),
        ...(state !== undefined && { functions_state_id: state }),
        function_call: encoded,
      },
      {
        role: "function",
        name: encoded.name,
        content: result === undefined
          ? noResult
          : asJsonObject(textOf(messages[result]!.content, `messages[${result}].content`)),
      },
    ];
  });
}

function encodeCall(
  asked: unknown,
  path: string,
  names: FunctionNames,
  call: Call,
): NonNullable<GigachatMessage["function_call"]> {
  const { name, arguments: given } = (asked ?? {}) as { name?: unknown; arguments?: unknown };
  if (typeof name !== "string" || name === "") {
    throw refuse(`${path}.name`, "must be the name of the called function");
  }
  return { name: names.outward(name), arguments: toArguments(given, `${path}.arguments`, call) };
}

/**
 * A model may have broken its arguments off, or written none that are an object, and the client sends
 * them back as they are: then they are sent as one field.
 */
function toArguments(given: unknown, path: string, call: Call): Record<string, unknown> {
  const parsed = typeof given === "string" && given !== "" ? parse(given) : given;
  if (parsed === undefined || parsed === null || parsed === "") return {};
  // Of a number that is too long for one, an exact parse makes an object, too.
  const isText = typeof given === "string";
  const isObject = isText ? given.trimStart().startsWith("{") : !Array.isArray(parsed);
  if (typeof parsed === "object" && isObject) return parsed as Record<string, unknown>;
  call.changed(path);
  return { arguments: isText ? given.toWellFormed() : given };
}

/** The text itself where it is no JSON. */
function parse(text: string): unknown {
  try {
    return parseExactly(text);
  } catch {
    return text;
  }
}
