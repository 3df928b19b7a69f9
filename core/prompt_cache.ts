/**
 * What a vendor's cache of prompts holds, as far as that can be known from here.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { ChatBody } from "./chat.ts";

/** Conversations that are remembered. */
const remembered = 4_096;

/** What the vendor has read of a conversation. */
interface Read {
  /** How many messages, and what they and the tools were. */
  readonly messages: number;
  readonly digest: string;
  /** The tokens of all that. */
  readonly tokens: number;
  /** When, by `performance.now()`. */
  readonly at: number;
}

/**
 * Remembers what chats have asked. Of an answer that ends before its usage is reported nobody says how
 * much of its input came from the vendor's cache; what the same conversation has asked just before,
 * word for word, is taken for that.
 */
export class PromptCache {
  readonly #keptMs: number;
  /** The conversations that were quiet longest first. */
  readonly #read = new Map<string, Read>();

  /** @param keptMs Milliseconds for which the vendor keeps what it has read. */
  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  /**
   * Tokens with which a chat begins that the vendor has read already.
   *
   * @param conversation What tells it from other chats.
   * @param now The time, by `performance.now()`.
   */
  held(conversation: string, body: ChatBody, now: number): number {
    const read = this.#read.get(conversation);
    if (read === undefined || now - read.at > this.#keptMs) return 0;
    const isSame = body.messages.length >= read.messages &&
      digestOf(body, read.messages) === read.digest;
    return isSame ? read.tokens : 0;
  }

  /** Notes that the vendor has read a chat. @param tokens Its input. */
  note(conversation: string, body: ChatBody, tokens: number, now: number): void {
    const messages = body.messages.length;
    this.#read.delete(conversation);
    this.#read.set(conversation, { messages, digest: digestOf(body, messages), tokens, at: now });
    if (this.#read.size <= remembered) return;
    const [quietest] = this.#read.keys();
    this.#read.delete(quietest!);
  }
}

/** Tells a chat's tools and first messages from all others. */
function digestOf({ model, tools, functions, messages }: ChatBody, count: number): string {
  const text = JSON.stringify([model, tools, functions, messages.slice(0, count)]);
  return createHash("sha256").update(text).digest("base64");
}
