import { assertEquals } from "@std/assert";
import { GroupedWriter } from "../../core/store/grouped_writer.ts";
import { FrozenTime, settled, watch } from "./frozen_time.ts";

Deno.test("GroupedWriter writes what came within maxDelayMs as one group, off the adder's turn", async () => {
  using time = new FrozenTime();
  const groups: number[][] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) => Promise.resolve(void groups.push([...rows])),
  });
  assertEquals(time.timers, 0);
  writer.add(1);
  await time.pass(40);
  writer.add(2);
  assertEquals([groups, writer.pending, time.timers], [[], 2, 1]);
  await time.pass(10);
  assertEquals([groups, writer.pending, time.timers], [[[1, 2]], 0, 0]);
  writer.add(3);
  await time.next();
  assertEquals([groups, time.now], [[[1, 2], [3]], 100]);
});

Deno.test("GroupedWriter writes a full group at once, and never a larger one", async () => {
  for (const maxRows of [1, 4]) {
    using time = new FrozenTime();
    const groups: number[][] = [];
    const writer = new GroupedWriter<number>({
      write: (rows) => Promise.resolve(void groups.push([...rows])),
      maxRows,
    });
    for (const row of numbers(0, 2 * maxRows)) writer.add(row);
    assertEquals(groups, []);
    await time.pass(0);
    assertEquals(groups, [numbers(0, maxRows), numbers(maxRows, 2 * maxRows)]);
    assertEquals(time.timers, 0);
  }
});

Deno.test("GroupedWriter runs one write at a time and counts its rows as pending", async () => {
  using time = new FrozenTime();
  const writes: { rows: readonly number[]; done: () => void }[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) => new Promise((resolve) => writes.push({ rows, done: resolve })),
    maxRows: 2,
  });
  for (const row of numbers(0, 5)) writer.add(row);
  await time.pass(1_000);
  assertEquals([writes.length, writer.pending], [1, 5]);
  writes[0]!.done();
  await settled();
  await time.pass(1_000);
  assertEquals([writes.length, writer.pending, writes[1]!.rows], [2, 3, [2, 3]]);
  writes[1]!.done();
  await settled();
  await time.pass(49);
  assertEquals(writes.length, 2);
  await time.pass(1);
  writes[2]!.done();
  await settled();
  assertEquals([writer.pending, time.timers], [0, 0]);
});

Deno.test("GroupedWriter.flush covers the rows before it and no later ones", async () => {
  using time = new FrozenTime();
  const writes: { rows: readonly number[]; done: () => void }[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) => new Promise((resolve) => writes.push({ rows, done: resolve })),
    maxRows: 2,
  });
  const empty = watch(writer.flush());
  await settled();
  assertEquals(empty.state, "resolved");
  for (const row of numbers(0, 3)) writer.add(row);
  const first = watch(writer.flush());
  writer.add(3);
  writer.add(4);
  const second = watch(writer.flush());
  await time.pass(0);
  writes[0]!.done();
  await settled();
  await time.pass(0);
  assertEquals([writes[1]!.rows, first.state], [[2, 3], "pending"]);
  writes[1]!.done();
  await settled();
  assertEquals([first.state, second.state], ["resolved", "pending"]);
  await time.pass(0);
  writes[2]!.done();
  await settled();
  assertEquals([second.state, writer.pending, time.timers], ["resolved", 0, 0]);
});

Deno.test("GroupedWriter.flush rejects when a write fails, skips a pause, and covers bad rows", async () => {
  using time = new FrozenTime();
  let bad: number | undefined = 1;
  const written: number[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) => {
      if (bad !== undefined && rows.includes(bad)) return Promise.reject(new Error("constraint"));
      return Promise.resolve(void written.push(...rows));
    },
  });
  writer.add(1);
  await time.pass(60_000);
  const failed = watch(writer.flush());
  const alsoFailed = watch(writer.flush());
  await time.pass(0);
  assertEquals(failed.state, "rejected: constraint");
  assertEquals(alsoFailed.state, "rejected: constraint");
  writer.add(2);
  const still = watch(writer.flush());
  await time.pass(0);
  assertEquals([still.state, written], ["rejected: constraint", [2]]);
  bad = undefined;
  const well = watch(writer.flush());
  await time.pass(0);
  assertEquals([well.state, written], ["resolved", [2, 1]]);
});

Deno.test("GroupedWriter.close retries every 100 ms until all is written", async () => {
  using time = new FrozenTime();
  let down = true;
  const written: number[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) =>
      down ? Promise.reject(new Error("down")) : Promise.resolve(void written.push(...rows)),
  });
  await writer.close();
  for (const row of numbers(0, 100)) writer.add(row);
  await time.pass(2_000);
  const closed = watch(writer.close(1_000));
  const again = watch(writer.close());
  await time.pass(899);
  writer.add(100);
  down = false;
  await time.pass(100);
  assertEquals([closed.state, again.state], ["resolved", "resolved"]);
  assertEquals(written.toSorted((a, b) => a - b), numbers(0, 101));
  assertEquals(time.timers, 0);
});

Deno.test("GroupedWriter.close gives up at its deadline, tells the loss and leaves no timer", async () => {
  using time = new FrozenTime();
  let down = true;
  const written: number[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) =>
      down ? Promise.reject(new Error("disk full")) : Promise.resolve(void written.push(...rows)),
  });
  for (const row of numbers(0, 7)) writer.add(row);
  const closed = watch(writer.close(2_000));
  await time.pass(2_000);
  assertEquals(
    closed.state,
    "rejected: Rows not written within 2000 ms: 7: Error: disk full",
  );
  assertEquals([writer.pending, time.timers], [7, 0]);

  down = false;
  writer.add(7);
  await time.pass(5_000);
  assertEquals([written.sort(), writer.pending, time.timers], [numbers(0, 8), 0, 0]);

  writer.add(8);
  const closedAgain = watch(writer.close());
  await time.pass(0);
  assertEquals([closedAgain.state, written.at(-1)], ["resolved", 8]);
});

Deno.test("GroupedWriter.close gives up on a write that hangs", async () => {
  using time = new FrozenTime();
  const hang = Promise.withResolvers<void>();
  const writer = new GroupedWriter<number>({ write: () => hang.promise });
  writer.add(1);
  const flushed = watch(writer.flush());
  const closed = watch(writer.close(500));
  await time.pass(500);
  assertEquals(closed.state, "rejected: Rows not written within 500 ms: 1");
  assertEquals(flushed.state, "rejected: Rows not written within 500 ms: 1");
  hang.reject(new Error("late"));
  await settled();
  assertEquals([writer.pending, time.timers], [1, 0]);
});

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
