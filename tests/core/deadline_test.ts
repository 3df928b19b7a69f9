import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { Deadline } from "../../core/deadline.ts";
import { RouterError } from "../../core/errors.ts";
import { FrozenTime } from "../store/frozen_time.ts";

function reasonOf({ signal }: Deadline): string {
  assertInstanceOf(signal.reason, RouterError);
  return `${signal.reason.code}: ${signal.reason.message}`;
}

Deno.test("Deadline aborts with what was waited for", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(10_000);
  deadline.expect(500, "the first byte");
  await time.pass(499);
  assertEquals(deadline.signal.aborted, false);
  await time.pass(1);
  assertEquals(reasonOf(deadline), "timeout: The provider was too slow: no sign of the first byte");
  assertEquals(time.timers, 0);
});

Deno.test("Deadline moves with each chunk, on one timer", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000_000);
  for (let i = 0; i < 1000; i++) {
    deadline.expect(500, "the next chunk");
    assertEquals(time.timers, 1);
    await time.pass(100);
    assertEquals(deadline.signal.aborted, false, `chunk ${i}`);
  }
  await time.pass(400);
  assertEquals(reasonOf(deadline), "timeout: The provider was too slow: no sign of the next chunk");
});

Deno.test("Deadline comes forward when a shorter limit is set", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000_000);
  deadline.expect(60_000, "the first byte");
  deadline.expect(100, "the next chunk");
  await time.pass(100);
  assertEquals(deadline.signal.aborted, true);
});

Deno.test("Deadline never outlasts the whole exchange", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000);
  for (let i = 0; i < 10; i++) {
    deadline.expect(500, "the next chunk");
    await time.pass(100);
  }
  assertEquals(
    reasonOf(deadline),
    "timeout: The request took longer than its route allows for all its tries together",
  );
});

Deno.test("Deadline with the limit of the whole alone keeps that one", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000);
  deadline.expect(100, "the next chunk");
  deadline.expect(Infinity, "the whole answer");
  await time.pass(999);
  assertEquals(deadline.signal.aborted, false);
  await time.pass(1);
  assertEquals(deadline.signal.aborted, true);
});

Deno.test("Deadline is never moved beyond a limit, however many chunks come", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000_000);
  deadline.expect(60_000, "the next chunk");
  deadline.limit(1_000);
  for (let i = 0; i < 9; i++) {
    await time.pass(100);
    deadline.expect(60_000, "the next chunk");
  }
  await time.pass(99);
  assertEquals(deadline.signal.aborted, false);
  deadline.limit(5_000);
  await time.pass(1);
  assertEquals(
    reasonOf(deadline),
    "timeout: The provider was too slow: no sign of the end of an answer whose client has gone",
  );
});

Deno.test("Deadline keeps a nearer limit when the whole is limited", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(1_000_000);
  deadline.expect(100, "the next chunk");
  deadline.limit(1_000);
  await time.pass(100);
  assertEquals(reasonOf(deadline), "timeout: The provider was too slow: no sign of the next chunk");
});

Deno.test("Deadline that is stopped or aborted leaves no timer", async () => {
  using time = new FrozenTime();
  const stopped = new Deadline(1_000);
  stopped.expect(100, "the first byte");
  stopped.stop();
  const aborted = new Deadline(1_000);
  aborted.expect(100, "the first byte");
  const reason = new RouterError("unavailable", "Stopping");
  aborted.abort(reason);
  assertEquals(time.timers, 0);
  assertStrictEquals(aborted.signal.reason, reason);
  await time.pass(5_000);
  assertEquals(stopped.signal.aborted, false);
});

Deno.test("Deadline takes no timer of its own", async () => {
  using time = new FrozenTime();
  const deadlines = Array.from({ length: 1000 }, (_, i) => new Deadline(1_000 + i));
  for (const deadline of deadlines) deadline.expect(Infinity, "the whole answer");
  assertEquals(time.timers, 1);
  await time.pass(1_500);
  const aborted = deadlines.filter(({ signal }) => signal.aborted).length;
  assert(aborted > 480 && aborted <= 501, `${aborted} were aborted`);
  for (const deadline of deadlines) deadline.stop();
  assertEquals(time.timers, 0);
});

Deno.test("Deadline that has no limit waits for ever", async () => {
  using time = new FrozenTime();
  const deadline = new Deadline(Infinity);
  deadline.expect(Infinity, "the whole answer");
  await time.pass(10_000);
  assertEquals(deadline.signal.aborted, false);
  deadline.stop();
});
