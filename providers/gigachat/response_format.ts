/**
 * Answers that are JSON documents: what asks GigaChat for them, and whether it kept to it.
 *
 * @module
 */
import { type Call, type ChatBody, RouterError } from "xrouter/provider";
import { refuse } from "./fault.ts";
import { JsonSchema } from "./json_schema.ts";
import { needsPlainSchemas, plainSchema, SchemaBudget, type SchemaMode } from "./schema.ts";
import { isSchema, type Schema } from "./schema_merge.ts";

/** What `response_format` asks of an answer. */
interface Wanted {
  schema: Schema;
  strict?: boolean;
  /** Any JSON object will do. */
  any: boolean;
  /** The schema's place in the request. */
  path: string;
}

/** To GigaChat's service a schema without required properties means any JSON. */
const anyObject: Schema = { type: "object", properties: {} };

/**
 * Translates `response_format`. In OpenAI the schema stands one level deeper. Types that are
 * GigaChat's own pass as they are.
 *
 * @param call Is told of a `json_object`, and of a schema that says less at GigaChat.
 * @throws {RouterError} `invalid_request` for a format without a usable schema.
 */
export function encodeResponseFormat(
  body: ChatBody,
  call: Call,
): Record<string, unknown> | undefined {
  const { response_format: format } = body;
  if (format === undefined || format === null) return undefined;
  if (!isSchema(format)) {
    throw refuse("response_format", 'must be an object such as {"type":"text"}');
  }
  if (typeof format.type !== "string") {
    throw refuse("response_format.type", 'must be "text", "json_object" or "json_schema"');
  }
  const wanted = read(format);
  if (wanted === undefined) return format.type === "text" ? undefined : { ...format };
  const { schema, path, strict, any } = wanted;
  if (any) call.changed("response_format");
  try {
    JsonSchema.of(schema);
  } catch (error) {
    throw refuse(path, (error as Error).message);
  }
  return {
    type: "json_schema",
    schema: needsPlainSchemas(body.model, call.settings.schemas as SchemaMode | undefined)
      ? plain(schema, path, call)
      : schema,
    ...(strict !== undefined && { strict }),
  };
}

function plain(given: Schema, path: string, call: Call): Schema {
  const { schema, changed } = plainSchema(given, new SchemaBudget());
  if (changed) call.changed(path);
  return schema;
}

function read(format: Schema): Wanted | undefined {
  if (format.type === "json_object") {
    return { schema: anyObject, any: true, path: "response_format" };
  }
  if (format.type !== "json_schema") return undefined;
  // GigaChat's own form holds the schema itself.
  const native = format.schema !== undefined;
  const { schema, strict } = (native ? format : format.json_schema ?? {}) as Schema;
  const path = native ? "response_format.schema" : "response_format.json_schema.schema";
  if (!isSchema(schema)) throw refuse(path, "must be a JSON Schema, an object");
  return { schema, any: false, path, ...(typeof strict === "boolean" && { strict }) };
}

/** Says whether an answer is the JSON document that its request asked for. */
export class AnswerFormat {
  readonly #schema: JsonSchema;

  private constructor(schema: JsonSchema) {
    this.#schema = schema;
  }

  /** @returns `undefined` for a request whose answer may be any text. */
  static of({ response_format: format }: ChatBody): AnswerFormat | undefined {
    const wanted = isSchema(format) ? read(format) : undefined;
    return wanted && new AnswerFormat(JsonSchema.of(wanted.schema));
  }

  /**
   * Checks a document.
   *
   * @throws {RouterError} `unfit_answer`: another try may give a right one.
   */
  check(text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new RouterError(
        "unfit_answer",
        'GigaChat\'s answer is not the JSON that "response_format" asks for',
        { detail: text.slice(0, 500) },
      );
    }
    const problem = this.#schema.problemOf(value);
    if (problem === undefined) return;
    throw new RouterError(
      "unfit_answer",
      `GigaChat's answer does not fit the schema of "response_format". ${problem}`,
      { detail: text.slice(0, 500) },
    );
  }
}
