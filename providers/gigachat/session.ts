/**
 * Names conversations to Sber, who keeps what a session's prompts begin with for about half a
 * minute, and what comes from there is free; without a stable name the cache is often missed.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { conversationOf } from "../../core/conversation.ts";

/** The name of a request's conversation, as {@linkcode conversationOf} tells it, as a UUID. */
export function sessionId(
  body: ChatBody,
  call: Pick<Call, "clientHeaders" | "keyId">,
): string {
  return toUuid(conversationOf(body, call));
}

/** A UUID of version 8, the one for values of one's own making (RFC 9562 §5.8). */
function toUuid(hex: string): string {
  const variant = (Number.parseInt(hex.slice(16, 18), 16) & 0x3f | 0x80).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(18, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
