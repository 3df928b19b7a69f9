import type { Client } from "@libsql/client";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { retryWhileBusy } from "./database.ts";

/** How a folder of migrations compares with a database. Names are file names, lowest first. */
export interface MigrationStatus {
  /** Recorded in the database. */
  applied: string[];
  /** In the folder, not in the database yet. */
  pending: string[];
  /** Whatever stops {@link migrate}, each with its cure; empty when all is well. */
  problems: string[];
}

interface Migration {
  number: number;
  name: string;
  sql: string;
  /** SHA-256 of the SQL with LF line ends, so that a checkout on Windows has the same one. */
  checksum: string;
}

interface MigrationRecord {
  number: number;
  name: string;
  checksum: string;
}

const fileName = /^(\d{4})_[a-z0-9_]+\.sql$/;

/**
 * Applies the migrations of `directory` that the database does not have yet, in order of number,
 * and returns their names. A migration and its record are one transaction: a failure leaves
 * neither, and of several processes that start at once exactly one applies each.
 *
 * @throws Error that lists every problem of the folder and the database at once, before any
 * change; or that names the migration that failed
 */
export async function migrate(client: Client, directory: string): Promise<string[]> {
  const { migrations, records, problems } = await compare(client, directory);
  if (problems.length > 0) {
    throw new Error(`The database cannot be migrated:\n- ${problems.join("\n- ")}`);
  }
  const known = new Set(records.map((record) => record.number));
  const applied: string[] = [];
  for (const migration of migrations) {
    if (known.has(migration.number)) continue;
    if (await retryWhileBusy(() => apply(client, migration))) applied.push(migration.name);
  }
  return applied;
}

/** Tells what {@link migrate} would do and what would stop it; changes nothing. */
export async function migrationStatus(
  client: Client,
  directory: string,
): Promise<MigrationStatus> {
  const { migrations, records, problems } = await compare(client, directory);
  const known = new Set(records.map((record) => record.number));
  return {
    applied: records.map((record) => record.name),
    pending: migrations.filter(({ number }) => !known.has(number)).map(({ name }) => name),
    problems,
  };
}

async function compare(client: Client, directory: string): Promise<{
  migrations: Migration[];
  records: MigrationRecord[];
  problems: string[];
}> {
  const { migrations, problems } = await readFolder(directory);
  const records = await readRecords(client);
  const newest = records.at(-1)?.number ?? 0;
  for (const record of records) {
    const same = migrations.filter(({ number }) => number === record.number);
    if (same.length === 0) {
      problems.push(
        `The database holds migration "${record.name}", which this version of XRouter does not ` +
          "have. Start the newer version, or restore a backup from before it",
      );
    } else if (!same.some(({ checksum }) => checksum === record.checksum)) {
      problems.push(
        `"${same[0]?.name}" differs from what was applied to the database. ` +
          "Restore the file, and put the change into a new migration",
      );
    }
  }
  for (const { number, name } of migrations) {
    if (number < newest && !records.some((record) => record.number === number)) {
      problems.push(
        `"${name}" was never applied, although later migrations were. ` +
          `Give it the next free number, so that it runs after them`,
      );
    }
  }
  return { migrations, records, problems };
}

async function readFolder(
  directory: string,
): Promise<{ migrations: Migration[]; problems: string[] }> {
  const problems: string[] = [];
  const migrations: Migration[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(directory)) {
      if (name.startsWith(".")) continue;
      const number = Number(fileName.exec(name)?.[1]);
      if (!(number > 0) || isDirectory) {
        problems.push(
          `"${name}" is not named like "0001_first_step.sql" ` +
            "(four digits from 0001, lower-case words). Rename it, or move it out of the folder",
        );
        continue;
      }
      const sql = (await Deno.readTextFile(join(directory, name))).replaceAll("\r\n", "\n");
      const ending = endingOf(sql);
      if (ending !== undefined) {
        problems.push(
          `"${name}" holds ${ending}, but every migration is one transaction already. ` +
            "Remove that statement",
        );
      }
      const checksum = createHash("sha256").update(sql).digest("hex");
      migrations.push({ number, name, sql, checksum });
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Migrations folder "${directory}" cannot be read: ${reason}`, { cause: error });
  }
  problems.sort();
  migrations.sort((a, b) => a.name < b.name ? -1 : 1);

  let next = 1;
  for (const [index, { number, name }] of migrations.entries()) {
    const before = migrations[index - 1];
    if (before?.number === number) {
      problems.push(`"${before.name}" and "${name}" have one number. Give the later one the next`);
    } else if (number !== next) {
      const missing = String(next).padStart(4, "0");
      problems.push(`"${name}" leaves a gap: no file has number ${missing}. Restore or renumber`);
    }
    next = number + 1;
  }
  if (migrations.length === 0) {
    problems.push(`Folder "${directory}" holds no migration. Restore its files`);
  }
  return { migrations, problems };
}

/** Comments, texts and quoted names: what stands in them are no statements. */
const quoted = /--[^\n]*|\/\*[^]*?(?:\*\/|$)|'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]/g;

/** The first statement that ends a transaction: COMMIT, END or ROLLBACK. */
function endingOf(sql: string): string | undefined {
  let inTrigger = false;
  for (const statement of sql.replace(quoted, " ").split(";")) {
    const ending = /^\s*(COMMIT|END|ROLLBACK)\b/i.exec(statement)?.[1]?.toUpperCase();
    // A trigger holds statements, and its own END.
    if (/^\s*CREATE\s+(TEMP(ORARY)?\s+)?TRIGGER\b/i.test(statement)) inTrigger = true;
    else if (inTrigger && ending === "END") inTrigger = false;
    else if (ending !== undefined) return ending;
  }
  return undefined;
}

/** What the database has, lowest number first. Must not write: `migrationStatus` uses it. */
async function readRecords(client: Client): Promise<MigrationRecord[]> {
  const table = await client.execute(
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'",
  );
  if (table.rows.length === 0) return [];
  const { rows } = await client.execute(
    "SELECT number, name, checksum FROM migrations ORDER BY number",
  );
  return rows.map((row) => ({
    number: Number(row.number),
    name: String(row.name),
    checksum: String(row.checksum),
  }));
}

/** Applies one migration with its record; false when another process has done it meanwhile. */
async function apply(client: Client, { number, name, sql, checksum }: Migration): Promise<boolean> {
  const transaction = await client.transaction("write");
  try {
    await transaction.execute(
      `CREATE TABLE IF NOT EXISTS migrations (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
        applied_at INTEGER NOT NULL -- milliseconds since 1970-01-01 UTC
      ) STRICT`,
    );
    const done = await transaction.execute({
      sql: "SELECT 1 FROM migrations WHERE number = ?",
      args: [number],
    });
    if (done.rows.length > 0) return false;
    await transaction.execute({
      sql: "INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
      args: [number, name, checksum, Date.now()],
    });
    try {
      await transaction.executeMultiple(sql);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(
        `Migration "${name}" failed and nothing of it was kept: ${reason}. ` +
          "Correct the file, then start again",
        { cause: error },
      );
    }
    await transaction.commit();
    return true;
  } finally {
    transaction.close();
  }
}
