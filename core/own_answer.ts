/**
 * The answer that a plugin gives itself, as OpenAI writes one.
 *
 * @module
 */
import type { Path } from "./body.ts";
import type { ChatReply } from "./chat.ts";
import type { LiveExchange } from "./exchange.ts";

/** A plugin's answer with the fields that clients rely on; what it says itself stays. */
export function ownAnswer(reply: ChatReply, x: LiveExchange): ChatReply {
  return complete[x.path](reply, x);
}

const complete: Record<Path, (reply: ChatReply, x: LiveExchange) => ChatReply> = {
  "/v1/chat/completions": ({ choices, ...reply }, { id, startedAt, body }) => ({
    id: `chatcmpl-${id}`,
    object: "chat.completion",
    created: Math.floor(startedAt / 1000),
    model: body.model,
    ...reply,
    choices: choices.map((choice, place) => ({
      finish_reason: "stop",
      ...choice,
      index: choice.index ?? place,
      message: { role: "assistant", ...choice.message },
    })),
  }),
  "/v1/embeddings": (reply, { body }) => ({ object: "list", model: body.model, ...reply }),
};
