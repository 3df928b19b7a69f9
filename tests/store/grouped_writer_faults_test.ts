import type { Client } from "@libsql/client";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openDatabase } from "../../core/store/database.ts";
import { GroupedWriter } from "../../core/store/grouped_writer.ts";
import { FrozenTime, settled, watch } from "./frozen_time.ts";
import { holdWriteLock } from "./write_lock.ts";

Deno.test("GroupedWriter keeps order through an outage, by fewer rows and longer pauses", async () => {
  using time = new FrozenTime();
  const tries: [number, number][] = [];
  const reports: string[] = [];
  const written: number[] = [];
  let down = true;
  const writer = new GroupedWriter<number>({
    write: (rows) => {
      tries.push([time.now, rows.length]);
      if (down) throw new Error("down");
      written.push(...rows);
      return Promise.resolve();
    },
    onError: (error, pending) => {
      reports.push(`${(error as Error).message} ${pending}`);
      throw new Error("A broken reporter");
    },
  });
  for (const row of numbers(0, 500)) writer.add(row);
  await time.pass(3_100);
  writer.add(500);
  const halves = [500, 250, 125, 63, 32, 16, 8, 4, 2];
  assertEquals(tries.map(([, rows]) => rows), halves);
  assertEquals(tries.map(([at]) => at), [0, 0, 0, 0, 100, 300, 700, 1_500, 3_100]);
  assertEquals(reports, Array(9).fill("down 500"));
  down = false;
  await time.pass(3_199);
  assertEquals([writer.failing, writer.pending], [true, 501]);
  await time.pass(51);
  assertEquals([writer.failing, writer.pending, written], [false, 0, numbers(0, 501)]);
  assertEquals(tries.slice(9).map(([, rows]) => rows), [1, 2, 4, 8, 16, 32, 64, 128, 246]);
  assertEquals(time.timers, 0);
});

Deno.test("GroupedWriter tries at most every 5 s in a long outage, and then writes all", async () => {
  using time = new FrozenTime();
  const tries: number[] = [];
  const written: number[] = [];
  let down = true;
  const writer = new GroupedWriter<number>({
    write: (rows) => {
      tries.push(time.now);
      return down ? Promise.reject(new Error("down")) : Promise.resolve(void written.push(...rows));
    },
  });
  for (const row of numbers(0, 5_000)) writer.add(row);
  await time.pass(3_600_000);
  // One try each 5 s for the queue, and one for the rows that are set aside.
  const lastTenMinutes = tries.filter((at) => at >= 3_000_000).length;
  assert(lastTenMinutes >= 120 && lastTenMinutes <= 242, `${lastTenMinutes} tries`);
  down = false;
  await time.pass(5_050);
  assertEquals(written.toSorted((a, b) => a - b), numbers(0, 5_000));
});

Deno.test("GroupedWriter does not try each new row at once while writes fail", async () => {
  using time = new FrozenTime();
  let tries = 0;
  const writer = new GroupedWriter<number>({
    write: () => Promise.reject(new Error(`down ${++tries}`)),
    maxRows: 2,
  });
  for (const row of numbers(0, 600)) {
    writer.add(row);
    await time.pass(100);
  }
  assert(tries < 60, `${tries} tries in a minute`);
  assertEquals(writer.pending, 600);
  const closed = watch(writer.close(0));
  await time.pass(0);
  assertMatch(closed.state, /^rejected: Rows not written within 0 ms: 600/);
});

Deno.test("GroupedWriter writes the good rows around a bad one and keeps trying it", async () => {
  for (const bad of [0, 7, 15]) {
    using time = new FrozenTime();
    let cured = false;
    const errors: unknown[] = [];
    const written: number[] = [];
    const writer = new GroupedWriter<number>({
      write: (rows) => {
        if (rows.includes(bad) && !cured) return Promise.reject(new Error("constraint"));
        return Promise.resolve(void written.push(...rows));
      },
      onError: (error) => errors.push(error),
    });
    for (const row of numbers(0, 16)) writer.add(row);
    await time.pass(10_000);
    assertEquals(written, numbers(0, 16).filter((row) => row !== bad));
    assertEquals(writer.pending, 1);

    const before = errors.length;
    await time.pass(60_000);
    assert(errors.length - before >= 10, "the bad row is tried and reported again");
    writer.add(16);
    writer.add(17);
    await time.pass(100);
    assertEquals([written.slice(15), writer.pending], [[16, 17], 1]);
    cured = true;
    await time.pass(5_000);
    assertEquals([written.at(-1), writer.pending, writer.failing, time.timers], [bad, 0, false, 0]);

    cured = false;
    const earlier = errors.length;
    writer.add(bad);
    await time.pass(500);
    assertEquals(errors.length - earlier, 3, "pauses are short again after a success");
  }
});

Deno.test("GroupedWriter gets through when one row in ten is bad", async () => {
  using time = new FrozenTime();
  const written: number[] = [];
  const writer = new GroupedWriter<number>({
    write: (rows) => {
      if (rows.some((row) => row % 10 === 3)) return Promise.reject(new Error("constraint"));
      return Promise.resolve(void written.push(...rows));
    },
  });
  for (const row of numbers(0, 5_000)) writer.add(row);
  await time.pass(60_000);
  assertEquals(written, numbers(0, 5_000).filter((row) => row % 10 !== 3));
  assertEquals(writer.pending, 500);
  const closed = watch(writer.close(0));
  await time.pass(0);
  assertMatch(closed.state, /^rejected: Rows not written within 0 ms: 500: Error: constraint/);
});

Deno.test("GroupedWriter loses, doubles and blocks nothing, whatever fails", async () => {
  const seed = Number(Deno.env.get("SEED") ?? Math.trunc(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const random = randomFrom(seed);
  for (let round = 0; round < 40; round++) {
    using time = new FrozenTime();
    const maxRows = 1 + random(20);
    const bad = new Set<number>();
    const alone = new Set<number>();
    const written: number[] = [];
    let down = false;
    let running = 0;
    let added = 0;
    const writer = new GroupedWriter<number>({
      write: async (rows) => {
        assertEquals(++running, 1);
        assert(rows.length >= 1 && rows.length <= maxRows);
        if (random(2)) await new Promise<void>((resolve) => setTimeout(resolve, random(200)));
        running--;
        if (down || rows.some((row) => bad.has(row))) {
          if (rows.length === 1) alone.add(rows[0]!);
          throw new Error("no");
        }
        written.push(...rows);
      },
      maxRows,
      maxDelayMs: random(100),
    });
    const flushes: Promise<unknown>[] = [];
    for (let step = 0; step < 60; step++) {
      for (let burst = random(3) ? random(4) : random(60); burst > 0; burst--) {
        if (random(40) === 0) bad.add(added);
        writer.add(added++);
      }
      if (random(10) === 0) down = !down;
      if (random(8) === 0) {
        const before = numbers(0, added);
        flushes.push(
          writer.flush().then(
            () => assertEquals(before.filter((row) => !written.includes(row)), []),
            (error) => assertEquals(error.message, "no"),
          ),
        );
      }
      await time.pass(random(4) ? random(100) : random(8_000));
      assertEquals(writer.pending, added - written.length);
    }

    down = false;
    // Rows that were set aside take turns, one every 5 s as long as they fail.
    await time.pass(10_000 * (2 + alone.size));
    const missing = numbers(0, added).filter((row) => !written.includes(row));
    assertEquals(missing.filter((row) => !bad.has(row)), [], "a good row is held up");
    const inOrder = written.filter((row) => !alone.has(row));
    assertEquals(inOrder, inOrder.toSorted((a, b) => a - b));

    bad.clear();
    const closed = watch(writer.close(60_000));
    await time.pass(60_000);
    assertEquals(closed.state, "resolved");
    assertEquals(written.toSorted((a, b) => a - b), numbers(0, added));
    assertEquals(time.timers, 0);
    await Promise.all(flushes);
  }
});

Deno.test("GroupedWriter loses no row of two writers that share a libSQL file", () =>
  withTable(async (client, url) => {
    const other = await openDatabase({ url });
    const writers = [client, other].map((each) =>
      new GroupedWriter<number>({ write: (rows) => insert(each, rows) })
    );
    for (const row of numbers(0, 10_000)) {
      writers[row % 2]!.add(row);
      if (row % 1_000 === 0) await settled();
    }
    await Promise.all(writers.map((writer) => writer.close()));
    other.close();

    const reopened = await openDatabase({ url });
    const { rows } = await reopened.execute("SELECT count(*) AS n, sum(n) AS total FROM numbers");
    assertEquals([rows[0]?.n, rows[0]?.total], [10_000, 49_995_000]);
    reopened.close();
  }));

Deno.test("GroupedWriter loses nothing while another process holds the database", () =>
  withTable(async (client, url) => {
    const lock = await holdWriteLock(url.slice("file:".length));
    const refused = Promise.withResolvers<string>();
    const writer = new GroupedWriter<number>({
      write: (rows) => insert(client, rows),
      onError: (error) => refused.resolve((error as { code: string }).code),
    });
    for (const row of numbers(0, 1_200)) writer.add(row);
    assertEquals(await refused.promise, "SQLITE_BUSY");
    assertEquals([writer.failing, writer.pending], [true, 1_200]);
    await lock.release();
    await writer.close();
    const other = await openDatabase({ url });
    const { rows } = await other.execute("SELECT count(*) AS n FROM numbers");
    other.close();
    assertEquals([rows[0]?.n, writer.failing], [1_200, false]);
  }));

Deno.test("GroupedWriter lets good rows past one that the table refuses", () =>
  withTable(async (client) => {
    const firstError = Promise.withResolvers<unknown>();
    const writer = new GroupedWriter<number>({
      write: (rows) => insert(client, rows),
      onError: (error) => firstError.resolve(error),
    });
    for (const row of [1, 2, -3, 4, 5]) writer.add(row);
    assertMatch(String(await firstError.promise), /CHECK/);
    const error = await assertRejects(() => writer.close(1_000), Error) as Error;
    assertMatch(error.message, /^Rows not written within 1000 ms: 1: .*CHECK/);
    const { rows } = await client.execute("SELECT n FROM numbers ORDER BY n");
    assertEquals(rows.map(({ n }) => n), [1, 2, 4, 5]);
  }));

async function withTable(run: (client: Client, url: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-writer-" });
  const url = `file:${folder}/x.db`;
  const client = await openDatabase({ url });
  try {
    await client.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n >= 0)) STRICT");
    await run(client, url);
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function insert(client: Client, rows: readonly number[]): Promise<void> {
  const values = rows.map(() => "(?)").join(",");
  await client.execute({ sql: `INSERT INTO numbers VALUES ${values}`, args: [...rows] });
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** Whole numbers from 0 below `limit`, the same for the same seed (a linear congruence). */
function randomFrom(seed: number): (limit: number) => number {
  let state = BigInt(seed);
  return (limit) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n;
    return Number((state >> 33n) % BigInt(limit));
  };
}
