/**
 * Checks values against the schemas of GigaChat's published OpenAPI file, and names where recorded
 * traffic contradicts it.
 */
import schemas from "../fixtures/gigachat/openapi_schemas.json" with { type: "json" };

/** A schema of the file; `ChatCompletionEvent` is made of `ChatCompletion`. */
export type SchemaName = keyof typeof schemas | "ChatCompletionEvent";

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  oneOf?: Schema[];
}

type Kind = "type" | "enum" | "range" | "required" | "unknown";

const models = "the file lists the models of its day: hosts have others, and answer with a build";
const newer = "the newer official file has it";
const sdk = "Sber's own clients send it";
const read = "Sber's own clients read it";
const later = "recorded answers have it";

/**
 * What is not held to the file, and why: the place, then the kind of difference. Everything else is,
 * and fields that the file does not name are differences too.
 */
export const exceptions: Readonly<Record<string, string>> = {
  "Chat.model: enum": models,
  "ChatCompletion.model: enum": models,
  "ChatCompletionEvent.model: enum": models,
  "Models.data[].id: enum": models,
  "TokensCountBody.model: enum": models,
  "Chat.response_format: unknown": newer,
  "Chat.messages[].function_call: unknown": newer,
  "Chat.messages[].name: unknown": newer,
  "Chat.functions[].parameters: required": "functions of GigaChat's own are listed by name alone",
  "Chat.reasoning_effort: unknown": "Sber's guide to reasoning has it",
  "Chat.profanity_check: unknown": sdk,
  "Chat.function_ranker: unknown": sdk,
  "ChatCompletion.usage.precached_prompt_tokens: unknown": newer,
  "ChatCompletionEvent.usage.precached_prompt_tokens: unknown": newer,
  "ChatCompletion.choices[].message.reasoning_content: unknown": read,
  "ChatCompletionEvent.choices[].delta.reasoning_content: unknown": read,
  "ChatCompletion.choices[].message.function_call.arguments: type":
    "the newer official file says a text; recorded answers have objects",
  "Token.tok: unknown": later,
  "Token.exp: unknown": later,
  "Models.data[].type: unknown": newer,
  "File.modalities: unknown": newer,
  "Files.data[].modalities: unknown": newer,
  "FileDeleted.access_policy: unknown": newer,
  "Embedding.data[].embedding[]: type":
    "the file says integer, of the format float: they are floats",
};

/** The file describes no events: their `delta` is what `message` is in a whole answer. */
function eventSchema(): Schema {
  const whole = structuredClone(schemas.ChatCompletion) as Schema;
  const choice = whole.properties!.choices!.items!.properties!;
  const { message, ...rest } = choice;
  whole.properties!.choices!.items!.properties = { ...rest, delta: message! };
  return whole;
}

const all = { ...schemas, ChatCompletionEvent: eventSchema() } as Record<SchemaName, Schema>;

/** @returns Where a value differs from a schema, and how; nothing if it does not. */
export function differences(name: SchemaName, value: unknown): string[] {
  return allDifferences(name, value).filter((found) => exceptionOf(found) === undefined);
}

/** The exceptions that a value needs. */
export function exceptionsOf(name: SchemaName, value: unknown): string[] {
  return allDifferences(name, value).map(exceptionOf).filter((each) => each !== undefined);
}

function allDifferences(name: SchemaName, value: unknown): string[] {
  return [...check(all[name], value, name)];
}

function exceptionOf(difference: string): string | undefined {
  const key = difference.replace(/\[\d+\]/g, "[]").split(",", 1)[0]!;
  return Object.hasOwn(exceptions, key) ? key : undefined;
}

function* check(schema: Schema, value: unknown, path: string): Generator<string> {
  const differs = (kind: Kind, at = path) =>
    `${at}: ${kind}, it is ${JSON.stringify(value)?.slice(0, 100)}`;
  const { type, properties, items, required = [] } = schema;
  if (schema.oneOf !== undefined) {
    const fits = schema.oneOf.some((each) => check(each, value, path).next().done);
    if (!fits) yield differs("type");
    return;
  }
  if (type !== undefined && typeOf(value, type) !== type) return yield differs("type");
  if (schema.enum !== undefined && !schema.enum.includes(value)) yield differs("enum");
  if (typeof value === "number") {
    const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum } = schema;
    const low = exclusiveMinimum ? value <= minimum : value < minimum;
    if (low || value > maximum) yield differs("range");
  }
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) {
      if (items) yield* check(items, item, `${path}[${at}]`);
    }
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const fields = value as Record<string, unknown>;
  for (const name of required) {
    if (fields[name] === undefined) yield differs("required", `${path}.${name}`);
  }
  // One without fields of its own may have any.
  const isOpen = Object.keys(properties ?? {}).length === 0;
  for (const [name, field] of Object.entries(fields)) {
    if (field === undefined) continue;
    const property = properties !== undefined && Object.hasOwn(properties, name)
      ? properties[name]
      : undefined;
    if (property !== undefined) yield* check(property, field, `${path}.${name}`);
    else if (!isOpen) yield differs("unknown", `${path}.${name}`);
  }
}

function typeOf(value: unknown, wanted: string): string {
  if (Array.isArray(value)) return "array";
  if (value === null) return "null";
  return wanted === "integer" && Number.isInteger(value) ? "integer" : typeof value;
}
