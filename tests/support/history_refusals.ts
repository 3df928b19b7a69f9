/**
 * The refusals of a history that are right. Whatever else is wrong with one is repaired.
 *
 * @module
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { RouterError } from "../../core/errors.ts";

type Check = (value: unknown) => boolean;

const isString: Check = (value) => typeof value === "string";
const isObject: Check = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isNone: Check = (value) => value === undefined || value === null;

/** What OpenAI's wire itself does not allow: the core says so for every provider. */
const noHistory: readonly [field: string, allowed: Check][] = [
  ["messages", (value) => Array.isArray(value) && value.length > 0],
  ["messages[]", isObject],
  ["messages[].role", (value) => isString(value) && value !== "" && (value as string).length < 257],
  ["messages[].content", (value) => isNone(value) || isString(value) || Array.isArray(value)],
  ["messages[].content[]", isObject],
  ["messages[].content[].type", isString],
  ["messages[].name", (value) => isNone(value) || isString(value)],
  ["messages[].tool_call_id", (value) => isNone(value) || isString(value)],
  ["messages[].tool_calls", (value) => isNone(value) || Array.isArray(value)],
  ["messages[].tool_calls[]", isObject],
  ["messages[].tool_calls[].id", (value) => isNone(value) || isString(value)],
];

/** What GigaChat cannot be told: speech, parts that are neither texts nor files, and lost files. */
const untellable: readonly [field: string, allowed: Check][] = [
  ["messages[].audio", (value) => !value],
  ["messages[].attachments", (value) => (value as unknown[]).every(isString)],
  ["messages[].content[]", (part) => ["text", "refusal"].includes(fieldOf(part, "type") as string)],
  ["messages[].content[].image_url.url", isString],
  ["messages[].content[].input_audio.data", isString],
  [
    "messages[].content[].file",
    (file) => isString(fieldOf(file, "file_data")) || isString(fieldOf(file, "file_id")),
  ],
];

/** Fails for an error that is no right refusal of a request's history. */
export function assertRightRefusal(error: unknown, body: unknown): void {
  const about = `${error} for ${JSON.stringify(body)}`;
  assertInstanceOf(error, RouterError, about);
  assertEquals([error.code, error.fallback], ["invalid_request", false], about);
  const param = error.param ?? "";
  const field = param.replace(/\[\d+\]/g, "[]");
  const known = [...noHistory, ...untellable].filter(([each]) => each === field);
  assert(known.length > 0, `unknown refusal: ${about}`);
  assert(known.some(([, allowed]) => !allowed(valueAt(body, param))), `wrong refusal: ${about}`);
}

function valueAt(body: unknown, path: string): unknown {
  return path.split(/[.[\]]+/).filter((step) => step !== "")
    .reduce(fieldOf, body);
}

function fieldOf(value: unknown, name: string): unknown {
  return (value as Record<string, unknown> | null | undefined)?.[name];
}
