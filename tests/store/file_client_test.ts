import { type Client, createClient, LibsqlError, type ResultSet } from "@libsql/client";
import { assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { openDatabase } from "../../core/store/database.ts";
import { FileClient } from "../../core/store/file_client.ts";
import { holdWriteLock } from "./write_lock.ts";

/** Runs a test with a table `numbers`, whose rows are read back over another connection. */
async function withTable(
  thread: boolean,
  run: (client: Client, file: string, stored: () => Promise<unknown[]>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-file-" });
  const file = `${folder}/x.db`;
  const client = await openDatabase({ url: `file:${file}`, thread });
  const other = await openDatabase({ url: `file:${file}` });
  try {
    await client.execute("CREATE TABLE numbers (n INTEGER)");
    await run(client, file, async () => {
      const { rows } = await other.execute("SELECT n FROM numbers ORDER BY n");
      return rows.map(({ n }) => n);
    });
  } finally {
    client.close();
    other.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const writes: Record<string, (client: Client, n: number) => Promise<unknown>> = {
  execute: (client, n) => client.execute({ sql: "INSERT INTO numbers VALUES (?)", args: [n] }),
  returning: (client, n) => client.execute("INSERT INTO numbers VALUES (?) RETURNING n", [n]),
  batch: (client, n) => client.batch([["INSERT INTO numbers VALUES (?)", [n]]]),
  executeMultiple: (client, n) => client.executeMultiple(`INSERT INTO numbers VALUES (${n});`),
  migrate: (client, n) => client.migrate([{ sql: "INSERT INTO numbers VALUES (?)", args: [n] }]),
  transaction: async (client, n) => {
    const transaction = await client.transaction("deferred");
    await transaction.execute({ sql: "INSERT INTO numbers VALUES (?)", args: [n] });
    await transaction.commit();
  },
};

const everyWay = Object.entries(writes).flatMap(([name, refused]) => [
  { name, refused, thread: false },
  { name: `${name} with a thread`, refused, thread: true },
]);

for (const { name, refused, thread } of everyWay) {
  Deno.test(`FileClient commits every write after ${name} met SQLITE_BUSY`, () =>
    withTable(thread, async (client, file, stored) => {
      const lock = await holdWriteLock(file);
      await assertRejects(() => refused(client, 0), Error, "SQLITE_BUSY");
      await lock.release();
      const expected: number[] = [];
      for (const write of Object.values(writes)) {
        expected.push(expected.length + 1);
        await write(client, expected.length);
        assertEquals(await stored(), expected);
      }
      assertEquals((await client.execute("PRAGMA synchronous")).rows[0]?.synchronous, 1);
    }));
}

Deno.test("FileClient lets calls that wait behind a busy one run on a sound connection", () =>
  withTable(true, async (client, file, stored) => {
    const lock = await holdWriteLock(file);
    const write = () => writes.execute!(client, 9).then(() => "written", (error) => error.code);
    const read = () => client.execute("SELECT 1").then(() => "read", (error) => error.code);
    const outcomes = await Promise.all([write(), read(), write(), read(), write(), read()]);
    assertEquals(outcomes, ["SQLITE_BUSY", "read", "SQLITE_BUSY", "read", "SQLITE_BUSY", "read"]);
    await lock.release();
    await Promise.all(Object.values(writes).slice(0, 4).map((write, n) => write(client, n)));
    assertEquals(await stored(), [0, 1, 2, 3]);
  }));

for (const thread of [false, true]) {
  Deno.test(`FileClient${thread ? " with a thread" : ""} has other calls wait while a transaction is open`, () =>
    withTable(thread, async (client, _file, stored) => {
      for (const end of ["commit", "rollback", "close"] as const) {
        await client.execute("DELETE FROM numbers");
        // A write before it, so that all that follows waits for its turn.
        const before = writes.execute!(client, 1);
        const opening = client.transaction("write");
        let isOver = false;
        const others = [
          client.execute("SELECT n FROM numbers").then(() => isOver),
          ...Object.values(writes).map((write) => write(client, 3).then(() => isOver)),
        ];
        const transaction = await opening;
        await before;
        await transaction.execute("INSERT INTO numbers VALUES (2)");
        isOver = true;
        await transaction[end]();
        assertEquals(await Promise.all(others), others.map(() => true), end);
        const rest = Object.values(writes).map(() => 3);
        assertEquals(await stored(), end === "commit" ? [1, 2, ...rest] : [1, ...rest]);
        transaction.close();
      }
    }));
}

for (const end of ["close", "reconnect"] as const) {
  Deno.test(`FileClient lets nobody wait for a transaction after ${end}`, () =>
    withTable(true, async (client) => {
      const transaction = await client.transaction("write");
      const waiting = client.execute("SELECT 1");
      client[end]();
      await Promise.allSettled([waiting]);
      transaction.close();
      assertEquals(client.closed, end === "close");
    }));
}

Deno.test("FileClient refuses whoever calls it while a transaction of theirs is open, and goes on", () =>
  withTable(true, async (client, _file, stored) => {
    const { setTimeout } = globalThis;
    // Five seconds in no time.
    globalThis.setTimeout = ((ring: () => void, ms?: number) =>
      setTimeout(ring, ms === 5_000 ? 0 : ms)) as typeof setTimeout;
    try {
      await assertRejects(
        async () => {
          const transaction = await client.transaction("write");
          try {
            await client.execute("SELECT n FROM numbers");
          } finally {
            transaction.close();
          }
        },
        Error,
        "TRANSACTION_ACTIVE",
      );
    } finally {
      globalThis.setTimeout = setTimeout;
    }
    await writes.execute!(client, 1);
    assertEquals(await stored(), [1]);
  }));

Deno.test("FileClient finds its file again after the process has changed its folder", async () => {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-file-" });
  const before = Deno.cwd();
  try {
    Deno.chdir(folder);
    const client = await openDatabase({ url: "file:data/x.db" });
    await client.execute("CREATE TABLE numbers (n INTEGER)");
    Deno.chdir(before);
    client.reconnect();
    assertEquals((await client.execute("SELECT * FROM numbers")).rows, []);
    client.close();
    assertEquals(client.closed, true);
    await assertRejects(() => client.execute("SELECT 1"), Error, "closed");
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openDatabase returns a FileClient for a file, also for one in memory", async () => {
  const client = await openDatabase({ url: "file::memory:" });
  await client.executeMultiple("CREATE TABLE kept (n INTEGER); INSERT INTO kept VALUES (1);");
  assertEquals((await client.execute("SELECT n FROM kept")).rows[0]?.n, 1);
  assertEquals((await client.execute("PRAGMA journal_mode")).rows[0]?.journal_mode, "memory");
  assertEquals(client instanceof FileClient, true);
  client.close();
});

Deno.test("FileClient sends one of the writes that wait into another process's lock, and lets reads through", () =>
  withTable(false, async (client, file) => {
    const tried: number[] = [];
    let isLocked = true;
    const fake = {
      run(_sql: string, args: readonly unknown[]) {
        tried.push(args[0] as number);
        if (isLocked) throw new LibsqlError("database is locked", "SQLITE_BUSY");
        return { rowsAffected: 1 } as ResultSet;
      },
      exec() {},
      close() {},
    };
    const inner = createClient({ url: `file:${file}`, concurrency: 1 });
    const locked = new FileClient(inner, "", fake);
    try {
      const one = [1, 2, 3].map((n) => writes.execute!(locked, n));
      const batch = locked.batch([["INSERT INTO numbers VALUES (?)", [4]]], "write");
      const read = locked.execute("SELECT count(*) AS n FROM numbers");
      for (const write of [...one, batch]) {
        await assertRejects(() => write, LibsqlError, "database is locked");
      }
      assertEquals((await read).rows[0]?.n, 0);
      assertEquals(tried, [1]);
      await assertRejects(() => writes.execute!(locked, 5), LibsqlError, "database is locked");
      isLocked = false;
      await writes.execute!(locked, 6);
      assertEquals(tried, [1, 5, 6]);
      await locked.batch([["INSERT INTO numbers VALUES (?)", [7]]], "write");
      assertEquals((await client.execute("SELECT n FROM numbers")).rows[0]?.n, 7);
    } finally {
      locked.close();
    }
  }));

Deno.test("FileClient with a thread refuses what waits behind a call when it is closed", () =>
  withTable(true, async (client, _file, stored) => {
    const codes = [1, 2, 3].map((n) =>
      writes.execute!(client, n).then(() => "written", (error) => error.code)
    );
    // The first is in the thread by now, the others wait for their turn.
    await Promise.resolve();
    await Promise.resolve();
    client.close();
    const ended = await Promise.all(codes);
    assertEquals(ended, ["CLIENT_CLOSED", "CLIENT_CLOSED", "CLIENT_CLOSED"]);
    assertLessOrEqual((await stored()).length, 1);
  }));
