import { assertEquals, assertGreaterOrEqual, assertLess, assertStrictEquals } from "@std/assert";
import { retryWait } from "../../core/retry.ts";

Deno.test("retryWait doubles the longest wait with each try, up to eight seconds", () => {
  const longest = [1, 2, 3, 4, 5, 6, 7, 60].map((tries) => retryWait(tries, undefined, false, 1));
  assertEquals(longest, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

Deno.test("retryWait spreads waits from nothing to the longest", () => {
  assertEquals(retryWait(3, undefined, false, 0), 0);
  assertEquals(retryWait(3, undefined, false, 0.5), 500);
  for (let i = 0; i < 100; i++) {
    const wait = retryWait(1, undefined, false)!;
    assertGreaterOrEqual(wait, 0);
    assertLess(wait, 250);
  }
});

Deno.test("retryWait never waits less than the provider asks for", () => {
  assertEquals(retryWait(1, 3000, false, 0), 3000);
  assertEquals(retryWait(1, 3000, false, 1), 3250);
  assertEquals(retryWait(1, 0, false, 0), 0);
  assertEquals(retryWait(1, 20_000, false, 0), 20_000);
});

Deno.test("retryWait gives up on a provider that asks for too much", () => {
  assertStrictEquals(retryWait(1, 20_001, false, 0), undefined);
  assertStrictEquals(retryWait(1, 3_600_000, false, 0.5), undefined);
  // Where others can be asked, less is waited for.
  assertStrictEquals(retryWait(1, 5_000, true, 0), 5_000);
  assertStrictEquals(retryWait(1, 5_001, true, 0), undefined);
});
