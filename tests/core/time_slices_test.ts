import { assert, assertEquals, assertRejects } from "@std/assert";
import { inSlices } from "../../core/time_slices.ts";

/** Work of some steps, each of which takes all the time of a slice. */
function* slow(steps: number, onStep: () => void): Generator<void, { steps: number }> {
  for (let step = 0; step < steps; step++) {
    onStep();
    for (const end = performance.now() + 10; performance.now() < end;);
    yield;
  }
  return { steps };
}

Deno.test("inSlices does short work at once", () => {
  const result = { done: true };
  assertEquals(inSlices({ next: () => ({ done: true, value: result }) }), result);
});

Deno.test("inSlices lets timers run between the slices of long work", async () => {
  const order: string[] = [];
  const timer = setInterval(() => order.push("timer"), 0);
  await inSlices(slow(10, () => order.push("step")));
  clearInterval(timer);
  assert(order.indexOf("timer") < order.lastIndexOf("step"), order.join());
  // The first slice is done at once; each of the others is in a turn of its own.
  assert(order.filter((each) => each === "timer").length >= 5, order.join());
});

Deno.test("inSlices gives each of several a slice in turn, and others what lies between", async () => {
  const order: string[] = [];
  const timer = setInterval(() => order.push("-"), 0);
  const all = ["a", "b", "c"].map((name) => inSlices(slow(3, () => order.push(name))));
  // While one waits, the first slices of the others wait, too.
  assertEquals(order.join(""), "a");
  await Promise.all(all);
  clearInterval(timer);
  const turns = order.join("").split(/-+/);
  assertEquals(turns.join(""), "aabcabcbc");
  assertEquals(turns.filter((turn) => turn.length > 1), [], order.join(""));
});

Deno.test("inSlices does much short work in one turn", async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const long = inSlices(slow(2, () => {}));
  const short = Array.from({ length: 1_000 }, () => inSlices(slow(0, () => {})));
  assert(short.every((each) => each instanceof Promise));
  await Promise.all([long, ...short]);
  clearInterval(timer);
  assert(turns < 500, `${turns}`);
  // Nothing waits any more.
  assertEquals(inSlices(slow(0, () => {})), { steps: 0 });
});

Deno.test("inSlices gives up the work of a client that has gone", async () => {
  const client = new AbortController();
  const never = { next: () => ({ done: false as const, value: undefined }) };
  const work = inSlices<object>(never, client) as Promise<object>;
  setTimeout(() => client.abort(new Error("gone")));
  await assertRejects(() => work, Error, "gone");
  // Those that come after it go on.
  assertEquals(await inSlices(slow(2, () => {})), { steps: 2 });
  assertEquals(inSlices(slow(0, () => {})), { steps: 0 });
});
