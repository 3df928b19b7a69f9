// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * What the real GigaChat refuses in a request to `/v2/chat/completions`, as its documents, recorded
 * traffic and probes show. Fields that nobody has seen it take are refused too.
 */
import type { Refusal } from "./fake_gigachat_rules.ts";
import { isWellFormed } from "./well_formed.ts";

/** A part of a message. */
export interface FakePart {
  text?: string;
  files?: { id: string }[];
  function_call?: { name: string; arguments: Record<string, unknown> };
  function_result?: { name: string; result: unknown };
}

/** A chat request of v2 that has passed every check. */
export interface FakeChatV2 {
  model: string;
  messages: { role: string; content: FakePart[]; tools_state_id?: string }[];
  model_options?: Record<string, unknown>;
  tools?: Record<string, { specifications: Record<string, unknown>[] }>[];
  tool_config?: { mode: string; function_name?: string; tool_name?: string };
  stream?: boolean;
  [field: string]: unknown;
}

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isString: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number";
const isBoolean: Check = (value) => typeof value === "boolean";
const isListOf = (check: Check): Check => (value) => Array.isArray(value) && value.every(check);
/** An object of these fields alone; those with `!` must be there. */
const hasShape = (shape: Readonly<Record<string, Check>>): Check => {
  const fields = new Map(
    Object.entries(shape).map(([name, check]) => [name.replace("!", ""), check]),
  );
  const required = Object.keys(shape).filter((name) => name.endsWith("!"));
  return (value) =>
    isObject(value) && required.every((name) => value[name.slice(0, -1)] !== undefined) &&
    Object.entries(value).every(([name, each]) => fields.get(name)?.(each) ?? false);
};

const isPart = hasShape({
  text: isString,
  files: isListOf(hasShape({ "id!": isString })),
  function_call: hasShape({ "name!": isString, "arguments!": isObject, id: isString }),
  function_result: hasShape({ "name!": isString, "result!": () => true }),
});
const isMessage = hasShape({
  "role!": isString,
  "content!": isListOf(isPart),
  message_id: isString,
  tools_state_id: isString,
});
const isFunction = hasShape({
  "name!": isString,
  description: isString,
  "parameters!": isObject,
  few_shot_examples: Array.isArray,
  return_parameters: isObject,
});
const isChat = hasShape({
  "model!": isString,
  "messages!": isListOf(isMessage),
  model_options: hasShape({
    preset: isString,
    temperature: isNumber,
    top_p: isNumber,
    max_tokens: (value) => Number.isInteger(value) && value as number < 2 ** 31,
    repetition_penalty: isNumber,
    update_interval: isNumber,
    unnormalized_history: isBoolean,
    reasoning: hasShape({ effort: isString, max_tokens: isNumber }),
    response_format: isObject,
  }),
  tools: isListOf((tool) => isObject(tool) && Object.keys(tool).length === 1),
  tool_config: hasShape({ "mode!": isString, function_name: isString, tool_name: isString }),
  storage: isObject,
  ranker_options: isObject,
  disable_filter: isBoolean,
  filter_config: isObject,
  user_info: isObject,
  flags: Array.isArray,
  stream: isBoolean,
});

const invalidJson: Refusal = { status: 400, message: "Your request contains invalid JSON syntax." };
const builtIn = ["web_search", "url_content_extraction", "image_generate", "model_3d_generate"];

/**
 * @param toolRole The role of results that this host takes.
 * @returns What is wrong with a chat request; `undefined` if GigaChat would answer it.
 */
export function checkChatV2(body: unknown, toolRole: string): Refusal | undefined {
  const chat = body as FakeChatV2;
  if (!isChat(body) || !isWellFormed(chat.messages)) return invalidJson;
  const roles = ["system", "user", "assistant", toolRole];
  if (chat.messages.some(({ role }) => !roles.includes(role))) return invalidJson;
  return checkFormat(chat) ?? checkTools(chat) ?? checkResults(chat) ??
    checkHistory(chat, toolRole);
}

function checkFormat({ model_options: options = {} }: FakeChatV2): Refusal | undefined {
  const { response_format: format, temperature } = options as Record<string, unknown>;
  if (temperature !== undefined && !(temperature as number > 0)) {
    return { status: 422, message: "Invalid params: temperature must be in range (0, +inf)" };
  }
  if (format === undefined) return undefined;
  const { type, schema } = format as Fields;
  if (!["text", "json_schema", "regex"].includes(type as string)) {
    return { status: 400, message: `Unknown type "${type}" in response_format` };
  }
  return type === "json_schema" && !isObject(schema)
    ? { status: 400, message: "Empty schema with json format type is not supported" }
    : undefined;
}

function checkTools({ tools = [], tool_config: config }: FakeChatV2): Refusal | undefined {
  const functions = new Set<unknown>();
  for (const tool of tools) {
    const [[name, value]] = Object.entries(tool) as [[string, unknown]];
    if (name === "functions") {
      if (!hasShape({ "specifications!": isListOf(isFunction) })(value)) return invalidJson;
      for (const each of (value as { specifications: Fields[] }).specifications) {
        functions.add(each.name);
      }
    } else if (!isObject(value)) return invalidJson;
    else if (name === "code_interpreter") {
      return { status: 422, message: "Tool code_interpreter is unavailable" };
    } else if (!builtIn.includes(name)) return { status: 404, message: `Unknown tool ${name}` };
  }
  const wrong = [...functions].filter((name) => !/^[A-Za-z_.-][\w.-]*$/.test(String(name)));
  if (wrong.length > 0) {
    return {
      status: 422,
      message:
        `Invalid params: Invalid function names. Only Latin letters (A-Z or a-z), underscore (_), hyphen (-), dot (.) and digits (not leading) are allowed.: [${
          wrong.join(", ")
        }]`,
    };
  }
  if (config === undefined) return undefined;
  if (!["auto", "none", "forced"].includes(config.mode)) return invalidJson;
  const { function_name: forced, tool_name: tool } = config;
  const isThere = (forced === undefined || functions.has(forced)) &&
    (tool === undefined || tools.some((each) => Object.hasOwn(each, tool)));
  return isThere && (config.mode === "forced") === Boolean(forced ?? tool)
    ? undefined
    : { status: 422, message: "Invalid params: tool_config names no tool of the request" };
}

function checkResults({ messages }: FakeChatV2): Refusal | undefined {
  for (const { function_result: given } of messages.flatMap(({ content }) => content)) {
    if (given === undefined || isObject(given.result)) continue;
    try {
      const result = typeof given.result === "string" ? JSON.parse(given.result) : undefined;
      if (isObject(result) && isWellFormed(result)) continue;
    } catch {
      // It is refused below.
    }
    return {
      status: 400,
      message:
        `invalid function result for function ${given.name} json string ${given.result}, error: JSON parse error at line 1 column 1`,
    };
  }
  return undefined;
}

function checkHistory({ messages }: FakeChatV2, toolRole: string): Refusal | undefined {
  const refusal = (message: string) => ({ status: 422, message: `Invalid params: ${message}` });
  if (messages.length === 0) return refusal("messages must not be empty");
  /** Functions that are called and have no result yet. */
  let open: string[] = [];
  for (const [at, { role, content }] of messages.entries()) {
    if (role === "system" && at > 0) return refusal("system message must be the first message");
    if (content.some((part) => part.function_result !== undefined) !== (role === toolRole)) {
      return invalidJson;
    }
    for (const { function_result: given } of content) {
      if (given !== undefined && open.shift() !== given.name) {
        return refusal(
          "every assistant function result must have an assistant function call in history",
        );
      }
    }
    if (role === toolRole) continue;
    if (open.length > 0) break;
    open = content.flatMap(({ function_call: call }) => call?.name ?? []);
    if (open.length > 0 && role !== "assistant") return invalidJson;
  }
  return open.length > 0
    ? refusal("every assistant function call must have a result in history")
    : undefined;
}
