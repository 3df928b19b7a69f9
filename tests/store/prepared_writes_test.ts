import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { LibsqlError } from "@libsql/client";
import { PreparedWrites } from "../../core/store/prepared_writes.ts";
import { openDatabase } from "../../core/store/database.ts";
import { holdWriteLock } from "./write_lock.ts";

const insert = "INSERT INTO numbers (n, text) VALUES (?, ?)";

/** A file with a table, prepared writes to it, and what other connections read of it. */
async function withNumbers(
  run: (writes: PreparedWrites, stored: () => Promise<unknown[]>, file: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-writes-" });
  const file = `${folder}/x.db`;
  const client = await openDatabase({ url: `file:${file}` });
  const writes = new PreparedWrites(file, 10, "PRAGMA synchronous = NORMAL");
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

Deno.test("PreparedWrites commits each write, again with the statement that it has prepared", () =>
  withNumbers(async (writes, stored) => {
    const answers = [1, 2, 3].map((n) => writes.run(insert, [n, n === 2 ? null : `t${n}`]));
    assertEquals(answers.map(({ rowsAffected, rows }) => [rowsAffected, rows]), [
      [1, []],
      [1, []],
      [1, []],
    ]);
    assertEquals(writes.run("UPDATE numbers SET text = ?", ["all"]).rowsAffected, 3);
    assertEquals(writes.run("DELETE FROM numbers WHERE n > ?", [2]).rowsAffected, 1);
    assertEquals(await stored(), [[1, "all"], [2, "all"]]);
  }));

Deno.test("PreparedWrites goes on after a write that a rule refused, and says which", () =>
  withNumbers(async (writes, stored) => {
    writes.run(insert, [1, "a"]);
    for (let times = 0; times < 3; times++) {
      const error = assertThrows(() => writes.run(insert, [1, "b"]), LibsqlError);
      assertEquals(error.code, "SQLITE_CONSTRAINT");
      assert(error.message.includes("UNIQUE constraint failed"), error.message);
      writes.run(insert, [2 + times, "c"]);
    }
    assertThrows(() => writes.run("INSERT INTO nowhere VALUES (?)", [1]), LibsqlError);
    assertEquals((await stored()).length, 4);
  }));

Deno.test("PreparedWrites meets another process's lock, and writes after it over a new connection", () =>
  withNumbers(async (writes, stored, file) => {
    writes.run(insert, [1, "before"]);
    const lock = await holdWriteLock(file);
    const error = assertThrows(() => writes.run(insert, [2, "during"]), LibsqlError);
    assertInstanceOf(error, LibsqlError);
    assertEquals(error.code, "SQLITE_BUSY");
    writes.close();
    await lock.release();
    writes.run(insert, [3, "after"]);
    assertEquals(await stored(), [[1, "before"], [3, "after"]]);
  }));

Deno.test("PreparedWrites keeps working when more statements come than it keeps", () =>
  withNumbers(async (writes, stored) => {
    // Each is about 20 kB long, so that the first ones are forgotten.
    for (let n = 0; n < 60; n++) {
      writes.run(`${insert} /* ${String(n).repeat(10_000)} */`, [n, "x"]);
    }
    writes.run(`${insert} /* ${"0".repeat(10_000)} */`, [60, "x"]);
    assertEquals((await stored()).length, 61);
  }));

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
