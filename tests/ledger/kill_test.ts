import { assert } from "@std/assert";
import { seededRandom } from "../support/random.ts";
import { runKills } from "./kills.ts";

Deno.test("every request that a vendor served is settled once although its process was killed", async () => {
  const counts = await runKills(5, 5, seededRandom());
  assert(counts.interrupted > 0 && counts.checkpoints > 0, JSON.stringify(counts));
});
