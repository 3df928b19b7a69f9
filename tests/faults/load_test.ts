/** The short forms of `deno task load` and `deno task soak`: whether all is answered, not how soon. */
import { assert, assertEquals } from "@std/assert";
import { runLoad, type Tally } from "./run_load.ts";
import { runSoak } from "./run_soak.ts";
import { verdicts } from "./verdicts.ts";

/** Asserts that only what is known not to be whole failed. @returns How many were asked. */
function assertAnswered(kinds: ReadonlyMap<string, Tally>): number {
  let all = 0;
  for (const [kind, { asked, failed, problem }] of kinds) {
    const mayFail = kind === "breaks-off" && verdicts["8 continue"] !== "pass";
    assertEquals(failed, mayFail ? asked : 0, `${kind}: ${problem}`);
    all += asked;
  }
  return all;
}

Deno.test("load: every call under faults, and every one of many open streams, is answered", async () => {
  const { kinds, routed, direct, streams } = await runLoad({
    rate: 50,
    seconds: 2,
    streams: 100,
    pace: 0.1,
  });
  assertEquals(assertAnswered(kinds), 100);
  assertEquals([...kinds.keys()].length, 6);
  assertEquals([routed.length, direct.length], [90, 100]);
  assertEquals([streams.asked, streams.failed], [100, 0], streams.problem);
  assert(streams.mostOpen > 1);
});

Deno.test({
  name: "soak: mixed traffic is answered, and memory is looked at each second",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { kinds, samples, peak } = await runSoak({ rate: 25, seconds: 4, pace: 0.1 });
    assertEquals(assertAnswered(kinds), 100);
    assertEquals(kinds.get("left")!.asked, 10);
    assert(samples.length >= 2 && samples.every((bytes) => bytes > 1024 * 1024));
    assert(peak >= Math.max(...samples));
  },
});
