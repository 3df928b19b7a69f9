/**
 * Which conversation a request belongs to.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { type Body, isChat } from "./body.ts";

/** Enough of a picture's address, or of its bytes in it, to tell two conversations apart. */
const addressLength = 4_096;

/** Longer names of conversations say no more. */
const longestName = 1_024;

/** Who asks, and how. */
export interface Asking {
  /** The client's headers. */
  readonly clientHeaders: Headers;
  /** Id of the key that asks; absent where nobody has looked at the key. */
  readonly keyId: string | undefined;
}

/**
 * Tells a conversation from all others: 64 hex digits, the same with each of its requests.
 *
 * It is made from the client's `x-session-id` or `prompt_cache_key`, or else from the model and the
 * conversation's beginning: its system text and the first message of the user. The key that asks is
 * part of it, so that no two keys share a conversation.
 *
 * @param otherName Names the conversation where the client does not.
 */
export function conversationOf(
  body: Body,
  { clientHeaders, keyId }: Asking,
  otherName?: unknown,
): string {
  const hash = createHash("sha256");
  add(hash, keyId ?? "");
  const name = clientHeaders.get("x-session-id")?.trim() || body.prompt_cache_key || otherName;
  if (typeof name === "string" && name !== "") {
    add(hash, "name", name.slice(0, longestName));
  } else {
    add(hash, "beginning", body.model);
    for (const { role, content } of isChat(body) ? body.messages : []) {
      // OpenAI's newer name for the same.
      addContent(hash, role === "developer" ? "system" : role, content);
      if (role === "user") break;
    }
  }
  return hash.digest("hex");
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
