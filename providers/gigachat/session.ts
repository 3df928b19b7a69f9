/**
 * Which conversation a request belongs to. Sber keeps what a session's prompts begin with for about
 * half a minute, and what comes from there is free; without a stable name the cache is often missed.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import type { Call, ChatBody } from "xrouter/provider";

/** Enough of a picture's address, or of its bytes in it, to tell two conversations apart. */
const addressLength = 4_096;

/** Longer names of sessions say no more. */
const longestName = 1_024;

/**
 * The name of a request's conversation, as a UUID.
 *
 * It is made from the client's `x-session-id` or `prompt_cache_key`, or else from the model and the
 * conversation's beginning: its system text and the first message of the user. The key that asks is
 * part of it, so that no two keys share a session.
 */
export function sessionId(
  body: ChatBody,
  { clientHeaders, keyId }: Pick<Call, "clientHeaders" | "keyId">,
): string {
  const hash = createHash("sha256");
  add(hash, keyId ?? "");
  const name = clientHeaders.get("x-session-id")?.trim() || body.prompt_cache_key;
  if (typeof name === "string" && name !== "") {
    add(hash, "name", name.slice(0, longestName));
  } else {
    add(hash, "beginning", body.model);
    for (const { role, content } of body.messages) {
      addContent(hash, role, content);
      if (role === "user") break;
    }
  }
  return toUuid(hash.digest("hex"));
}

/** Each text with its length before it, so that no two lists of texts look alike. */
function add(hash: Hash, ...texts: string[]): void {
  for (const text of texts) hash.update(`${text.length}:`).update(text);
}

function addContent(hash: Hash, role: string, content: unknown): void {
  add(hash, role);
  if (typeof content === "string") return add(hash, content);
  if (!Array.isArray(content)) return;
  for (const part of content as ({ text?: unknown; image_url?: { url?: unknown } } | null)[]) {
    const { text, image_url: image } = part ?? {};
    if (typeof text === "string") add(hash, text);
    if (typeof image?.url === "string") add(hash, image.url.slice(0, addressLength));
  }
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
