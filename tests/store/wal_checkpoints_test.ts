import { assert, assertEquals } from "@std/assert";
import Database from "libsql";
import { openDatabase } from "../../core/store/database.ts";
import { leaveCheckpoints, WalCheckpoints } from "../../core/store/wal_checkpoints.ts";

const pageBytes = 4096;

/** A file with a table, a connection that writes to it, and its checkpoints. */
async function withFile(
  intervalMs: number,
  run: (file: string, write: (n: number) => void, checkpoints: WalCheckpoints) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-checkpoints-" });
  const file = `${folder}/x.db`;
  const database = new Database(file);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; ${leaveCheckpoints};
    CREATE TABLE numbers (n INTEGER PRIMARY KEY)`);
  const insert = database.prepare("INSERT INTO numbers VALUES (?)");
  const checkpoints = new WalCheckpoints(file, intervalMs);
  try {
    await run(file, (n) => {
      insert.run([n]);
      checkpoints.noteWrite();
    }, checkpoints);
  } finally {
    checkpoints.close();
    database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** How many rows the file has by itself, without its log. */
async function inFileAlone(file: string): Promise<number> {
  const copy = `${file}-copy`;
  await Deno.copyFile(file, copy);
  const database = new Database(copy);
  try {
    return (database.prepare("SELECT count(*) AS n FROM numbers").get() as { n: number }).n;
  } catch {
    return 0; // The table itself is in the log still.
  } finally {
    database.close();
  }
}

/** Settles when the file by itself has so many rows. */
async function untilFileHas(file: string, rows: number): Promise<void> {
  const changes = Deno.watchFs(file);
  const limit = setTimeout(() => changes.close(), 10_000);
  if (await inFileAlone(file) !== rows) {
    for await (const _ of changes) if (await inFileAlone(file) === rows) break;
  }
  clearTimeout(limit);
  assertEquals(await inFileAlone(file), rows);
}

Deno.test("WalCheckpoints copy what was written into the file, and the log begins anew", () =>
  withFile(5, async (file, write) => {
    const rounds = 10;
    const rows = 50;
    for (let round = 0; round < rounds; round++) {
      for (let n = 0; n < rows; n++) write(round * rows + n);
      await untilFileHas(file, (round + 1) * rows);
    }
    const { size } = await Deno.stat(`${file}-wal`);
    assert(size < rounds * rows / 2 * pageBytes, `${size} bytes after ${rounds * rows} writes`);
  }));

Deno.test("A log that is written to without a pause does not grow without end", () =>
  withFile(5, async (file, write) => {
    const writes = 12_000;
    for (let n = 0; n < writes; n++) {
      write(n);
      if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { size } = await Deno.stat(`${file}-wal`);
    assert(size < writes / 2 * pageBytes, `${size} bytes after ${writes} writes of a page each`);
  }));

Deno.test("WalCheckpoints can be closed while one runs, and begin none afterwards", () =>
  withFile(0, async (file, write, checkpoints) => {
    for (let n = 0; n < 500; n++) write(n);
    await new Promise((resolve) => setTimeout(resolve, 0));
    checkpoints.close();
    write(500);
    const client = await openDatabase({ url: `file:${file}` });
    const { rows } = await client.execute("SELECT count(*) AS n FROM numbers");
    client.close();
    assertEquals(rows[0]!.n, 501);
  }));
