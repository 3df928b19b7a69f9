// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Tools and the choice among them as GigaChat's functions.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { refuse } from "./fault.ts";
import { type FunctionNames, isBuiltIn } from "./function_names.ts";
import { needsPlainSchemas, plainSchema, SchemaBudget, type SchemaMode } from "./schema.ts";
import { isSchema } from "./schema_merge.ts";
import { encodeToolChoice } from "./tool_choice.ts";

/** A function of GigaChat's v1. */
export interface GigachatFunction {
  name: string;
  [field: string]: unknown;
}

/** The part of a GigaChat request that concerns functions. */
export interface GigachatFunctions {
  functions?: GigachatFunction[];
  function_call?: unknown;
}

/**
 * Translates `tools` and `tool_choice`, or OpenAI's older `functions` and `function_call`, which
 * are also GigaChat's own.
 *
 * @param call Is told of parameters whose schema says less at GigaChat.
 * @throws {RouterError} `invalid_request` for tools that are no functions, and for a choice that
 * GigaChat cannot be held to.
 */
export function encodeFunctions(
  body: ChatBody,
  names: FunctionNames,
  call: Call,
): GigachatFunctions {
  const { tools, tool_choice: choice, functions: older, function_call: olderChoice } = body;
  const encoder = new FunctionEncoder(body.model, names, call);
  if (!tools?.length) {
    if (choice && choice !== "auto" && choice !== "none") {
      throw refuse("tool_choice", 'needs "tools"');
    }
    return encodeOlder(older, olderChoice, names, encoder);
  }
  if (older) throw refuse("functions", 'cannot stand beside "tools". Move every function there');
  if (olderChoice) throw refuse("function_call", 'cannot stand beside "tools". Use "tool_choice"');
  const functions = tools.map((tool, at) => {
    if (tool.type === "function") {
      return encoder.encode(tool.function, `tools[${at}].function`, false);
    }
    throw refuse(`tools[${at}].type`, `is "${tool.type}". GigaChat takes tools of type "function"`);
  });
  return encodeToolChoice(choice, functions, names, call);
}

function encodeOlder(
  functions: unknown,
  choice: unknown,
  names: FunctionNames,
  encoder: FunctionEncoder,
): GigachatFunctions {
  if (functions && !Array.isArray(functions)) {
    throw refuse("functions", "must be a list of functions");
  }
  const given = (functions || undefined) as unknown[] | undefined;
  const encoded = given?.map((each, at) => encoder.encode(each, `functions[${at}]`, true));
  return {
    ...(encoded && { functions: encoded }),
    // Without a choice GigaChat's documents disagree on whether functions are called.
    function_call: encodeOlderChoice(choice, encoded ?? [], names) ??
      (encoded ? "auto" : undefined),
  };
}

/** GigaChat's own `partial_arguments` may stand beside the name. */
function encodeOlderChoice(
  choice: unknown,
  functions: readonly GigachatFunction[],
  names: FunctionNames,
): unknown {
  if (choice === undefined || choice === null) return undefined;
  if (choice === "auto" || choice === "none") return choice;
  const { name } = choice as { name?: unknown };
  if (typeof name !== "string") {
    throw refuse("function_call", 'must be "auto", "none" or name a function');
  }
  const sent = names.outward(name);
  if (!functions.some((each) => each.name === sent)) {
    throw refuse("function_call.name", `is "${name}", which is none of the functions`);
  }
  return { ...choice as object, name: sent };
}

/** Encodes the functions of one request. */
class FunctionEncoder {
  readonly #names: FunctionNames;
  readonly #call: Call;
  readonly #plain: boolean;
  readonly #budget = new SchemaBudget();

  constructor(model: string, names: FunctionNames, call: Call) {
    this.#names = names;
    this.#call = call;
    this.#plain = needsPlainSchemas(model, call.settings.schemas as SchemaMode | undefined);
  }

  /**
   * Fields beyond OpenAI's stay: `few_shot_examples` and `return_parameters` help GigaChat. That
   * arguments fit strictly it does not promise.
   *
   * @param native Whether its name may mean a function of GigaChat's own, which takes no parameters.
   */
  encode(given: unknown, path: string, native: boolean): GigachatFunction {
    const { name, strict, parameters, return_parameters: returned, ...rest } =
      (given ?? {}) as Record<string, unknown>;
    if (typeof name !== "string" || name === "") {
      throw refuse(`${path}.name`, "must be the function's name");
    }
    if (strict === true) this.#call.changed(`${path}.strict`);
    const bare = native && isBuiltIn(name) && !parameters;
    return {
      ...rest,
      name: this.#names.outward(name),
      ...(!bare && {
        parameters: this.#parameters(parameters, `${path}.parameters`),
      }),
      ...(isSchema(returned) && {
        return_parameters: this.#parameters(returned, `${path}.return_parameters`),
      }),
    };
  }

  /** GigaChat requires parameters, and of an object its properties. */
  #parameters(given: unknown, path: string): Record<string, unknown> {
    if (given === undefined || given === null) return { type: "object", properties: {} };
    if (!isSchema(given)) throw refuse(path, "must be a JSON Schema, an object");
    if (!this.#plain) return given;
    const { schema, changed } = plainSchema({ type: "object", ...given }, this.#budget);
    if (changed || schema.type !== "object") this.#call.changed(path);
    return schema.type === "object" ? schema : { type: "object", properties: {} };
  }
}
