// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Tools that GigaChat runs itself.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { refuse } from "../fault.ts";

/** GigaChat's own tools by their names in v2. Which of them an account has, only GigaChat says. */
const names: ReadonlySet<string> = new Set([
  "web_search",
  "code_interpreter",
  "image_generate",
  "url_content_extraction",
  "model_3d_generate",
]);

/** OpenAI's types of a web search: `web_search`, `web_search_preview`, and both with a date. */
const webSearch = /^web_search(_preview)?(_\d{4}_\d\d_\d\d)?$/;

/** What OpenAI's web search can be told and GigaChat's cannot. */
const searchLimits: Readonly<Record<string, (value: unknown) => boolean>> = {
  search_context_size: (value) => value !== "medium",
  user_location: () => true,
  filters: () => true,
};

type Tool = Record<string, unknown>;

/** A request's tools, told apart. */
export interface SplitTools {
  /** The request with tools of the client alone. */
  readonly body: ChatBody;
  /** GigaChat's own tools. */
  readonly builtIn: readonly Tool[];
  /** The choice, where it concerns these. */
  readonly config: Tool | undefined;
}

/**
 * Takes GigaChat's own tools out of a request: those of `tools` that are no functions, and
 * `web_search_options`.
 *
 * @throws {RouterError} `invalid_request` for a choice of one that is not among them; by policy for
 * what GigaChat's search cannot be told.
 */
export function splitTools(body: ChatBody, call: Call): SplitTools {
  const { web_search_options: search, ...rest } = body;
  const found = new Map<string, unknown>();
  const others = (body.tools ?? []).filter((tool, at) => {
    const name = nameOf(tool.type);
    if (name === undefined) return true;
    const { type: _, ...options } = tool;
    found.set(name, withoutLimits(options, `tools[${at}]`, call));
    return false;
  });
  if (search !== undefined && search !== null) {
    const options = withoutLimits(search as Tool, "web_search_options", call);
    if (!found.has("web_search")) found.set("web_search", options);
  }
  const split = others.length === body.tools?.length ? rest : { ...rest, tools: others };
  return {
    ...withChoice(split as ChatBody, [...found.keys()], call),
    builtIn: [...found].map(([name, options]) => ({ [name]: options })),
  };
}

function withChoice(
  body: ChatBody,
  builtIn: readonly string[],
  call: Call,
): Pick<SplitTools, "body" | "config"> {
  const { tool_choice: choice, ...free } = body;
  const named = nameOf((choice as { type?: unknown } | null | undefined)?.type);
  if (named !== undefined) {
    if (builtIn.includes(named)) {
      return { body: free, config: { mode: "forced", tool_name: named } };
    }
    throw refuse("tool_choice.type", `is "${named}", which is none of the tools`);
  }
  if (builtIn.length === 0) return { body, config: undefined };
  const hasFunctions = Boolean(body.tools?.length);
  if (choice === "required") {
    if (!hasFunctions && builtIn.length === 1) {
      return { body: free, config: { mode: "forced", tool_name: builtIn[0] } };
    }
    call.cannotKeep(
      "tool_choice",
      'cannot be "required" with several tools at GigaChat: name one of them, or use "auto"',
    );
    return { body: free, config: { mode: "auto" } };
  }
  // A choice among functions says "auto" and "none" too.
  if (hasFunctions) return { body, config: undefined };
  return { body: free, config: { mode: choice === "none" ? "none" : "auto" } };
}

function nameOf(type: unknown): string | undefined {
  if (typeof type !== "string") return undefined;
  return names.has(type) ? type : webSearch.test(type) ? "web_search" : undefined;
}

function withoutLimits(options: Tool, path: string, call: Call): Tool {
  const kept: Tool = {};
  for (const [field, value] of Object.entries(options)) {
    const limit = Object.hasOwn(searchLimits, field) ? searchLimits[field] : undefined;
    if (limit === undefined) kept[field] = value;
    else if (value !== null && limit(value)) {
      call.cannotKeep(`${path}.${field}`, "cannot be kept by GigaChat's search. Leave it out");
    }
  }
  return kept;
}
