import { assertEquals, assertRejects } from "@std/assert";
import { within } from "../../core/cli/within.ts";

Deno.test("within gives up what ignores the signal, and passes on what does not", async () => {
  const late = await assertRejects(() => within(() => new Promise(() => {}), 1), DOMException);
  assertEquals((late as DOMException).name, "TimeoutError");
  assertEquals(await within(() => Promise.resolve(7), 60_000), 7);
  await assertRejects(() => within(() => Promise.reject(new Error("own")), 60_000), Error, "own");
});
