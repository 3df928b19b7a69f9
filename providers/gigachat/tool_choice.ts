// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * OpenAI's `tool_choice` as GigaChat's `function_call`: no function, any, or one certain.
 *
 * @module
 */
import type { Call } from "xrouter/provider";
import { refuse } from "./fault.ts";
import type { FunctionNames } from "./function_names.ts";
import type { GigachatFunction, GigachatFunctions } from "./functions.ts";

/**
 * The functions that may be called, and the choice among them.
 *
 * @param functions As they are sent.
 * @throws {RouterError} `invalid_request` for a choice that is none of OpenAI's, or names a function
 * that is not there; by policy for one that GigaChat cannot be held to.
 */
export function encodeToolChoice(
  choice: unknown,
  functions: GigachatFunction[],
  names: FunctionNames,
  call: Call,
): GigachatFunctions {
  if (choice === undefined || choice === null || choice === "auto") {
    return { functions, function_call: "auto" };
  }
  // GigaChat needs no functions for the calls in a history.
  if (choice === "none") return { function_call: "none" };
  if (choice === "required") return encodeRequired(functions, call);
  const { type, function: named, allowed_tools: allowed } = choice as {
    type?: unknown;
    function?: unknown;
    allowed_tools?: unknown;
  };
  if (type === "allowed_tools") return encodeAllowed(allowed, functions, names, call);
  if (type !== "function") {
    throw refuse("tool_choice", 'must be "auto", "none", "required" or name functions');
  }
  const { name } = find(named, "tool_choice.function", functions, names);
  return { functions, function_call: { name } };
}

/** GigaChat cannot be told "at least one of these". */
function encodeRequired(functions: GigachatFunction[], call: Call): GigachatFunctions {
  if (functions.length === 1) return { functions, function_call: { name: functions[0]!.name } };
  call.cannotKeep(
    "tool_choice",
    'cannot be "required" with several tools at GigaChat: name one of them, or use "auto"',
  );
  return { functions, function_call: "auto" };
}

/** Functions that may not be called are not shown: GigaChat would call them. */
function encodeAllowed(
  allowed: unknown,
  functions: readonly GigachatFunction[],
  names: FunctionNames,
  call: Call,
): GigachatFunctions {
  const { mode, tools } = (allowed ?? {}) as { mode?: unknown; tools?: unknown };
  const path = "tool_choice.allowed_tools";
  if (mode !== "auto" && mode !== "required") {
    throw refuse(`${path}.mode`, 'must be "auto" or "required"');
  }
  if (!Array.isArray(tools) || tools.length === 0) {
    throw refuse(`${path}.tools`, 'must list tools such as {"type":"function","function":{…}}');
  }
  const chosen = new Set(tools.map((tool, at) => {
    const { function: named } = (tool ?? {}) as { function?: unknown };
    return find(named ?? tool, `${path}.tools[${at}].function`, functions, names);
  }));
  const shown = functions.filter((each) => chosen.has(each));
  return mode === "required"
    ? encodeRequired(shown, call)
    : { functions: shown, function_call: "auto" };
}

function find(
  given: unknown,
  path: string,
  functions: readonly GigachatFunction[],
  names: FunctionNames,
): GigachatFunction {
  const { name } = (given ?? {}) as { name?: unknown };
  if (typeof name !== "string") throw refuse(`${path}.name`, "must be the name of a tool");
  const found = functions.find((each) => each.name === names.outward(name));
  if (found === undefined) throw refuse(`${path}.name`, `is "${name}", which is none of the tools`);
  return found;
}
