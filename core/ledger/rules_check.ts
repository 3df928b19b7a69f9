/**
 * Whether the rules that keep the ledger still stand in its database.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { openDatabase } from "../store/database.ts";
import { migrate } from "../store/migrate.ts";
import type { Mismatch } from "./ledger_check.ts";

/** Tables of money: a trigger more on one of them could undo what the others keep. */
const guarded = new Set([
  "accounts",
  "api_keys",
  "credits",
  "holds",
  "ledger",
  "prices",
  "spending",
  "usage",
  "usage_daily",
]);

const rulesSql = `SELECT type, name, lower(tbl_name) AS tbl_name, sql FROM sqlite_schema
  WHERE type IN ('trigger', 'view', 'table') AND name NOT LIKE 'sqlite_%' ORDER BY type, name`;

/**
 * The triggers, views and tables that are missing or differ from what the migrations make, and the
 * triggers that somebody added to the ledger's tables. What else was added is not looked at. Changes
 * nothing; rejects when the database does.
 *
 * @param client The database, migrated.
 * @param directory The folder of the migrations.
 */
export async function checkRules(client: Client, directory: string): Promise<Mismatch[]> {
  const wanted = await openDatabase({ url: "file::memory:" });
  try {
    await migrate(wanted, directory);
    const [expected, found] = await Promise.all([
      wanted.execute(rulesSql),
      client.execute(rulesSql),
    ]);
    const stands = new Map(found.rows.map(({ type, name, sql }) => [`${type} ${name}`, sql]));
    const known = new Set(expected.rows.map(({ type, name }) => `${type} ${name}`));
    const added = found.rows.flatMap(({ type, name, tbl_name: table }) => {
      const subject = `${type} ${name}`;
      if (type !== "trigger" || known.has(subject) || !guarded.has(table as string)) return [];
      const what = `there, on the table ${table}`;
      return [{ subject, what, expected: 0, found: 1, isAmount: false }];
    });
    const broken = expected.rows.flatMap(({ type, name, sql }) => {
      const subject = `${type} ${name}`;
      if (stands.get(subject) === sql) return [];
      const isThere = stands.has(subject);
      const what = isThere ? "as its migration made it" : "there";
      return [{ subject, what, expected: 1, found: isThere ? 0 : null, isAmount: false }];
    });
    return [...broken, ...added];
  } finally {
    wanted.close();
  }
}
