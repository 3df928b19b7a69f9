/**
 * A database file with two ledgers on it, each on a connection of its own, as two processes have it.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { Ledger } from "../../core/ledger/ledger.ts";
import { createLog } from "../../core/log.ts";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import { SeveredClient } from "./severed_client.ts";

/** One process: its ledger and its connection. */
export class LedgerProcess {
  readonly database: Client;
  #line: SeveredClient;
  #ledger: Ledger;

  /** @param database Its connection. */
  constructor(database: Client) {
    this.database = database;
    this.#line = new SeveredClient(database);
    this.#ledger = openLedger(this.#line);
  }

  /** The ledger of the process that runs now. */
  get ledger(): Ledger {
    return this.#ledger;
  }

  /** Dies and starts again. What was not written yet is lost. */
  async crash(): Promise<void> {
    this.#line.sever();
    await this.#ledger.close();
    this.#line = new SeveredClient(this.database);
    this.#ledger = openLedger(this.#line);
  }
}

function openLedger(line: SeveredClient): Ledger {
  return new Ledger({
    database: line as unknown as Client,
    log: createLog((text) => {
      if (!text.includes('"warn"')) console.error(text);
    }),
    currency: "RUB",
    // Leases end where a test ends them.
    leaseMs: 86_400_000,
  });
}

/** The file and its two processes. */
export interface SharedFile extends AsyncDisposable {
  readonly processes: readonly [LedgerProcess, LedgerProcess];
}

/** Makes a migrated database file. */
export async function openSharedFile(): Promise<SharedFile> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-ledger-" });
  const url = `file:${folder}/xrouter.db`;
  const first = await openDatabase({ url });
  await migrate(first, migrationsFolder);
  const second = await openDatabase({ url });
  const processes = [new LedgerProcess(first), new LedgerProcess(second)] as const;
  return {
    processes,
    async [Symbol.asyncDispose]() {
      for (const { ledger, database } of processes) {
        await ledger.close();
        database.close();
      }
      await Deno.remove(folder, { recursive: true });
    },
  };
}
