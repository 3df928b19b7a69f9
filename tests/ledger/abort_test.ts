import { assert, assertEquals } from "@std/assert";
import { seededRandom } from "../support/random.ts";
import { runAborts } from "./aborts.ts";

const streams = 100;

Deno.test("a stream that its client cuts off is charged once, for what its vendor reports when it is drained", async () => {
  const counts = await runAborts(streams, "drain", seededRandom());
  assertEquals(counts.counted, 0);
  assert(counts.reported > streams / 2, JSON.stringify(counts));
});

Deno.test("a stream that its client cuts off is charged once, for what is counted when it is cancelled", async () => {
  const counts = await runAborts(streams, "cancel", seededRandom());
  assert(counts.counted > streams / 2, JSON.stringify(counts));
});
