/**
 * OpenAI's chat-completions wire: what a request must look like, what an answer looks like, and how
 * much of either XRouter understands. What it does not understand passes through.
 *
 * @module
 */
import { z } from "zod";
import { RouterError } from "./errors.ts";
import {
  checkItems,
  listOf,
  modelFields,
  openObject,
  parseBody,
  positiveInteger,
  shortText,
} from "./json_body.ts";
import type { WireUsage } from "./usage_report.ts";

/** How many messages one request may hold. */
export const maxMessages = 4096;

const optionalNumber = z.number({ error: "must be a number" }).nullish();
const optionalBoolean = z.boolean({ error: "must be true or false" }).nullish();

function textOrListOf<Item extends z.ZodType>(item: Item, error: string) {
  const fits = (value: unknown) =>
    value === null || typeof value === "string" || Array.isArray(value);
  return z.custom<string | z.output<Item>[] | null>(fits, { error })
    .superRefine(checkItems(item)).optional();
}

const contentPart = openObject(
  { type: z.string({ error: 'must name the part\'s type, such as "text"' }) },
  { error: 'must be an object such as {"type":"text","text":"…"}' },
);
const toolCall = openObject(
  { id: z.string({ error: "must be the call's id, a string" }).nullish() },
  { error: "must be an object with id, type and function" },
);
const message = openObject({
  role: shortText('a role such as "user"'),
  content: textOrListOf(contentPart, "must be a string, a list of content parts or null"),
  name: z.string({ error: "must be a string" }).nullish(),
  tool_calls: listOf(toolCall, "must be a list of tool calls").nullish(),
  tool_call_id: z.string({ error: "must be a string" }).nullish(),
}, { error: 'must be an object such as {"role":"user","content":"…"}' });
const tool = openObject(
  { type: z.string({ error: 'must name the tool\'s type, such as "function"' }) },
  { error: 'must be an object such as {"type":"function","function":{"name":"…"}}' },
);

/** The fields that XRouter checks; every other field passes through unchecked. */
const chatSchema = openObject({
  ...modelFields,
  messages: listOf(message, "must be a list of at least one message", 1),
  stream: optionalBoolean,
  stream_options: openObject({ include_usage: optionalBoolean }, {
    error: 'must be an object such as {"include_usage":true}',
  }).nullish(),
  max_tokens: positiveInteger,
  max_completion_tokens: positiveInteger,
  temperature: optionalNumber,
  top_p: optionalNumber,
  presence_penalty: optionalNumber,
  frequency_penalty: optionalNumber,
  n: positiveInteger,
  stop: textOrListOf(
    z.string({ error: "must be a string" }),
    "must be a string or a list of strings",
  ),
  tools: listOf(tool, "must be a list of tools").nullish(),
}, { error: "must be a JSON object" });

/** A request's body: the checked fields typed, the others as they came. */
export type ChatBody = z.infer<typeof chatSchema> & { model: string };

/** The message of an answer, or in a stream the part of it that is new. */
export interface ChatMessage {
  /** `assistant`. */
  role?: string;
  /** The text. */
  content?: string | null;
  /** Calls of the client's tools; in a stream told apart by `index`. */
  tool_calls?: {
    index?: number;
    id?: string;
    type?: string;
    function?: { name?: string; arguments?: string };
  }[];
  /** What else the provider sends. */
  [field: string]: unknown;
}

/** One alternative of an answer. `delta` in a stream, `message` otherwise. */
export interface ChatChoice {
  /** Its number, 0 for the first. */
  index: number;
  /** In a stream: what is new. */
  delta?: ChatMessage;
  /** Otherwise: the whole message. */
  message?: ChatMessage;
  /** Why it ended, such as `stop`; `null` or absent while it goes on. */
  finish_reason?: string | null;
  /** What else the provider sends. */
  [field: string]: unknown;
}

/** A whole answer (`chat.completion`) or one event of a stream (`chat.completion.chunk`). */
export interface ChatReply {
  /** The vendor's id of the answer. */
  id?: string;
  /** `chat.completion` or `chat.completion.chunk`. */
  object?: string;
  /** Seconds since 1970. */
  created?: number;
  /** The model that answers, as the vendor names it. */
  model?: string;
  /** The alternatives; none in the event that only reports usage. */
  choices: ChatChoice[];
  /** What was used. */
  usage?: WireUsage | null;
  /** What else the provider sends. */
  [field: string]: unknown;
}

/**
 * Parses and checks a request's body.
 *
 * @param bytes The body as it came.
 * @returns The body, with `model` filled from `models` where only that was given.
 * @throws {RouterError} `invalid_request` naming the first field that is wrong.
 */
export function parseChatBody(bytes: Uint8Array): ChatBody {
  return parseBody(bytes, chatSchema, (json) => {
    const count = (json as { messages?: unknown } | null)?.messages;
    if (!Array.isArray(count) || count.length <= maxMessages) return;
    throw new RouterError(
      "invalid_request",
      `"messages" holds ${count.length} messages; at most ${maxMessages} are taken`,
      { param: "messages" },
    );
  });
}

/** The text that a reply adds: contents, refusals, reasoning and tool calls, for counting. */
export function textOf(reply: ChatReply): string {
  let text = "";
  for (const choice of Array.isArray(reply.choices) ? reply.choices : []) {
    const part = choice?.delta ?? choice?.message;
    if (typeof part !== "object" || part === null) continue;
    for (const field of ["content", "reasoning_content", "reasoning", "refusal"]) {
      const value = part[field];
      if (typeof value === "string") text += value;
    }
    const calls = Array.isArray(part.tool_calls) ? part.tool_calls : [];
    for (const called of [...calls.map((call) => call?.function), part.function_call]) {
      const { name, arguments: given } = Object(called);
      for (const value of [name, given]) if (typeof value === "string") text += value;
    }
  }
  return text;
}

/** Whether a stream's event is more than a role or an empty beginning. */
export function saysSomething(reply: ChatReply | undefined): boolean {
  if (reply === undefined || reply.usage) return true;
  return Array.isArray(reply.choices) && reply.choices.some((choice) =>
    reasonOf(choice) ||
    Object.entries(choice?.delta ?? {}).some(([field, value]) =>
      field !== "role" && value != null && value !== "" &&
      !(Array.isArray(value) && value.length === 0)
    )
  );
}

/** The alternatives that a reply speaks of, by their numbers. */
export function numbersIn({ choices }: ChatReply): number[] {
  if (!Array.isArray(choices)) return [];
  return choices.flatMap((choice, place) => choice ? [choice.index ?? place] : []);
}

/** Those of which it says why they end. */
export function endedIn({ choices }: ChatReply): number[] {
  if (!Array.isArray(choices)) return [];
  return choices.flatMap((choice, place) => reasonOf(choice) ? [choice.index ?? place] : []);
}

/** Why an alternative ends; `undefined` while it goes on. Some vendors write the absence out. */
export function reasonOf(
  choice: Pick<ChatChoice, "finish_reason"> | null | undefined,
): string | undefined {
  const reason = choice?.finish_reason;
  return reason && reason !== "null" ? reason : undefined;
}

/** Whether a reply has the alternatives of a whole answer. */
export function isWholeReply(reply: ChatReply | null | undefined): boolean {
  return Array.isArray(reply?.choices) && reply.choices.length > 0 &&
    reply.choices.every((each) => Object(each) === each);
}

/** Whether a reply says that the answer failed, as some vendors do in one of the regular shape. */
export function saysFailed({ error, object, choices }: ChatReply): boolean {
  return Boolean(error) || object === "error" || Array.isArray(choices) &&
      choices.some((choice) => choice?.finish_reason === "error" || Boolean(choice?.error));
}

/** Whether a stream's event only reports usage: OpenAI sends it last, with no choices. */
export function isUsageOnly(reply: ChatReply): boolean {
  return Array.isArray(reply.choices) && reply.choices.length === 0 &&
    typeof reply.usage === "object" && reply.usage !== null;
}

const openBrace = 123;
const usageField = new TextEncoder().encode('"usage":');

/** Whether a chunk's bytes hold `"usage":{`, white space allowed between the signs. */
export function mayReportUsage(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(openBrace); at !== -1; at = bytes.indexOf(openBrace, at + 1)) {
    let before = at - 1;
    let sign = usageField.length - 1;
    for (; sign >= 0; before--) {
      const byte = bytes[before];
      if (byte === usageField[sign]) sign--;
      else if (byte !== 32 && byte !== 10) break;
    }
    if (sign < 0) return true;
  }
  return false;
}

/**
 * A whole answer as the events of a stream, in OpenAI's order: the message, the end, and the usage
 * by itself.
 */
export function toEvents(whole: ChatReply): ChatReply[] {
  const { choices, usage, ...shared } = whole;
  const event = { ...shared, object: "chat.completion.chunk" };
  const events: ChatReply[] = [];
  for (const { message, finish_reason, index, ...rest } of choices) {
    const calls = message?.tool_calls?.map((call, position) => ({ index: position, ...call }));
    const delta = { ...message, ...(calls && { tool_calls: calls }) };
    events.push({ ...event, choices: [{ ...rest, index, delta, finish_reason: null }] });
    events.push({
      ...event,
      choices: [{ index, delta: {}, finish_reason: finish_reason ?? "stop" }],
    });
  }
  if (usage) events.push({ ...event, choices: [], usage });
  return events;
}
