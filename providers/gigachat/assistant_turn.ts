// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * An assistant's message, with the function calls in it and their results.
 *
 * @module
 */
import type { Call } from "xrouter/provider";
import { maxDepth, tooDeep } from "../../core/json_body.ts";
import type { AskedCall, Message } from "./asked_call.ts";
import { stateOf } from "./call_id.ts";
import { textOf, wellFormed } from "./content.ts";
import { parseExactly, withoutHalves } from "./exact_json.ts";
import { refuse } from "./fault.ts";
import { type FunctionNames, unnamed } from "./function_names.ts";
import { asJsonObject, noResult } from "./function_result.ts";

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
 * @throws {RouterError} `invalid_request` for speech, and for parts that are no texts.
 */
export function encodeSpoken(message: Message, at: number, call: Call): GigachatMessage {
  const path = `messages[${at}]`;
  const { audio, refusal, functions_state_id: state } = message;
  if (audio) throw refuse(`${path}.audio`, "cannot be sent to GigaChat: send its text");
  // It would say the same as the newer calls, which count.
  if (message.tool_calls?.length && message.function_call) call.changed(`${path}.function_call`);
  const content = textOf(message.content, `${path}.content`, call);
  return {
    role: "assistant",
    content: content === "" && typeof refusal === "string"
      ? wellFormed(refusal, `${path}.refusal`, call)
      : content,
    ...(typeof state === "string" &&
      { functions_state_id: wellFormed(state, `${path}.functions_state_id`, call) }),
  };
}

/**
 * An assistant's message with its calls: each call with its result, one after the other. A call
 * that nobody answered gets a result that says so, and one without a name that of its result.
 *
 * @param spoken The message without its calls.
 * @throws {RouterError} `invalid_request` for parts of a result that are no texts.
 */
export function encodeCalls(
  messages: readonly Message[],
  calls: readonly AskedCall[],
  spoken: GigachatMessage,
  names: FunctionNames,
  call: Call,
): GigachatMessage[] {
  return calls.flatMap((asked, number): GigachatMessage[] => {
    const { id, path, result } = asked;
    const answer = result === undefined ? undefined : messages[result]!;
    const encoded = encodeCall(asked, answer, names, call);
    const state = id === undefined ? undefined : stateOf(id);
    if (answer === undefined) call.changed(path);
    return [
      {
        ...(number === 0 ? spoken : { role: "assistant", content: "" }),
        ...(state !== undefined && { functions_state_id: state }),
        function_call: encoded,
      },
      {
        role: "function",
        name: encoded.name,
        content: answer === undefined
          ? noResult
          : encodeResult(answer, `messages[${result}].content`, call),
      },
    ];
  });
}

function encodeResult({ content }: Message, path: string, call: Call): string {
  const json = asJsonObject(textOf(content, path, call));
  const whole = withoutHalves(json);
  if (whole !== json) call.changed(path);
  return whole;
}

function encodeCall(
  { id, path, place, name, given }: AskedCall,
  answer: Message | undefined,
  names: FunctionNames,
  call: Call,
): NonNullable<GigachatMessage["function_call"]> {
  const isUsual = place === (id === undefined ? path : `${path}.function`);
  if (!isUsual) call.changed(place);
  if (name === undefined) call.changed(isUsual ? `${place}.name` : place);
  return {
    name: names.outward(name ?? (answer?.name || unnamed)),
    arguments: toArguments(given, isUsual ? `${place}.arguments` : place, call),
  };
}

/**
 * A model may have broken its arguments off, or written none that are an object, and the client sends
 * them back as they are: then they are sent as one field.
 */
function toArguments(given: unknown, path: string, call: Call): Record<string, unknown> {
  if (given === undefined || given === null || given === "") return {};
  const isText = typeof given === "string";
  const text = isText ? given : JSON.stringify(given);
  const json = withoutHalves(text);
  const parsed = parse(json);
  if (parsed === null || parsed === "") return {};
  // Of a number that is too long for one, an exact parse makes an object, too.
  const isObject = typeof parsed === "object" && json.trimStart().startsWith("{");
  if (!isObject || json !== text) call.changed(path);
  if (isObject) return parsed as Record<string, unknown>;
  return { arguments: isText ? text.toWellFormed() : parsed };
}

/** Nothing for what is no JSON, or nests deeper than a request may. */
function parse(text: string): unknown {
  try {
    const value = parseExactly(text);
    return tooDeep(value, maxDepth) ? undefined : value;
  } catch {
    return undefined;
  }
}
