import type { Client } from "@libsql/client";
import { readConfig, readEnvironment } from "../config.ts";
import { checkCurrency } from "../ledger/currency.ts";
import { migrationsFolder } from "../program.ts";
import { openDatabase } from "../store/database.ts";
import { migrate } from "../store/migrate.ts";

/** What a command about the database works with. */
export interface CommandDatabase {
  /** The database of `DATABASE_URL`, migrated. */
  readonly database: Client;
  /** ISO 4217 code of the accounting currency. */
  readonly currency: string;
}

/**
 * Opens the database of `DATABASE_URL`, migrates it, and closes it when `action` is done.
 *
 * @throws Error when its accounts are kept in another currency than `XROUTER_CURRENCY`.
 */
export async function withDatabase<Result>(
  action: (opened: CommandDatabase) => Promise<Result>,
): Promise<Result> {
  const { databaseUrl, databaseAuthToken, currency } =
    (await readConfig(readEnvironment())).settings;
  const database = await openDatabase({
    url: databaseUrl,
    ...(databaseAuthToken !== undefined && { authToken: databaseAuthToken }),
  });
  try {
    await migrate(database, migrationsFolder);
    await checkCurrency(database, currency);
    return await action({ database, currency });
  } finally {
    database.close();
  }
}
