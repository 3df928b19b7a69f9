/**
 * The accounts of one schedule: three keys', of which the first two have one owner, and the owner's.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { assertEquals } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { LedgerModel, ModelAccount } from "./ledger_model.ts";
import { assertSameState, readState } from "./ledger_state.ts";

/** Accounts in the model and in the database. */
export class TrialAccounts {
  readonly #database: Client;
  readonly #model: LedgerModel;
  readonly #prefix: string;
  readonly #owners: readonly (string | null)[];
  readonly #ids: readonly string[];
  readonly #accounts: readonly ModelAccount[];

  /** @param prefix Begins the names of the accounts, and the ids of their requests. */
  constructor(database: Client, model: LedgerModel, prefix: string) {
    this.#database = database;
    this.#model = model;
    this.#prefix = prefix;
    const owner = `${prefix}-o`;
    this.#owners = [owner, owner, null];
    this.#ids = [0, 1, 2].map((key) => `${prefix}-${key}`).concat(`owner:${owner}`);
    this.#accounts = this.#ids.map((id, i) => ({
      who: i < 3 ? `Key "${id}"` : `Owner "${owner}"`,
      prepaid: false,
      limited: false,
      balance: 0,
      limit: undefined,
      parallel: undefined,
      used: 0,
      credited: 0,
    }));
  }

  /** Makes the keys. */
  async open(): Promise<void> {
    await this.#database.batch(
      this.#owners.map((owner, key) => ({
        sql: "INSERT INTO api_keys (id, hash, name, owner, created_at) VALUES (?1, ?1, ?1, ?2, 1)",
        args: [this.#ids[key]!, owner],
      })),
      "write",
    );
  }

  /** Who pays for a key. */
  payersOf(key: number): { keyId: string; owner: string | null; accounts: ModelAccount[] } {
    const owner = this.#owners[key]!;
    const shared = owner === null ? [] : [this.#accounts[3]!];
    return { keyId: this.#ids[key]!, owner, accounts: [this.#accounts[key]!, ...shared] };
  }

  /** Puts credit in or takes it out, where that may be. */
  async credit(database: Client, account: number, amount: number): Promise<void> {
    if (amount === 0) return;
    const taken = await new AccountStore(database).credit(this.#ids[account]!, amount, "test")
      .then(() => true, () => false);
    assertEquals(taken, this.#model.credit(this.#accounts[account]!, amount));
  }

  /** Sets or removes the limit of a period that no test outlasts. */
  async limit(account: number, amount: number | null): Promise<void> {
    this.#accounts[account]!.limit = amount ?? undefined;
    await this.#database.execute({
      sql: "UPDATE accounts SET limit_amount = ?, limit_period = ? WHERE id = ?",
      args: [amount, amount === null ? null : "month", this.#ids[account]!],
    });
  }

  /** Sets or removes the number of requests at a time. */
  async parallel(account: number, count: number | null): Promise<void> {
    this.#accounts[account]!.parallel = count ?? undefined;
    await this.#database.execute({
      sql: "UPDATE accounts SET parallel = ? WHERE id = ?",
      args: [count, this.#ids[account]!],
    });
  }

  /** Asserts that the database is in the model's state. */
  async compare(): Promise<void> {
    const state = await readState(this.#database, this.#ids, this.#prefix);
    assertSameState(state, this.#model, this.#accounts);
  }
}
