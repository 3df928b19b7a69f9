/**
 * Sees when the credit of a key, or of an owner, comes to its end: looks from time to time at the
 * accounts that were charged, with one statement.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import type { Exchange, Outcome } from "xrouter/plugin";
import { formatAmount } from "../../core/ledger/money.ts";
import type { AlertBoard } from "./board.ts";

/** The share of the last credit that is left when people are told. */
const lowShare = 0.2;

/** The most accounts that are looked at together; others wait for their next charge. */
const most = 10_000;

/** Watches the credit of whoever spends it. */
export class CreditWatch {
  readonly #database: Client;
  readonly #currency: string;
  readonly #board: AlertBoard;
  /** Accounts by id, and whether a request of theirs was refused for want of credit. */
  #charged = new Map<string, boolean>();
  /** Those of the look before: their charges may not have been written then. */
  #before = new Map<string, boolean>();

  /**
   * @param database Has the accounts.
   * @param currency ISO 4217 code of the accounts.
   * @param board Is told.
   */
  constructor(database: Client, currency: string, board: AlertBoard) {
    this.#database = database;
    this.#currency = currency;
    this.#board = board;
  }

  /** Notes whose credit a request took. */
  record({ state: { caller } }: Exchange, { cost = 0, error }: Outcome): void {
    const refused = error?.code === "insufficient_credits";
    if (caller === undefined || (cost === 0 && !refused)) return;
    if (caller.limits.prepaid) this.#note(caller.id, refused);
    if (caller.ownerLimits?.prepaid) this.#note(`owner:${caller.owner}`, refused);
  }

  /** Looks at the accounts. Rejects when the database does. */
  async look(): Promise<void> {
    const looked = new Map([...this.#before, ...this.#charged]);
    if (looked.size === 0) return;
    const { rows } = await this.#database.execute({
      sql: `SELECT accounts.id, balance, name, (
          SELECT amount FROM credits WHERE account_id = accounts.id AND amount > 0
          ORDER BY id DESC LIMIT 1
        ) AS credited
        FROM json_each(?) AS charged JOIN accounts ON accounts.id = charged.value
        LEFT JOIN api_keys ON api_keys.id = accounts.id
        WHERE prepaid = 1`,
      args: [JSON.stringify([...looked.keys()])],
    });
    // Only now: what could not be read is looked at again.
    this.#before = this.#charged;
    this.#charged = new Map();
    for (const row of rows) {
      const { id, balance, name, credited } = row as unknown as AccountRow;
      this.#judge(id, name, balance, credited ?? 0, looked.get(id) ?? false);
    }
  }

  #judge(id: string, name: string | null, balance: number, credited: number, refused: boolean) {
    const isLow = balance <= credited * lowShare;
    // What is left may be too little for any request.
    const isUsedUp = balance <= 0 || (isLow && refused);
    const facts = {
      holder: name === null ? `owner "${id.slice("owner:".length)}"` : `key "${name}" (${id})`,
      left: formatAmount(balance, this.#currency),
      used: credited === 0 ? 100 : Math.floor(100 * (1 - balance / credited)),
    };
    this.#board.report("credit-used-up", id, isUsedUp, facts);
    this.#board.report("credit-low", id, isLow, facts, isUsedUp);
  }

  #note(id: string, refused: boolean): void {
    if (refused || this.#charged.size < most) {
      this.#charged.set(id, refused || this.#charged.get(id) === true);
    }
  }
}

interface AccountRow {
  readonly id: string;
  readonly balance: number;
  readonly name: string | null;
  readonly credited: number | null;
}
