/**
 * Names of functions that GigaChat takes, for names that clients give, and back.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { callsIn, isResult } from "./asked_call.ts";

/**
 * The safe part of GigaChat's rule: Latin letters, digits, `_` and `-`, no digit first. Where it takes
 * dots is not certain.
 */
const allowed = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** GigaChat publishes no limit; this is OpenAI's, and that of most protocols for tools. */
const mostCharacters = 64;

/** Stands for the name that a call in a history lacks; no client has one like it. */
export const unnamed = "";

/** Functions that GigaChat has built in. A client's function of that name would call these. */
const builtIn: ReadonlySet<string> = new Set([
  "text2image",
  "text2model3d",
  "get_file_content",
  "web_search",
  "code_interpreter",
  "image_generate",
  "url_content_extraction",
  "model_3d_generate",
]);

/** Whether GigaChat has a function of this name itself. */
export function isBuiltIn(name: string): boolean {
  return builtIn.has(name);
}

/**
 * Whether a request speaks of `functions`, OpenAI's older field, which is also GigaChat's own:
 * names of built-in functions then mean these.
 */
export function usesOlderFunctions(body: ChatBody): boolean {
  return !body.tools?.length && Boolean(body.functions ?? body.function_call);
}

/**
 * The names of one request. They depend on its body alone, so that the decoder, made from the same
 * body, finds the same.
 */
export class FunctionNames {
  readonly #outward = new Map<string, string>();
  readonly #inward = new Map<string, string>();

  /** @param body The request in OpenAI's shape; its names are taken as far as they are strings. */
  constructor(body: ChatBody) {
    const reserved = usesOlderFunctions(body) ? new Set<string>() : builtIn;
    const names = new Set(namesIn(body));
    const taken = new Set(names);
    const numbers = new Map<string, number>();
    for (const name of names) {
      if (isUsable(name, reserved)) continue;
      const stem = usable(name, reserved);
      let number = numbers.get(stem) ?? 1;
      let free = stem;
      for (; taken.has(free); free = cut(stem, `_${number}`)) number++;
      numbers.set(stem, number);
      taken.add(free);
      this.#outward.set(name, free);
      if (name !== unnamed) this.#inward.set(free, name);
    }
  }

  /** The name to send for a client's name. */
  outward(name: string): string {
    return this.#outward.get(name) ?? name;
  }

  /** The client's name for the one that GigaChat sends. */
  inward(name: string): string {
    return this.#inward.get(name) ?? name;
  }
}

function isUsable(name: string, reserved: ReadonlySet<string>): boolean {
  return name.length <= mostCharacters && allowed.test(name) && !reserved.has(name);
}

function usable(name: string, reserved: ReadonlySet<string>): string {
  if (name === unnamed) return "unnamed_function";
  const letters = name.replaceAll(/[^A-Za-z0-9_-]/g, "_").replace(/^(?![A-Za-z_])/, "_");
  return cut(reserved.has(letters) ? `user_${letters}` : letters, "");
}

function cut(stem: string, end: string): string {
  return stem.slice(0, mostCharacters - end.length) + end;
}

/** The names of the tools and of the calls in the history. */
function namesIn({ tools, functions, messages }: ChatBody): string[] {
  const declared: unknown[] = [
    ...(tools ?? []).map((tool) => tool.function),
    ...Array.isArray(functions) ? functions : [],
  ];
  const calls = messages.flatMap(callsIn);
  const named = declared.map((each) => (each as { name?: unknown } | null | undefined)?.name)
    .concat(calls.map(({ name }) => name));
  // A call without a name has that of its result, or none.
  if (calls.some(({ name }) => name === undefined)) {
    named.push(...messages.filter(isResult).map((result) => result.name), unnamed);
  }
  return named.filter((name) => typeof name === "string");
}
