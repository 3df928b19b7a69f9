/**
 * The one currency that all accounts of a database are kept in.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { retryWhileBusy } from "../store/database.ts";

/**
 * Writes down what the accounts are kept in, where nothing has yet.
 *
 * @throws Error as {@linkcode checkCurrency} does.
 */
export async function keepCurrency(database: Client, currency: string): Promise<void> {
  await retryWhileBusy(() =>
    database.execute({
      sql: "INSERT INTO ledger (id, currency) VALUES (1, ?) ON CONFLICT DO NOTHING",
      args: [currency],
    })
  );
  await checkCurrency(database, currency);
}

/** @throws Error when the accounts are kept in another currency. */
export async function checkCurrency(database: Client, currency: string): Promise<void> {
  const { rows } = await database.execute("SELECT currency FROM ledger");
  const kept = rows[0]?.currency ?? currency;
  if (kept === currency) return;
  throw new Error(
    `the accounts of this database are kept in ${kept}, and XROUTER_CURRENCY is ${currency}. ` +
      "Set it back, or take another database",
  );
}
