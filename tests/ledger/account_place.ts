/**
 * A database with accounts, and what the ledger writes into it.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { fileURLToPath } from "node:url";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase, retryWhileBusy } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";

/** The shipped migrations. */
export const migrations: string = fileURLToPath(new URL("../../migrations", import.meta.url));

/** A database with one key. */
export interface Place {
  client: Client;
  accounts: AccountStore;
  /** A key of the owner "me". */
  id: string;
  folder: string;
}

/** Runs a test with a database of its own. */
export async function withAccounts(run: (place: Place) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter accounts " });
  const client = await openDatabase({ url: `file:${folder}/x.db` });
  try {
    await migrate(client, migrations);
    const { key } = await new KeyStore(client).create({ name: "test", owner: "me" });
    await run({ client, accounts: new AccountStore(client), id: key.id, folder });
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Holds an amount for a request, as whoever writes the ledger does. @returns The request's id. */
export async function hold(client: Client, id: string, owner: string | null, amount: number) {
  const request = crypto.randomUUID();
  await retryWhileBusy(() =>
    client.execute({
      sql: `INSERT INTO holds (request_id, key_id, owner, amount, opened_at, expires_at, provider,
        model, stream, input_tokens, currency) VALUES (?, ?, ?, ?, 1, 2, 'p', 'm', 0, 1, 'RUB')`,
      args: [request, id, owner, amount],
    })
  );
  return request;
}

/** Ends a request with what it costs. */
export async function settle(
  client: Client,
  request: string,
  id: string,
  owner: string | null,
  cost: number,
) {
  await retryWhileBusy(() =>
    client.execute({
      sql: `INSERT INTO usage (request_id, created_at, key_id, owner, stream, estimated, cost,
        charged, currency, state, status, attempts, duration_ms)
        VALUES (?1, 1, ?2, ?3, 0, 0, ?4, ?4, 'RUB', 'completed', 200, 1, 1)`,
      args: [request, id, owner, cost],
    })
  );
}
