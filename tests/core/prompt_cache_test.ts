import { assertEquals } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { PromptCache } from "../../core/prompt_cache.ts";

/** A chat of so many turns; the last one can be another than usual. */
function chat(turns: number, last = `turn ${turns}`, more: Partial<ChatBody> = {}): ChatBody {
  const messages = Array.from({ length: turns }, (_, at) => ({
    role: "user",
    content: at === turns - 1 ? last : `turn ${at + 1}`,
  }));
  return { model: "m", messages, ...more };
}

Deno.test("PromptCache holds what a conversation has asked before, and no more", () => {
  const cache = new PromptCache(30_000);
  assertEquals(cache.held("c", chat(3), 0), 0);
  cache.note("c", chat(3), 120, 0);
  assertEquals(cache.held("c", chat(3), 1), 120);
  assertEquals(cache.held("c", chat(5, "new"), 1), 120);
  // Another conversation, other words, fewer messages, other tools: nobody knows what is the same.
  assertEquals(cache.held("d", chat(5), 1), 0);
  assertEquals(cache.held("c", chat(3, "other"), 1), 0);
  assertEquals(cache.held("c", chat(2), 1), 0);
  const tools = [{ type: "function", function: { name: "f" } }];
  assertEquals(cache.held("c", chat(5, "new", { tools }), 1), 0);
  cache.note("c", chat(5, "new"), 200, 2);
  assertEquals(cache.held("c", chat(6), 3), 0);
});

Deno.test("PromptCache forgets after the vendor's time, and the conversations that are quiet longest", () => {
  const cache = new PromptCache(30_000);
  cache.note("first", chat(1), 10, 0);
  assertEquals(cache.held("first", chat(1), 30_000), 10);
  assertEquals(cache.held("first", chat(1), 30_001), 0);
  for (let other = 0; other < 4_095; other++) cache.note(`${other}`, chat(1), 10, 0);
  assertEquals(cache.held("first", chat(1), 1), 10);
  cache.note("one more", chat(1), 10, 0);
  assertEquals(cache.held("first", chat(1), 1), 0);
  assertEquals(cache.held("0", chat(1), 1), 10);
});
