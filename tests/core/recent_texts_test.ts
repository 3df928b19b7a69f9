import { assertEquals } from "@std/assert";
import { RecentTexts } from "../../core/recent_texts.ts";

/** Texts of ten units. */
const ten = (at: number) => String(at).padStart(10, "0");

/** How many of the texts with these numbers are known; to ask for one is to use it. */
function known(texts: RecentTexts<number>, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) if (texts.get(ten(at)) === at) count++;
  return count;
}

Deno.test("RecentTexts remembers what was used last, and forgets the rest", () => {
  const texts = new RecentTexts<number>(320);
  texts.set("used", 1);
  texts.set("left", 2);
  for (let at = 0; at < 200; at++) {
    texts.set(ten(at), at);
    assertEquals(texts.get("used"), 1);
  }
  assertEquals(texts.get("left"), undefined);
  // Two halves of at most 32 texts; what was used took the room of one now and then.
  assertEquals([known(texts, 0, 136), known(texts, 170, 200)], [0, 30]);
});

Deno.test("RecentTexts takes nothing that would push many others out", () => {
  const texts = new RecentTexts<number>(320, (text, value) => text.length + value);
  texts.set("small", 5);
  texts.set("heavy", 6);
  texts.set("long text", 2);
  assertEquals(["small", "heavy", "long text"].map((text) => texts.get(text)), [
    5,
    undefined,
    undefined,
  ]);
});

Deno.test("RecentTexts counts what the values take", () => {
  const texts = new RecentTexts<number>(3_200, (_, value) => 100 - value % 2);
  for (let at = 0; at < 100; at++) texts.set(ten(at), at);
  assertEquals([known(texts, 0, 36), known(texts, 68, 100)], [0, 32]);
});
