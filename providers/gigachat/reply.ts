// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's v1 answers as far as they are read.
 *
 * @module
 */
import { type ChatReply, RouterError, type WireUsage } from "xrouter/provider";
import { faultByStatus } from "../../core/fault.ts";
import { fault } from "./fault.ts";
import { withoutTokens } from "./vendor_words.ts";

/** A whole answer or an event of a stream. */
export interface GigachatReply {
  choices: GigachatChoice[];
  usage?: GigachatUsage | null;
  [field: string]: unknown;
}

/** One alternative: `message` in a whole answer, `delta` in a stream. */
export type GigachatChoice = ChatReply["choices"][number] & {
  message?: GigachatAnswer;
  delta?: GigachatAnswer;
};

/** What the model says, or the part of it that is new. */
export interface GigachatAnswer {
  role?: string;
  content?: string | null;
  function_call?: { name?: string; arguments?: unknown };
  functions_state_id?: string;
  [field: string]: unknown;
}

/** Token counts: `prompt_tokens` without those that came from the cache. */
export interface GigachatUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  precached_prompt_tokens?: number;
  [field: string]: unknown;
}

/** A built-in function's progress is no part of the answer. */
export function isSpoken({ delta, finish_reason: reason }: GigachatChoice): boolean {
  return delta?.role !== "function_in_progress" || Boolean(reason);
}

/** In GigaChat cached tokens stand beside those of the prompt, in OpenAI they are a part of them. */
export function toWireUsage(usage: GigachatUsage): WireUsage {
  const { precached_prompt_tokens: precached, ...rest } = usage;
  const cached = Number(precached ?? 0);
  const prompt = Number(usage.prompt_tokens ?? 0) + cached;
  const completion = Number(usage.completion_tokens ?? 0);
  return {
    ...rest,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

/**
 * An answer.
 *
 * @throws {RouterError} for what is none: the refusal that it is, or `upstream_unavailable`.
 */
export function readReply(json: unknown): GigachatReply {
  const reply = json as { choices?: unknown; status?: unknown; message?: unknown };
  if (Array.isArray(reply?.choices) && reply.choices.every((choice) => choice !== null)) {
    return reply as GigachatReply;
  }
  // After a good beginning GigaChat may still say {"status":500,"message":"…"}.
  if (typeof reply?.status === "number") {
    const text = withoutTokens(JSON.stringify(reply));
    throw fault(reply.status, text) ?? faultByStatus("gigachat", reply.status, text, new Headers());
  }
  throw new RouterError("upstream_unavailable", "GigaChat answered with something unexpected", {
    detail: withoutTokens(JSON.stringify(json) ?? "").slice(0, 500),
  });
}
