// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * An assistant's message with the function calls in it and the results that follow.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { stateOf } from "./call_id.ts";
import { textOf } from "./content.ts";
import { refuse } from "./fault.ts";
import type { FunctionNames } from "./function_names.ts";

/** A message in OpenAI's shape. */
export type Message = ChatBody["messages"][number];

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
 * An assistant's message, with the results that follow it.
 *
 * @param at The message's place.
 * @param content Its text.
 * @throws {RouterError} `invalid_request` naming the call or the result that lacks its other half.
 */
export function encodeAssistant(
  messages: readonly Message[],
  at: number,
  content: string,
  names: FunctionNames,
): GigachatMessage[] {
  const message = messages[at]!;
  if (message.audio) {
    throw refuse(`messages[${at}].audio`, "cannot be sent to GigaChat: send its text");
  }
  const text = content === "" && typeof message.refusal === "string" ? message.refusal : content;
  const state = typeof message.functions_state_id === "string"
    ? message.functions_state_id
    : undefined;
  const spoken: GigachatMessage = {
    role: "assistant",
    content: text,
    ...(state !== undefined && { functions_state_id: state }),
  };
  const calls = message.tool_calls ?? [];
  if (calls.length === 0) {
    if (!message.function_call) return [spoken];
    const call = encodeCall(message.function_call, `messages[${at}].function_call`, names);
    const result = messages[at + 1];
    if (result?.role !== "function") {
      throw refuse(
        `messages[${at}].function_call`,
        'has no result: add a message with role "function"',
      );
    }
    return [{ ...spoken, function_call: call }, encodeResult(result, at + 1, call.name)];
  }
  const results = resultsAfter(messages, at);
  const turn = calls.flatMap((call, number): GigachatMessage[] => {
    const path = `messages[${at}].tool_calls[${number}]`;
    const encoded = encodeCall(call.function, `${path}.function`, names);
    const index = results.get(call.id)?.shift();
    if (index === undefined) {
      throw refuse(
        `${path}.id`,
        `has no result: add a message with role "tool" and tool_call_id "${call.id}" right after it`,
      );
    }
    const carried = stateOf(call.id);
    return [
      {
        ...(number === 0 ? spoken : { role: "assistant", content: "" }),
        ...(carried !== undefined && { functions_state_id: carried }),
        function_call: encoded,
      },
      encodeResult(messages[index]!, index, encoded.name),
    ];
  });
  for (const [id, [index]] of results) {
    if (index === undefined) continue;
    throw refuse(
      `messages[${index}].tool_call_id`,
      `is "${id}", which is none of the calls that messages[${at}] still has open`,
    );
  }
  return turn;
}

/** Where the results that follow a message stand, by the id of their call. */
function resultsAfter(messages: readonly Message[], at: number): Map<string, number[]> {
  const results = new Map<string, number[]>();
  for (let index = at + 1; messages[index]?.role === "tool"; index++) {
    const id = messages[index]!.tool_call_id;
    if (typeof id !== "string") {
      throw refuse(
        `messages[${index}].tool_call_id`,
        "is missing: name the call that this answers",
      );
    }
    const same = results.get(id);
    if (same === undefined) results.set(id, [index]);
    else same.push(index);
  }
  return results;
}

function encodeCall(
  call: unknown,
  path: string,
  names: FunctionNames,
): NonNullable<GigachatMessage["function_call"]> {
  const { name, arguments: given } = (call ?? {}) as { name?: unknown; arguments?: unknown };
  if (typeof name !== "string" || name === "") {
    throw refuse(`${path}.name`, "must be the name of the called function");
  }
  return { name: names.outward(name), arguments: parseArguments(given, `${path}.arguments`) };
}

function parseArguments(given: unknown, path: string): Record<string, unknown> {
  let parsed = given;
  if (given === undefined || given === null || given === "") parsed = {};
  else if (typeof given === "string") {
    try {
      parsed = JSON.parse(given);
    } catch {
      throw refuse(path, "is not valid JSON");
    }
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw refuse(path, 'must be a JSON object such as {"city":"Москва"}');
  }
  return parsed as Record<string, unknown>;
}

function encodeResult(message: Message, at: number, name: string): GigachatMessage {
  const content = textOf(message.content, `messages[${at}].content`);
  return { role: "function", name, content: asJsonObject(content) };
}

/** GigaChat refuses a result that is no JSON; what is no object is wrapped into one. */
function asJsonObject(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    // The text itself goes on, not its value: numbers keep every digit.
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? text
      : `{"result":${text}}`;
  } catch {
    return JSON.stringify({ result: text });
  }
}
