import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { LibsqlError } from "@libsql/client";
import { PreparedWrites, type Writes } from "../../core/store/prepared_writes.ts";
import { cells, type Order, WritingThread } from "../../core/store/writing_thread.ts";
import { codeLimits } from "../../core/code_limits.ts";
import { openDatabase } from "../../core/store/database.ts";
import { startRouter } from "../support/router.ts";
import { holdWriteLock } from "./write_lock.ts";

const insert = "INSERT INTO numbers (n, text) VALUES (?, ?)";

const kinds = { PreparedWrites, WritingThread };

/** A file with a table, writes to it, and what other connections read of it. */
async function withNumbers(
  Kind: typeof kinds[keyof typeof kinds],
  run: (writes: Writes, stored: () => Promise<unknown[]>, file: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-writes-" });
  const file = `${folder}/x.db`;
  const client = await openDatabase({ url: `file:${file}` });
  const writes = new Kind(file, 10, "PRAGMA synchronous = NORMAL");
  try {
    await client.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT)");
    await run(writes, async () => {
      const { rows } = await client.execute("SELECT n, text FROM numbers ORDER BY n");
      return rows.map(({ n, text }) => [n, text]);
    }, file);
  } finally {
    writes.close();
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** The error of a write that fails. */
async function failureOf(writes: Writes, sql: string, args: (number | string)[]) {
  return await assertRejects(async () => await writes.run(sql, args), LibsqlError);
}

for (const [name, Kind] of Object.entries(kinds)) {
  Deno.test(`${name} commits each write, again with the statement that it has prepared`, () =>
    withNumbers(Kind, async (writes, stored) => {
      const answers = await Promise.all(
        [1, 2, 3].map((n) => writes.run(insert, [n, n === 2 ? null : `t${n}`])),
      );
      assertEquals(answers.map(({ rowsAffected, rows }) => [rowsAffected, rows]), [
        [1, []],
        [1, []],
        [1, []],
      ]);
      assertEquals((await writes.run("UPDATE numbers SET text = ?", ["all"])).rowsAffected, 3);
      assertEquals((await writes.run("DELETE FROM numbers WHERE n > ?", [2])).rowsAffected, 1);
      assertEquals(await stored(), [[1, "all"], [2, "all"]]);
    }));

  Deno.test(`${name} goes on after a write that a rule refused, and says which`, () =>
    withNumbers(Kind, async (writes, stored) => {
      await writes.run(insert, [1, "a"]);
      for (let times = 0; times < 3; times++) {
        const error = await failureOf(writes, insert, [1, "b"]);
        assertEquals(error.code, "SQLITE_CONSTRAINT");
        assertEquals(error.extendedCode, "SQLITE_CONSTRAINT_PRIMARYKEY");
        assertEquals(error.rawCode, 1555);
        assertEquals(
          error.message,
          "SQLITE_CONSTRAINT: UNIQUE constraint failed: numbers.n",
        );
        await writes.run(insert, [2 + times, "c"]);
      }
      await failureOf(writes, "INSERT INTO nowhere VALUES (?)", [1]);
      assertEquals((await stored()).length, 4);
    }));

  Deno.test(`${name} leaves nothing locked after a write that a rule refused`, () =>
    withNumbers(Kind, async (writes, stored, file) => {
      await writes.run(insert, [1, "a"]);
      await failureOf(writes, insert, [1, "b"]);
      await (await holdWriteLock(file)).release();
      const other = new PreparedWrites(file, 0, "");
      other.run(insert, [2, "c"]);
      other.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      other.close();
      await failureOf(writes, insert, [2, "b"]);
      assertEquals(await stored(), [[1, "a"], [2, "c"]]);
    }));

  Deno.test(`${name} answers each of several calls at once with its own`, () =>
    withNumbers(Kind, async (writes, stored) => {
      const ended = await Promise.allSettled([1, 1, 2, 2, 3].map(async (n) => {
        const { rowsAffected } = await writes.run(insert, [n, `${n}`]);
        return rowsAffected;
      }));
      assertEquals(ended.map(({ status }) => status === "fulfilled"), [
        true,
        false,
        true,
        false,
        true,
      ]);
      assertEquals((await stored()).length, 3);
    }));

  Deno.test(`${name} meets another process's lock, and writes after it over a new connection`, () =>
    withNumbers(Kind, async (writes, stored, file) => {
      await writes.run(insert, [1, "before"]);
      const lock = await holdWriteLock(file);
      const error = await failureOf(writes, insert, [2, "during"]);
      assertInstanceOf(error, LibsqlError);
      assertEquals(error.code, "SQLITE_BUSY");
      writes.close();
      await lock.release();
      await writes.run(insert, [3, "after"]);
      assertEquals(await stored(), [[1, "before"], [3, "after"]]);
    }));

  Deno.test(`${name} keeps working when more statements come than it keeps`, () =>
    withNumbers(Kind, async (writes, stored) => {
      // Each is about 20 kB long, so that the first ones are forgotten.
      for (let n = 0; n < 60; n++) {
        await writes.run(`${insert} /* ${String(n).repeat(10_000)} */`, [n, "x"]);
      }
      await writes.run(`${insert} /* ${"0".repeat(10_000)} */`, [60, "x"]);
      assertEquals((await stored()).length, 61);
    }));

  Deno.test(`${name} takes pragmas, and says what is wrong with one`, () =>
    withNumbers(Kind, async (writes) => {
      await writes.run(insert, [1, "a"]);
      await writes.exec("PRAGMA query_only = 1");
      assertEquals((await failureOf(writes, insert, [2, "b"])).code, "SQLITE_READONLY");
      await assertRejects(async () => await writes.exec("PRAGMA ("), LibsqlError, "syntax error");
    }));
}

Deno.test("WritingThread leaves the event loop free while it waits", () =>
  withNumbers(WritingThread, async (writes, stored, file) => {
    await writes.run(insert, [1, "before"]);
    const lock = await holdWriteLock(file);
    const patient = new WritingThread(file, 10_000, "PRAGMA synchronous = NORMAL");
    try {
      const written = patient.run(insert, [2, "after"]);
      // Only a free event loop can release what the write waits for.
      await lock.release();
      await written;
      assertEquals(await stored(), [[1, "before"], [2, "after"]]);
    } finally {
      patient.close();
    }
  }));

Deno.test("WritingThread fails what is not answered when it is closed, and begins anew after it", () =>
  withNumbers(WritingThread, async (writes, stored) => {
    await writes.run(insert, [0, "before"]);
    const left = failureOf(writes, insert, [1, "a"]);
    writes.close();
    assertEquals((await left).code, "CLIENT_CLOSED");
    // It was carried out, only not answered.
    assertEquals(await stored(), [[0, "before"], [1, "a"]]);
    await writes.run(insert, [2, "b"]);
    assertEquals(await stored(), [[0, "before"], [1, "a"], [2, "b"]]);
  }));

Deno.test("WritingThread carries nothing out again that a thread had carried out when it died", async () => {
  const { Worker } = globalThis;
  let shared: Int32Array | undefined;
  globalThis.Worker = class extends Worker {
    constructor(_url: string | URL, options?: WorkerOptions) {
      super(import.meta.resolve("./dying_worker.ts"), options);
    }

    override postMessage(order: Order): void {
      if (typeof order === "object" && "shared" in order) shared = new Int32Array(order.shared);
      super.postMessage(order);
    }
  };
  try {
    await withNumbers(WritingThread, async (writes, stored) => {
      const told = [
        writes.run(insert, [1, "a"]),
        writes.run("UPDATE numbers SET text = text || 'b'", []),
      ];
      const ended = Promise.allSettled(told);
      // Until its end is known here, and its answers are not: they have a way of their own.
      Atomics.wait(shared!, cells.closed, 0, 10_000);
      Atomics.wait(shared!, cells.closed, 1, 100);
      await ended;
      assertEquals(await stored(), [[1, "ab"]]);
      await writes.run(insert, [2, "c"]);
      assertEquals(await stored(), [[1, "ab"], [2, "c"]]);
    });
  } finally {
    globalThis.Worker = Worker;
  }
});

Deno.test("WritingThread carries out here what a thread that never ran was told", () =>
  withoutThreads(() =>
    withNumbers(WritingThread, async (writes, stored) => {
      const told = [1, 1, 2].map((n) => writes.run(insert, [n, "x"]));
      const ended = await Promise.allSettled(told);
      assertEquals(ended.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
      await writes.run(insert, [3, "x"]);
      await writes.exec("PRAGMA synchronous = NORMAL");
      assertEquals((await stored()).length, 3);
    })
  ));

Deno.test("WritingThread carries out here at its end what no thread was there for", () =>
  withoutThreads(() =>
    withNumbers(WritingThread, async (writes, stored) => {
      const told = writes.run(insert, [1, "a"]);
      writes.close();
      assertEquals((await told).rowsAffected, 1);
      assertEquals(await stored(), [[1, "a"]]);
    })
  ));

Deno.test("a router starts and serves where no thread can be had", () =>
  withoutThreads(async () => {
    await using router = await startRouter({}, {}, codeLimits, true);
    const answer = await router.chat({
      model: "echo",
      messages: [{ role: "user", content: "hello" }],
    });
    assertEquals([answer.status, (await answer.json()).model], [200, "echo"]);
  }));

Deno.test("a router writes in a thread, and a command does not", async () => {
  const { Worker } = globalThis;
  let threads = 0;
  globalThis.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      threads++;
    }
  };
  try {
    const router = await startRouter({}, {}, codeLimits, true);
    assertEquals(threads, 1);
    // The key of the test has been made over another client.
    await router[Symbol.asyncDispose]();
    assertEquals(threads, 1);
  } finally {
    globalThis.Worker = Worker;
  }
});

/** Runs a test with a runtime whose threads end before they begin. */
async function withoutThreads(run: () => Promise<void>): Promise<void> {
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(_url: string | URL, options?: WorkerOptions) {
      super(import.meta.resolve("./there_is_no_such_worker.ts"), options);
    }
  };
  try {
    await run();
  } finally {
    globalThis.Worker = Worker;
  }
}

Deno.test("PreparedWrites takes writes that return nothing, with plain values", () => {
  const takes: [string, Parameters<typeof PreparedWrites.takes>[1], boolean][] = [
    [insert, [1, "a"], true],
    ["  update numbers SET n = ?", [null], true],
    ["DELETE FROM numbers", [], true],
    ["SELECT 1", [], false],
    ["INSERT INTO numbers VALUES (?)\nRETURNING n", [1], false],
    ["WITH x AS (SELECT 1) INSERT INTO numbers SELECT * FROM x", [], false],
    ["BEGIN", [], false],
    [insert, [1n, "a"], false],
    [insert, [Number.NaN, "a"], false],
    [insert, [new Date(0), "a"], false],
    [insert, [true, "a"], false],
  ];
  for (const [sql, args, taken] of takes) assertEquals(PreparedWrites.takes(sql, args), taken, sql);
});
