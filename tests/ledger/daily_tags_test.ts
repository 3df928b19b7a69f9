import { assertEquals } from "@std/assert";
import { DailyTags } from "../../core/ledger/daily_tags.ts";

Deno.test("DailyTags admits a key's first 200 tags of a day, again and again", () => {
  const tags = new DailyTags();
  const noon = Date.parse("2026-11-22T12:00:00Z");
  const admitted = Array.from({ length: 300 }, (_, n) => tags.admits("a", `t${n}`, noon));
  assertEquals(admitted.lastIndexOf(true), 199);
  assertEquals(tags.admits("a", "t0", noon), true);
  assertEquals(tags.admits("b", "t250", noon), true);
  assertEquals(tags.admits("a", "t250", Date.parse("2026-11-22T23:59:59.999Z")), false);
  assertEquals(tags.admits("a", "t250", Date.parse("2026-11-23T00:00:00Z")), true);
});
