import type { Client } from "@libsql/client";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openDatabase } from "../../core/store/database.ts";
import { migrate, migrationStatus } from "../../core/store/migrate.ts";
import { serveHrana } from "./hrana_server.ts";
import { runTogether } from "./processes.ts";
import { holdWriteLock } from "./write_lock.ts";

const shipped = fileURLToPath(new URL("../../migrations", import.meta.url));

interface Place {
  client: Client;
  /** The database's file. */
  file: string;
  /** The migrations folder. */
  folder: string;
  write(files: Record<string, string>): Promise<void>;
}

/** Runs a test with an empty database and a folder that holds `files`. */
async function inPlace(
  files: Record<string, string>,
  run: (place: Place) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "xrouter migrate " });
  const folder = join(root, "migrations");
  await Deno.mkdir(folder);
  const file = join(root, "x.db");
  const client = await openDatabase({ url: `file:${file}` });
  const write: Place["write"] = async (more) => {
    for (const [name, sql] of Object.entries(more)) {
      await Deno.writeTextFile(join(folder, name), sql);
    }
  };
  try {
    await write(files);
    await run({ client, file, folder, write });
  } finally {
    client.close();
    await Deno.remove(root, { recursive: true });
  }
}

async function tables(client: Client): Promise<string[]> {
  const { rows } = await client.execute(
    "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
  );
  return rows.map(({ name }) => String(name));
}

async function problems({ client, folder }: Place): Promise<string[]> {
  const before = await tables(client);
  const { problems } = await migrationStatus(client, folder);
  const error = await assertRejects(() => migrate(client, folder), Error) as Error;
  assertEquals(error.message, ["The database cannot be migrated:", ...problems].join("\n- "));
  assertEquals(await tables(client), before);
  return problems;
}

Deno.test("migrate applies each file once, lowest number first, and records it", () =>
  inPlace({
    "0002_fill.sql": "INSERT INTO notes VALUES ('первая'); INSERT INTO notes VALUES ('a;b');",
    "0001_notes.sql": "CREATE TABLE notes (text TEXT);",
    ".0003_swap": "an editor's hidden file",
  }, async ({ client, folder, file, write }) => {
    assertEquals(await migrate(client, folder), ["0001_notes.sql", "0002_fill.sql"]);
    assertEquals(await migrate(client, folder), []);
    await write({ "0003_more.sql": "-- Nothing but a comment" });

    const reopened = await openDatabase({ url: `file:${file}` });
    assertEquals(await migrate(reopened, folder), ["0003_more.sql"]);
    const notes = await reopened.execute("SELECT text FROM notes");
    assertEquals(notes.rows.map(({ text }) => text), ["первая", "a;b"]);
    const { rows } = await reopened.execute("SELECT * FROM migrations ORDER BY number");
    assertEquals(rows.map(({ number, name }) => [number, name]), [
      [1, "0001_notes.sql"],
      [2, "0002_fill.sql"],
      [3, "0003_more.sql"],
    ]);
    for (const row of rows) {
      assertMatch(String(row.checksum), /^[0-9a-f]{64}$/);
      assert(Math.abs(Number(row.applied_at) - Date.now()) < 60_000);
    }
    reopened.close();
  }));

Deno.test("migrate keeps nothing of a migration that fails, and all of those before it", () =>
  inPlace({
    "0001_good.sql": "CREATE TABLE good (n INTEGER);",
    "0002_bad.sql": "CREATE TABLE half (n INTEGER); INSERT INTO nowhere VALUES (1);",
  }, async ({ client, folder, write }) => {
    const error = await assertRejects(() => migrate(client, folder), Error) as Error;
    assertMatch(error.message, /"0002_bad.sql" failed and nothing of it.*nowhere.*Correct the/);
    assertEquals(await tables(client), ["good", "migrations"]);
    assertEquals(await migrationStatus(client, folder), {
      applied: ["0001_good.sql"],
      pending: ["0002_bad.sql"],
      problems: [],
    });
    await write({ "0002_bad.sql": "CREATE TABLE half (n INTEGER);" });
    assertEquals(await migrate(client, folder), ["0002_bad.sql"]);
  }));

Deno.test("migrate refuses a file that ends the transaction itself, wherever in it", async () => {
  const create = "CREATE TABLE a (n INTEGER);";
  const trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;";
  const files: [sql: string, ending: string][] = [
    [`${create}\n  commit;\nCREATE TABLE b (n INTEGER);`, "COMMIT"],
    [`${create} COMMIT;`, "COMMIT"],
    [`${create} end`, "END"],
    [`${create} Rollback;`, "ROLLBACK"],
    [`${create};; /* now */ COMMIT -- really`, "COMMIT"],
    [`${create} INSERT INTO a VALUES (';'); COMMIT TRANSACTION; BEGIN;`, "COMMIT"],
    [`${create} ${trigger} END;`, "END"],
    [`${create} SELECT CASE 1 WHEN 1 THEN 2 END; END;`, "END"],
  ];
  for (const [sql, ending] of files) {
    await inPlace({ "0001_sly.sql": sql }, async (place) => {
      const [sly, ...others] = await problems(place);
      assertMatch(sly!, new RegExp(`^"0001_sly.sql" holds ${ending}, but .*Remove that`), sql);
      assertEquals(others, []);
    });
  }
});

Deno.test("migrate takes files in which only triggers, cases, texts and comments end", () =>
  inPlace({
    "0001_all.sql": `CREATE TABLE a (n INTEGER, "; END" TEXT, \`; COMMIT\` TEXT, [; ROLLBACK] TEXT);
      CREATE TRIGGER t AFTER INSERT ON a BEGIN
        SELECT CASE WHEN NEW.n > 0
          THEN 1
        END;
        UPDATE a SET n = 2;
      END;
      CREATE /* another */ TEMPORARY TRIGGER IF NOT EXISTS u AFTER DELETE ON a BEGIN SELECT 1; END;
      -- it's over;
      -- COMMIT;
      /* ROLLBACK;
      COMMIT; */
      INSERT INTO a VALUES (1, 'it''s;
      COMMIT; ', '', '');
      /* COMMIT;`,
  }, async ({ client, folder }) => {
    assertEquals(await migrate(client, folder), ["0001_all.sql"]);
    assertEquals((await client.execute("SELECT n FROM a")).rows[0]!.n, 2);
  }));

Deno.test("migrate takes line ends of either kind as the same file", () =>
  inPlace({ "0001_a.sql": "CREATE TABLE a (\n  n INTEGER\n);\n" }, async (place) => {
    await migrate(place.client, place.folder);
    await place.write({ "0001_a.sql": "CREATE TABLE a (\r\n  n INTEGER\r\n);\r\n" });
    assertEquals(await migrate(place.client, place.folder), []);
    await place.write({ "0001_a.sql": "CREATE TABLE a (\n  n TEXT\n);\n" });
    const [changed, ...others] = await problems(place);
    assertMatch(changed!, /^"0001_a.sql" differs from what was applied.*Restore the file/);
    assertEquals(others, []);
  }));

Deno.test("migrate refuses a database that a newer version has changed", () =>
  inPlace({ "0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 2;" }, async (place) => {
    await migrate(place.client, place.folder);
    await Deno.remove(join(place.folder, "0002_b.sql"));
    const [newer, ...others] = await problems(place);
    assertMatch(newer!, /holds migration "0002_b.sql", which this version.*Start the newer/);
    assertEquals(others, []);
  }));

Deno.test("migrate refuses to apply a migration behind one that is applied", () =>
  inPlace({ "0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 2;" }, async (place) => {
    await migrate(place.client, place.folder);
    await place.client.execute("DELETE FROM migrations WHERE number = 1");
    const [late, ...others] = await problems(place);
    assertMatch(late!, /^"0001_a.sql" was never applied.*next free number/);
    assertEquals(others, []);
  }));

Deno.test("migrate lists every problem of the folder and the database at once", () =>
  inPlace({ "0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 2;" }, async (place) => {
    await migrate(place.client, place.folder);
    await Deno.remove(join(place.folder, "0002_b.sql"));
    await place.write({
      "0001_a.sql": "SELECT 'changed';",
      "0003_c.sql": "",
      "0003_d.sql": "",
      "0004_Upper.sql": "",
      "4_short.sql": "",
      "0000_zero.sql": "",
      "notes.md": "",
    });
    await Deno.mkdir(join(place.folder, "0005_folder.sql"));
    const found = await problems(place);
    const expected = [
      /^"0000_zero.sql" is not named like "0001_first_step.sql".*Rename it/,
      /^"0004_Upper.sql" is not named/,
      /^"0005_folder.sql" is not named/,
      /^"4_short.sql" is not named/,
      /^"notes.md" is not named/,
      /^"0003_c.sql" leaves a gap: no file has number 0002/,
      /^"0003_c.sql" and "0003_d.sql" have one number/,
      /^"0001_a.sql" differs/,
      /holds migration "0002_b.sql"/,
    ];
    assertEquals(found.length, expected.length, found.join("\n"));
    for (const [index, pattern] of expected.entries()) assertMatch(found[index]!, pattern);
  }));

Deno.test("migrate refuses a folder that is empty or missing", () =>
  inPlace({}, async (place) => {
    const [empty, ...others] = await problems(place);
    assertMatch(empty!, /holds no migration/);
    assertEquals(others, []);
    await Deno.remove(place.folder);
    await assertRejects(() => migrate(place.client, place.folder), Error, "cannot be read");
  }));

Deno.test("migrationStatus tells what is pending and writes nothing", () =>
  inPlace({ "0001_a.sql": "CREATE TABLE a (n INTEGER);" }, async ({ client, folder }) => {
    const status = { applied: [], pending: ["0001_a.sql"], problems: [] };
    assertEquals(await migrationStatus(client, folder), status);
    await client.execute("PRAGMA query_only = 1");
    assertEquals(await migrationStatus(client, folder), status);
    assertEquals(await tables(client), []);
  }));

Deno.test("migrate applies once when two clients of one process start together", () =>
  inPlace({}, async ({ client, file }) => {
    const other = await openDatabase({ url: `file:${file}` });
    const applied = await Promise.all([migrate(client, shipped), migrate(other, shipped)]);
    assertEquals(applied.flat(), await names(shipped));
    other.close();
  }));

Deno.test("migrate applies once when four processes start together", () =>
  inPlace({}, async ({ file }) => {
    const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const printed = await runTogether(
      `import { openDatabase } from ${url("../../core/store/database.ts")};
      import { migrate } from ${url("../../core/store/migrate.ts")};`,
      `const client = await openDatabase({ url: ${JSON.stringify(`file:${file}.new`)} });
      console.log(JSON.stringify(await migrate(client, ${JSON.stringify(shipped)})));
      client.close();`,
    );
    const applied = printed.flatMap((text) => JSON.parse(text));
    assertEquals(applied.sort(), await names(shipped));
  }));

Deno.test("migrate waits for a process that is writing", () =>
  inPlace({ "0001_a.sql": "CREATE TABLE a (n INTEGER);" }, async ({ client, file, folder }) => {
    const lock = await holdWriteLock(file);
    const begin = client.transaction.bind(client);
    const refusals: string[] = [];
    client.transaction = () =>
      begin("write").catch(async (error) => {
        refusals.push(error.code);
        await lock.release();
        throw error;
      });
    assertEquals(await migrate(client, folder), ["0001_a.sql"]);
    assertEquals(refusals, ["SQLITE_BUSY"]);
  }));

Deno.test("migrate works on a server, and is as atomic there", () =>
  inPlace({
    "0001_a.sql": "CREATE TABLE a (n INTEGER);",
    "0002_bad.sql": "CREATE TABLE half (n INTEGER); INSERT INTO nowhere VALUES (1);",
  }, async ({ file, folder, write }) => {
    await using server = serveHrana(`${file}.remote`);
    const client = await openDatabase({ url: `http://${server.host}` });
    await assertRejects(() => migrate(client, folder), Error, '"0002_bad.sql" failed');
    assertEquals(await tables(client), ["a", "migrations"]);
    await write({ "0002_bad.sql": "CREATE TABLE half (n INTEGER);" });
    assertEquals(await migrate(client, folder), ["0002_bad.sql"]);
    assertEquals(await migrate(client, folder), []);
    client.close();
  }));

Deno.test("the shipped migrations make tables that refuse what they should", () =>
  inPlace({}, async ({ client }) => {
    assertEquals(await migrate(client, shipped), await names(shipped));
    const usage = (values: string) =>
      client.execute(
        "INSERT INTO usage (request_id, created_at, stream, estimated, state, status, attempts, " +
          `duration_ms, cost) VALUES ${values}`,
      );
    await usage("('r1', 1, 0, 0, 'completed', 200, 1, 10, NULL)");
    await assertRejects(
      () => usage("('r1', 1, 0, 0, 'completed', 200, 1, 10, 5)"),
      Error,
      "UNIQUE",
    );
    await assertRejects(() => usage("('r2', 1, 0, 0, 'done', 200, 1, 10, 5)"), Error, "CHECK");
    await assertRejects(() => usage("('r3', 1, 2, 0, 'failed', 502, 1, 10, 5)"), Error, "CHECK");
    await assertRejects(() => usage("('r4', 1, 0, 0, 'failed', 502, 1, 10, 0.5)"), Error, "REAL");
    await assertRejects(() => usage("(NULL, 1, 0, 0, 'failed', 502, 1, 10, 5)"), Error, "NOT NULL");

    const plan = async (sql: string) => {
      const { rows } = await client.execute(`EXPLAIN QUERY PLAN ${sql}`);
      return String(rows[0]?.detail);
    };
    assertMatch(
      await plan("SELECT * FROM usage WHERE request_id > '019'"),
      /PRIMARY KEY \(request_id>\?\)/,
    );
    assertMatch(await plan("SELECT * FROM api_keys WHERE hash = 'h'"), /USING INDEX.*hash=\?/);
  }));

async function names(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.map(({ name }) => name).sort();
}
