// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Tools and the choice among them as GigaChat's functions.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { refuse } from "./fault.ts";
import type { FunctionNames } from "./function_names.ts";

/** GigaChat requires parameters, and of an object its properties. */
const noParameters = { type: "object", properties: {} };

/** The part of a GigaChat request that concerns functions. */
export interface GigachatFunctions {
  functions?: unknown;
  function_call?: unknown;
}

/**
 * Translates `tools` and `tool_choice`. OpenAI's older `functions` and `function_call` are also
 * GigaChat's own and pass as they are.
 *
 * @throws {RouterError} `invalid_request` for tools that are no functions, and for a choice that
 * GigaChat cannot be held to.
 */
export function encodeFunctions(body: ChatBody, names: FunctionNames): GigachatFunctions {
  const { tools, tool_choice: choice, functions: older, function_call: olderChoice } = body;
  if (!tools?.length) {
    if (choice && choice !== "auto" && choice !== "none") {
      throw refuse("tool_choice", 'needs "tools"');
    }
    // Without a choice GigaChat's documents disagree on whether functions are called.
    return {
      functions: older ?? undefined,
      function_call: olderChoice ?? (older ? "auto" : undefined),
    };
  }
  if (older) throw refuse("functions", 'cannot stand beside "tools". Move every function there');
  if (olderChoice) throw refuse("function_call", 'cannot stand beside "tools". Use "tool_choice"');
  const functions = tools.map((tool, at) => {
    if (tool.type === "function") {
      return encodeFunction(tool.function, `tools[${at}].function`, names);
    }
    throw refuse(`tools[${at}].type`, `is "${tool.type}". GigaChat takes tools of type "function"`);
  });
  return { functions, function_call: encodeChoice(choice, functions, names) };
}

/** Fields beyond OpenAI's stay: `few_shot_examples` and `return_parameters` help GigaChat. */
function encodeFunction(
  given: unknown,
  path: string,
  names: FunctionNames,
): Record<string, unknown> {
  const { name, strict: _, parameters, ...rest } = (given ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || name === "") {
    throw refuse(`${path}.name`, "must be the function's name");
  }
  return { ...rest, name: names.outward(name), parameters: parameters ?? noParameters };
}

/** GigaChat can call no function, any or one certain; not "at least one of these". */
function encodeChoice(
  choice: unknown,
  functions: readonly Record<string, unknown>[],
  names: FunctionNames,
): unknown {
  if (choice === undefined || choice === null || choice === "auto") return "auto";
  if (choice === "none") return "none";
  if (choice === "required") {
    if (functions.length === 1) return { name: functions[0]!.name };
    throw refuse(
      "tool_choice",
      'cannot be "required" with several tools at GigaChat: name one of them, or use "auto"',
    );
  }
  const { type, function: named } = choice as { type?: unknown; function?: { name?: unknown } };
  if (type !== "function" || typeof named?.name !== "string") {
    throw refuse("tool_choice", 'must be "auto", "none", "required" or name a function');
  }
  const name = names.outward(named.name);
  if (!functions.some((each) => each.name === name)) {
    throw refuse("tool_choice.function.name", `is "${named.name}", which is none of the tools`);
  }
  return { name };
}
