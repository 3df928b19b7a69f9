/**
 * GigaChat's own count of a request's tokens.
 *
 * @module
 */
import {
  type Body,
  type ChatBody,
  isChat,
  RouterError,
  textsOf,
  type Wire,
} from "xrouter/provider";
import { faultByStatus } from "../../core/fault.ts";
import { callsIn } from "./asked_call.ts";
import { fault } from "./fault.ts";

/**
 * Tokens around each message and around the reply, which the counter does not see: it counts texts
 * alone. Sber does not say how many there are; these are OpenAI's.
 */
const perMessage = 3;
const perReply = 3;

/**
 * Counts by `POST /tokens/count`.
 *
 * @throws {RouterError} what GigaChat's refusal means.
 */
export async function countTokens(body: Body, wire: Wire): Promise<number> {
  const input = (isChat(body) ? textsIn(body) : textsOf(body)).filter((text) => text !== "");
  const overhead = isChat(body) ? perReply + perMessage * body.messages.length : 0;
  if (input.length === 0) return overhead;
  const response = await wire.send("/tokens/count", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ model: body.model, input }),
  });
  const text = await response.text();
  if (!response.ok) {
    throw fault(response.status, text) ??
      faultByStatus("gigachat", response.status, text, response.headers);
  }
  const counts = JSON.parse(text) as { tokens?: unknown }[];
  if (!Array.isArray(counts) || counts.some((count) => !Number.isSafeInteger(count?.tokens))) {
    throw new RouterError("upstream_unavailable", "GigaChat's count of tokens has another shape", {
      detail: text.slice(0, 500),
    });
  }
  return counts.reduce((sum, { tokens }) => sum + (tokens as number), overhead);
}

/** Every text that GigaChat will read: contents, calls and the declarations of functions. */
function textsIn({ messages, tools, functions, response_format: format }: ChatBody): string[] {
  const texts: string[] = [];
  for (const message of messages) {
    const { content } = message;
    if (typeof content === "string") texts.push(content);
    else {
      for (const part of content ?? []) if (typeof part.text === "string") texts.push(part.text);
    }
    for (const { name, given } of callsIn(message, 0)) {
      texts.push(JSON.stringify({ name, arguments: given }));
    }
  }
  for (const each of [tools, functions, format]) if (each) texts.push(JSON.stringify(each));
  return texts;
}
