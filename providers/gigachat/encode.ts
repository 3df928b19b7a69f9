// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * A request in OpenAI's shape as GigaChat's v1 request. What neither names passes through, so that
 * GigaChat's own fields (`repetition_penalty`, `update_interval`, `profanity_check` and so on) work.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import type { Encoded } from "./attachments.ts";
import { refuse } from "./fault.ts";
import { FunctionNames } from "./function_names.ts";
import { encodeFunctions } from "./functions.ts";
import { grantedTo } from "./granted_fields.ts";
import { encodeMessages } from "./messages.ts";
import { encodeResponseFormat } from "./response_format.ts";
import { checkStops, stopsOf } from "./stops.ts";

/** GigaChat takes nothing at or below 0, and answers without chance below a thousandth. */
const deterministic = 0.0001;

/** OpenAI's limit; GigaChat's documents call what is above it excessive. */
const hottest = 2;

interface Limit {
  /** Whether a value means something that GigaChat cannot give. */
  readonly asks: (value: unknown) => boolean;
  readonly cure: string;
  /** The field is GigaChat's own: other values pass. */
  readonly own?: true;
}

const notGranted =
  "cannot be kept: Sber has it for some accounts, and GIGACHAT_GRANTED_FIELDS does not name it. Leave it out";

/**
 * Fields whose meaning GigaChat cannot give, or not to accounts that they are not granted to; what
 * becomes of them is the policy's to say.
 */
const impossible: Readonly<Record<string, Limit>> = {
  n: {
    asks: (value) => value !== 1,
    cure:
      "must be 1: GigaChat gives one answer a request, v1 more where GIGACHAT_GRANTED_FIELDS says so. Send several requests",
  },
  flags: { asks: () => true, cure: notGranted },
  profanity_check: { asks: (value) => value !== true, cure: notGranted },
  reasoning_effort: { asks: (value) => value !== "none", cure: notGranted },
  seed: {
    asks: () => true,
    cure:
      "cannot be kept by GigaChat, whose chance has no seed. Leave it out, or set temperature 0",
  },
  logprobs: {
    asks: (value) => value !== false,
    cure: "must be false: GigaChat reports no probabilities",
  },
  top_logprobs: {
    asks: (value) => value !== 0,
    cure: "must be 0: GigaChat reports no probabilities",
  },
  frequency_penalty: {
    asks: (value) => value !== 0,
    cure:
      'must be 0: use GigaChat\'s "repetition_penalty", where 1 is neutral and more repeats less',
  },
  presence_penalty: {
    asks: (value) => value !== 0,
    cure:
      'must be 0: use GigaChat\'s "repetition_penalty", where 1 is neutral and more repeats less',
  },
  logit_bias: {
    asks: (value) => typeof value !== "object" || Object.keys(value!).length > 0,
    cure: "must be empty: GigaChat weighs no tokens",
  },
  modalities: {
    asks: (value) => !Array.isArray(value) || value.some((each) => each !== "text"),
    cure: 'must be ["text"]: GigaChat answers with text',
  },
  audio: {
    asks: () => true,
    cure: "cannot be kept by GigaChat, which answers with text. Leave it out",
  },
  moderation: {
    asks: () => true,
    cure:
      "cannot be kept by GigaChat, whose own filter is always on. Leave it out, or ask a moderation model yourself",
  },
  verbosity: {
    asks: (value) => value !== "medium",
    cure: 'must be "medium": say in a message how long the answer shall be',
  },
  storage: {
    own: true,
    asks: (value) =>
      ["thread_id", "assistant_id"].some((name) => Object.hasOwn(Object(value), name)),
    cure:
      "must name no thread and no assistant: Sber keeps them for the account, which keys share. Send the messages",
  },
  assistant_id: {
    asks: () => true,
    cure: "cannot be kept: it takes the place of the model, which has the price. Leave it out",
  },
  web_search_options: {
    asks: () => true,
    cure: "cannot be kept by GigaChat's v1, which does not search the web. Leave it out",
  },
};

/** Fields that only steer speed, bills or bookkeeping at OpenAI; the answer means the same without. */
const needless: ReadonlySet<string> = new Set([
  "metadata",
  "models",
  "parallel_tool_calls",
  "prediction",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
  "safety_identifier",
  "service_tier",
  "store",
  "stream_options",
  "user",
]);

/** Fields that are written anew. */
const translated: ReadonlySet<string> = new Set([
  "function_call",
  "functions",
  "max_completion_tokens",
  "max_tokens",
  "messages",
  "reasoning_effort",
  "response_format",
  "stop",
  "temperature",
  "tool_choice",
  "tools",
  "top_p",
]);

/**
 * Translates a request. Files have become `attachments`, ids of uploaded ones, before: parts of a
 * content that are no text are refused here.
 *
 * @param call Says what becomes of fields that GigaChat cannot keep.
 * @param granted Fields that the account has and not every one.
 * @throws {RouterError} `invalid_request` naming the field that GigaChat cannot take or keep.
 */
export function encode(
  body: ChatBody,
  call: Call,
  granted: readonly string[] = grantedTo(call),
): Encoded {
  const encoded: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(body)) {
    if (value === null || value === undefined || needless.has(field)) continue;
    const isFree = granted.includes(field) || !Object.hasOwn(impossible, field);
    const limit = isFree ? undefined : impossible[field];
    if (limit?.asks(value)) call.cannotKeep(field, limit.cure);
    else if (!translated.has(field) && (limit === undefined || limit.own)) encoded[field] = value;
  }
  checkStops(body, call);
  // What comes after a sequence need not be written, nor paid for: the call is ended there.
  if (stopsOf(body).length > 0) encoded.stream = true;
  const names = new FunctionNames(body);
  const messages = encodeMessages(body.messages, names, call);
  Object.assign(encoded, encodeFunctions(body, names, call), encodeSampling(body, call));
  if (granted.includes("reasoning_effort")) Object.assign(encoded, encodeEffort(body, call));
  const format = encodeResponseFormat(body, call);
  if (format !== undefined) encoded.response_format = format;
  return { ...encoded, messages };
}

function encodeSampling(body: ChatBody, call: Call): Record<string, unknown> {
  const { temperature, top_p: topP } = body;
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  if (typeof temperature === "number" && temperature < 0) {
    throw refuse("temperature", "must be 0 or more");
  }
  if (typeof temperature === "number" && temperature > hottest) {
    call.cannotKeep("temperature", `must be at most ${hottest}`);
  }
  if (typeof topP === "number" && !(topP >= 0 && topP <= 1)) {
    throw refuse("top_p", "must be between 0 and 1");
  }
  return {
    ...(typeof temperature === "number" && {
      temperature: Math.min(temperature || deterministic, hottest),
    }),
    ...(typeof topP === "number" && { top_p: topP }),
    ...(typeof maxTokens === "number" && { max_tokens: Math.min(maxTokens, 0x7fffffff) }),
  };
}

/** What GigaChat knows for each of OpenAI's. */
const efforts: ReadonlyMap<unknown, string | undefined> = new Map([
  ["none", undefined],
  ["minimal", "low"],
  ["low", "low"],
  ["medium", "medium"],
  ["high", "high"],
  ["xhigh", "high"],
  ["max", "high"],
]);

function encodeEffort({ reasoning_effort: given }: ChatBody, call: Call): Record<string, unknown> {
  if (given === undefined || given === null) return {};
  if (!efforts.has(given)) {
    throw refuse("reasoning_effort", `must be one of ${[...efforts.keys()].join(", ")}`);
  }
  const effort = efforts.get(given);
  if (effort === undefined) return {};
  if (effort !== given) call.changed("reasoning_effort");
  return { reasoning_effort: effort };
}
