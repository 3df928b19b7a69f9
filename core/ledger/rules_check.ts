/**
 * Whether the rules that keep the ledger still stand in its database.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { openDatabase } from "../store/database.ts";
import { migrate } from "../store/migrate.ts";
import type { Mismatch } from "./ledger_check.ts";

const rulesSql = `SELECT type, name, sql FROM sqlite_schema
  WHERE type IN ('trigger', 'view', 'table') AND name NOT LIKE 'sqlite_%' ORDER BY type, name`;

/**
 * The triggers, views and tables that are missing or differ from what the migrations make. What
 * somebody added to them is not looked at. Changes nothing; rejects when the database does.
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
    return expected.rows.flatMap(({ type, name, sql }) => {
      const subject = `${type} ${name}`;
      if (stands.get(subject) === sql) return [];
      const isThere = stands.has(subject);
      const what = isThere ? "as its migration made it" : "there";
      return [{ subject, what, expected: 1, found: isThere ? 0 : null, isAmount: false }];
    });
  } finally {
    wanted.close();
  }
}
