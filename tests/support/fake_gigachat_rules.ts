// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * What the real GigaChat refuses in a request to `/v1/chat/completions`, as its documents and
 * recorded traffic show: 400 for a wrong shape, 422 for a wrong meaning.
 */

import { schemaProblem } from "./fake_gigachat_parameters.ts";
import { isWellFormed } from "./well_formed.ts";

/** A refusal in GigaChat's shape. */
export interface Refusal {
  status: number;
  message: string;
}

/** A chat request that has passed every check. */
export interface FakeChat {
  model: string;
  messages: { role: string; content: string; [field: string]: unknown }[];
  functions?: { name: string; [field: string]: unknown }[];
  function_call?: unknown;
  stream?: boolean;
  [field: string]: unknown;
}

type Fields = Record<string, unknown>;

const invalidJson: Refusal = { status: 400, message: "Your request contains invalid JSON syntax." };
const roles: readonly unknown[] = ["system", "user", "assistant", "function"];
const functionName = /^[A-Za-z_.-][A-Za-z0-9_.-]{0,63}$/;
const builtIn = new Set(["text2image", "text2model3d", "get_file_content"]);

/** @returns What is wrong with a chat request; `undefined` if GigaChat would answer it. */
export function checkChat(body: unknown): Refusal | undefined {
  if (!hasShape(body) || !isWellFormed(body.messages)) return invalidJson;
  const format = checkFormat(body.response_format);
  if (format !== undefined) return { status: 400, message: format };
  const { schema } = (body.response_format ?? {}) as Fields;
  const message = checkNumbers(body) ?? checkMessages(body.messages as Fields[]) ??
    checkFunctions(body) ?? checkSchema(body.model as string, schema);
  return message === undefined ? undefined : { status: 422, message };
}

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isString = (value: unknown) => typeof value === "string";
const isNumber = (value: unknown) => typeof value === "number";

/** Whether a field is absent, null, or passes. */
function optional(fields: Fields, name: string, passes: (value: unknown) => boolean): boolean {
  return fields[name] === undefined || fields[name] === null || passes(fields[name]);
}

/** Whether every known field has its type. Unknown fields (`tools`, `seed`) are silently ignored. */
function hasShape(body: unknown): body is Fields {
  return isObject(body) && isString(body.model) && Array.isArray(body.messages) &&
    body.messages.every(isMessage) &&
    optional(body, "stream", (value) => typeof value === "boolean") &&
    ["temperature", "top_p", "repetition_penalty", "update_interval"]
      .every((name) => optional(body, name, isNumber)) &&
    optional(body, "max_tokens", (value) => Number.isInteger(value) && value as number < 2 ** 31) &&
    optional(body, "functions", (value) => Array.isArray(value) && value.every(isFunction)) &&
    optional(body, "function_call", isChoice) &&
    optional(body, "response_format", (value) => isObject(value) && isString(value.type));
}

function isMessage(message: unknown): boolean {
  return isObject(message) && roles.includes(message.role) && isString(message.content) &&
    optional(message, "name", isString) && optional(message, "functions_state_id", isString) &&
    optional(
      message,
      "attachments",
      (value) => Array.isArray(value) && value.every(isString),
    ) &&
    optional(
      message,
      "function_call",
      (call) =>
        isObject(call) && isString(call.name) &&
        (isObject(call.arguments) || isString(call.arguments)),
    );
}

function isFunction(value: unknown): boolean {
  return isObject(value) && isString(value.name) && optional(value, "description", isString) &&
    (isObject(value.parameters) || builtIn.has(value.name as string));
}

function isChoice(value: unknown): boolean {
  return value === "auto" || value === "none" || (isObject(value) && isString(value.name));
}

function checkNumbers(body: Fields): string | undefined {
  const { temperature, top_p: topP, repetition_penalty: penalty, max_tokens: maxTokens } = body;
  if (isNumber(penalty) && !(penalty as number > 0)) {
    return "Invalid params: repetition_penalty must be in range (0, +inf)";
  }
  if (isNumber(temperature) && !(temperature as number > 0)) {
    return "Invalid params: temperature must be in range (0, +inf)";
  }
  if (isNumber(topP) && !(topP as number >= 0 && topP as number <= 1)) {
    return "Invalid params: top_p must be in range [0, 1]";
  }
  if (isNumber(maxTokens) && !(maxTokens as number > 0)) {
    return "Invalid params: max_tokens must be positive";
  }
  return undefined;
}

function checkFormat(format: unknown): string | undefined {
  const { type, schema } = (format ?? { type: "text" }) as Fields;
  if (type === "json_schema") {
    return isObject(schema) ? undefined : "Empty schema with json format type is not supported";
  }
  return type === "text" ? undefined : `Unknown type ${type} in response_format`;
}

function checkMessages(messages: readonly Fields[]): string | undefined {
  if (messages.length === 0) return "Invalid params: messages must not be empty";
  for (const [at, message] of messages.entries()) {
    if (message.role === "system" && at > 0) {
      return "Invalid params: system message must be the first message";
    }
    const called = message.role === "assistant" && message.function_call !== undefined;
    if (called && messages[at + 1]?.role !== "function") {
      return "Invalid params: every assistant function call must have a result in history";
    }
    if (message.role !== "function") continue;
    const call = messages[at - 1]?.function_call as Fields | undefined;
    if (call === undefined) {
      return "Invalid params: every assistant function result must have an assistant function call in history";
    }
    if (message.name !== call.name) {
      return `Invalid params: function result of ${message.name} follows a call of ${call.name}`;
    }
    const result = tryParse(message.content as string);
    if (!isObject(result) || !isWellFormed(result)) {
      return `INVALID_PARAMS: invalid function result for function json string ${message.name}`;
    }
  }
  return undefined;
}

function checkFunctions(body: Fields): string | undefined {
  const functions = (body.functions ?? []) as Fields[];
  const history = (body.messages as Fields[]).map((message) => message.function_call as Fields);
  for (const { name } of [...functions, ...history].filter((each) => each)) {
    if (!functionName.test(name as string)) return `Invalid params: invalid function name ${name}`;
  }
  for (const { name, parameters, return_parameters: returned } of functions) {
    if (builtIn.has(name as string) && parameters !== undefined) {
      return `Invalid params: function name ${name} is reserved`;
    }
    const problem = checkSchema(body.model, parameters) ?? checkSchema(body.model, returned);
    if (problem !== undefined) return problem;
  }
  const forced = isObject(body.function_call) ? body.function_call.name : undefined;
  return forced === undefined || functions.some(({ name }) => name === forced)
    ? undefined
    : `Invalid params: function ${forced} is not found`;
}

/** The third generation's big models take any schema; the others only the small language. */
function checkSchema(model: unknown, schema: unknown): string | undefined {
  return schema === undefined || /^GigaChat-3-(Pro|Ultra)/.test(String(model))
    ? undefined
    : schemaProblem(schema, []);
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
