/**
 * A folder with a migrated database and a configuration that has a price, for several processes.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { assertEquals } from "@std/assert";
import { migrationsFolder } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { migrate } from "../../core/store/migrate.ts";
import { type HranaServer, serveHrana } from "../store/hrana_server.ts";
import { countInput, loadTokenizer } from "../../core/tokens.ts";
import { type Order, price, type VendorLog } from "./vendor_log.ts";

/** A key. */
export interface PayingKey {
  readonly id: string;
  readonly secret: string;
}

/** The folder, and a connection to its database. */
export class LedgerFolder implements AsyncDisposable {
  readonly path: string;
  readonly database: Client;
  readonly accounts: AccountStore;
  /** The environment of a process that works here. */
  readonly env: Record<string, string>;
  /** What serves the database, where it is remote. */
  server: HranaServer | undefined;
  #keys = 0;

  private constructor(
    path: string,
    database: Client,
    env: Record<string, string>,
    server: HranaServer | undefined,
  ) {
    this.path = path;
    this.database = database;
    this.accounts = new AccountStore(database);
    this.env = env;
    this.server = server;
  }

  /**
   * Makes one for processes that ask this vendor.
   *
   * @param dir Where; the usual place for such folders where absent.
   * @param remote The database is reached over a server.
   */
  static async make(
    vendor: VendorLog,
    { dir, remote = false }: { dir?: string | undefined; remote?: boolean } = {},
  ): Promise<LedgerFolder> {
    const prefix = "xrouter-ledger-";
    const path = await Deno.makeTempDir({ prefix, ...(dir !== undefined && { dir }) });
    const server = remote ? serveHrana(`${path}/xrouter.db`) : undefined;
    const url = server === undefined ? `file:${path}/xrouter.db` : `http://${server.host}`;
    const database = await openDatabase({ url });
    await migrate(database, migrationsFolder);
    const models = { [vendor.model]: { price, encoding: "o200k_base" } };
    await Deno.writeTextFile(`${path}/xrouter.json`, JSON.stringify({ models }));
    return new LedgerFolder(path, database, {
      ...vendor.env,
      DATABASE_URL: url,
      XROUTER_CONFIG: `${path}/xrouter.json`,
      XROUTER_LEASE_SECONDS: "5",
      XROUTER_RETRIES: "0",
      API_RATE_LIMIT: "1000000",
    }, server);
  }

  /** Makes a key, prepaid where there is credit. */
  async makeKey({ credit, ...limits }: {
    credit?: number;
    limit?: { amount: number; period: "day" };
    parallel?: number;
  }): Promise<PayingKey> {
    const { key, secret } = await new KeyStore(this.database).create({
      name: `key ${++this.#keys}`,
    });
    if (credit !== undefined) await this.accounts.credit(key.id, credit, "test");
    await this.accounts.setLimits(key.id, limits);
    return { id: key.id, secret };
  }

  /** Asserts that every number in the ledger is borne out by its rows. */
  async check(): Promise<void> {
    assertEquals((await checkLedger(this.database)).mismatches, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.database.close();
    await this.server?.[Symbol.asyncDispose]();
    await Deno.remove(this.path, { recursive: true });
  }
}

/** An answer to ask for; input and words are what XRouter will hold for. */
export async function orderOf(id: string, words: number, pauseMs = 0): Promise<Order> {
  const input = countInput({ messages }, await loadTokenizer("o200k_base"));
  return { id, input, words, pauseMs };
}

const messages = [{ role: "user", content: "Say some words, please." }];

/** Sends an order. */
export function send(
  url: string,
  { secret }: PayingKey,
  order: Order,
  model: string,
  stream: boolean,
  { headers = {}, ...init }: RequestInit & { headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${secret}`,
      "content-type": "application/json",
      "x-xrouter-tag": order.id,
      ...headers,
    },
    body: JSON.stringify({ model, messages, stream, max_tokens: order.words, order }),
    ...init,
  });
}
