// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's v2 answers as far as they are read, and what v1 calls the same.
 *
 * @module
 */
import type { V2Part } from "./messages.ts";
import type { V2Settings } from "./settings.ts";

/** A whole answer or an event of a stream. */
export interface V2Reply {
  messages?: readonly V2Answer[] | null;
  created_at?: number | string;
  finish_reason?: string | null;
  usage?: V2Usage | null;
  [field: string]: unknown;
}

/** A message of an answer. */
export interface V2Answer {
  /** `assistant`, or `reasoning` for thoughts. */
  role?: string;
  content?: readonly V2Part[] | string | null;
  [field: string]: unknown;
}

/** Token counts. */
export interface V2Usage {
  input_tokens?: number;
  input_tokens_details?: { cached_tokens?: number } | null;
  output_tokens?: number;
}

/** v2's reasons by what v1 calls the same. */
const finishReasons: ReadonlyMap<string, string> = new Map([
  ["function_call_error", "error"],
  ["request_blacklist", "blacklist"],
  ["request_whitelist", "blacklist"],
  ["request_filter", "blacklist"],
  ["response_blacklist", "blacklist"],
]);

/**
 * Why an answer ended.
 *
 * @param calls Whether it calls functions, which some answers end without saying.
 */
export function toV1FinishReason(reason: string, calls: boolean): string {
  return calls && reason === "stop" ? "function_call" : finishReasons.get(reason) ?? reason;
}

/** Token counts as v1 has them: `prompt_tokens` without those that came from the cache. */
export function toV1Usage(
  { input_tokens, input_tokens_details: details, output_tokens }: V2Usage,
  { v2CachedTokens }: V2Settings,
): Record<string, number> {
  const input = count(input_tokens);
  const cached = count(details?.cached_tokens);
  return {
    prompt_tokens: v2CachedTokens === "within" ? Math.max(0, input - cached) : input,
    completion_tokens: count(output_tokens),
    precached_prompt_tokens: cached,
  };
}

function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** Ties calls to the answer they came in; each of the names is seen. */
export function stateIn(from: Readonly<Record<string, unknown>>): string | undefined {
  const { tool_state_id: first, tools_state_id: second, functions_state_id: third } = from;
  return [first, second, third].find((id) => typeof id === "string");
}

/** The messages of an answer. */
export function messagesOf({ messages }: V2Reply): readonly V2Answer[] {
  return Array.isArray(messages) ? messages.filter(isObject) : [];
}

/** The parts of a message; some hosts send a text alone. */
export function partsOf({ content }: V2Answer): readonly V2Part[] {
  if (typeof content === "string") return [{ text: content }];
  return Array.isArray(content) ? content.filter(isObject) : [];
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/** The fields of an answer that v1 has under the same name, or does not know. */
export function sharedFields(reply: V2Reply): Record<string, unknown> {
  const { messages: _messages, created_at, finish_reason: _reason, usage: _usage, ...rest } = reply;
  const created = typeof created_at === "string" ? Number(created_at) : created_at;
  return { ...rest, ...(Number.isFinite(created) && { created }) };
}
