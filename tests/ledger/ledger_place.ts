import type { Client } from "@libsql/client";
import { migrationsFolder } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";

/** A ledger in a file of its own. */
export interface Ledger {
  readonly client: Client;
  readonly url: string;
  /** A key of Anna's with credit, another of hers without, and one without an owner. */
  readonly keys: readonly string[];
}

/** The last millisecond of a month. */
export const arrival = Date.parse("2026-10-31T23:59:59.999Z");

/** A ledger in which everything has happened: credits, holds, requests, losses, refusals. */
export async function withLedger(run: (ledger: Ledger) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const url = `file:${folder}/x.db`;
  const client = await openDatabase({ url });
  try {
    await migrate(client, migrationsFolder);
    const store = new KeyStore(client);
    const anna = { name: "a", owner: "Anna" };
    const made = [await store.create(anna), await store.create(anna)];
    const keys = [...made, await store.create({ name: "c" })].map(({ key }) => key.id);
    const [first, second, third] = keys;
    const accounts = new AccountStore(client);
    await addUsage(client, { key_id: first!, owner: "Anna", created_at: arrival, cost: 700 });
    await accounts.credit(first!, 5_000, "credit");
    await accounts.credit("owner:Anna", 9_000, "credit");
    for (const key of [first!, second!]) {
      await addUsage(client, { key_id: key, owner: "Anna", tag: "t", cost: 1_000 });
      await addHold(client, { key_id: key, owner: "Anna", amount: 300 });
    }
    // It costs more than the credit: what is left of it is charged.
    await addUsage(client, { key_id: first!, owner: "Anna", cost: 7_000, created_at: arrival });
    await addUsage(client, { key_id: third!, cost: 250, state: "aborted" });
    await addUsage(client, { key_id: third!, cost: null });
    await addUsage(client, {
      provider: null,
      model: null,
      input_tokens: null,
      output_tokens: null,
      cost: null,
      state: "refused",
    });
    await addHold(client, { key_id: third!, amount: 40 });
    await run({ client, url, keys });
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}
