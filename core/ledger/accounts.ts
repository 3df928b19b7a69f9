import { type Client, LibsqlError, type Row } from "@libsql/client";
import { formatAmount } from "./money.ts";
import { timeOrderedId } from "../time_ordered_id.ts";
import { retryWhileBusy } from "../store/database.ts";
import {
  type LimitChanges,
  type Limits,
  type SpendingLimit,
  toColumns,
  toLimits,
} from "./limits.ts";

/** The account of a key or of an owner. Amounts are millionths of the accounting currency. */
export interface Account extends Limits {
  /** The key's id, or `owner:` and the owner's name. */
  readonly id: string;
  /** Below 0: owed, where the account is not prepaid. */
  readonly balance: number;
  /** Set aside for running requests. */
  readonly held: number;
  /** How many requests hold it. */
  readonly open: number;
  /** Requests at a time. */
  readonly parallel: number | null;
  readonly limit: SpendingLimit | null;
  /** First day of the limit's running period, `2026-11-22`; null without a limit. */
  readonly periodStart: string | null;
  /** First day of the next period. */
  readonly renews: string | null;
  /** Spent in the running period. */
  readonly used: number | null;
}

/** What was put into an account, or taken out of it. */
export interface Credit {
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Millionths of the accounting currency; below 0: taken out. */
  readonly amount: number;
  readonly reason: string;
  /** The sum of all until this one, with it. */
  readonly total: number;
}

/** Sums over accounts, in millionths of the accounting currency. */
export interface AccountSums {
  /** What was put in, less what was taken out. */
  readonly credited: number;
  readonly charged: number;
  /** Set aside for running requests. */
  readonly held: number;
  /** What is left of credit; null where none is prepaid. */
  readonly left: number | null;
}

/** What the first credit of an account squares, so that what was spent before is not owed. */
const openingReason = "opening: what was spent before credit was needed";

/** The accounts of keys and owners. Every method rejects when the database does. */
export class AccountStore {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The account with this id: a key's id, or `owner:` and an owner's name. */
  async read(id: string): Promise<Account | undefined> {
    const { rows } = await this.#client.execute(selectAccount(id));
    return rows[0] && toAccount(rows[0]);
  }

  /** Every account, in order of ids; of those that are named, where they are. */
  async list(ids?: readonly string[]): Promise<Account[]> {
    const { rows } = await this.#client.execute({
      sql: `SELECT * FROM account_room
        ${ids === undefined ? "" : "WHERE id IN (SELECT value FROM json_each(?))"} ORDER BY id`,
      args: ids === undefined ? [] : [JSON.stringify(ids)],
    });
    return rows.map(toAccount);
  }

  /** The sums over the accounts of all keys, or of all owners; revoked and expired keys' too. */
  async sums(of: "keys" | "owners"): Promise<AccountSums> {
    const { rows } = await this.#client.execute({
      sql: `SELECT coalesce(sum(given), 0) AS credited, coalesce(sum(held), 0) AS held,
          coalesce(sum(coalesce(given, 0) - balance), 0) AS charged,
          sum(balance - held) FILTER (WHERE prepaid = 1) AS "left"
        FROM accounts LEFT JOIN (
          SELECT account_id, sum(amount) AS given FROM credits GROUP BY account_id
        ) ON account_id = id
        WHERE (id LIKE 'owner:%') = ?`,
      args: [of === "owners"],
    });
    const { credited, charged, held, left } = rows[0] as unknown as AccountSums;
    return { credited, charged, held, left };
  }

  /** The credits of an account, the oldest first. */
  async credits(id: string): Promise<Credit[]> {
    const { rows } = await this.#client.execute({
      sql: `SELECT created_at, amount, reason, sum(amount) OVER (ORDER BY id) AS total
        FROM credits WHERE account_id = ? ORDER BY id`,
      args: [id],
    });
    return rows.map((row) => ({
      createdAt: row.created_at as number,
      amount: row.amount as number,
      reason: row.reason as string,
      total: row.total as number,
    }));
  }

  /**
   * Sets or removes limits, all of them or none.
   *
   * @returns The account afterwards.
   * @throws Error naming the limit that is wrong, or when there is no such account
   */
  async setLimits(id: string, changes: LimitChanges): Promise<Account> {
    const columns = toColumns(changes);
    const names = Object.keys(columns);
    const update = {
      sql: `UPDATE accounts SET ${names.map((name) => `${name} = ?`).join(", ")} WHERE id = ?`,
      args: [...Object.values(columns), id],
    };
    const statements = [...names.length > 0 ? [update] : [], selectAccount(id)];
    const results = await retryWhileBusy(() => this.#client.batch(statements, "write"));
    const row = results.at(-1)!.rows[0];
    if (row === undefined) throw noAccount(id);
    return toAccount(row);
  }

  /**
   * Puts credit into an account; the first makes it prepaid, with a balance of this amount alone.
   *
   * @param amount Whole millionths of the accounting currency; below 0 they are taken out.
   * @param reason What the entry says for people.
   * @returns The new balance.
   * @throws Error when there is no such account; when it is not prepaid, or has too little that is
   * not held, to take this out; when the balance would be too large to be exact
   */
  async credit(id: string, amount: number, reason: string): Promise<number> {
    if (!Number.isSafeInteger(amount) || amount === 0) {
      throw new Error(`Credit must be whole millionths other than 0, not ${amount}`);
    }
    if (reason.trim() === "") throw new Error("Credit needs a reason that people can read");
    const now = Date.now();
    const [openingId, entryId] = [timeOrderedId(now), timeOrderedId(now)].sort();
    const columns = "INSERT INTO credits (id, account_id, created_at, amount, reason)";
    const opening = {
      sql: `${columns} SELECT ?, id, ?, -balance, ? FROM accounts
        WHERE id = ? AND prepaid = 0 AND balance <> 0`,
      args: [openingId!, now, openingReason, id],
    };
    const entry = {
      sql: `${columns} SELECT ?1, id, ?2, ?3, ?4 FROM accounts
        WHERE id = ?5 AND (prepaid = 1 OR ?3 > 0) AND balance + ?3 <= ?6`,
      args: [entryId!, now, amount, reason, id, Number.MAX_SAFE_INTEGER],
    };
    // After the entry: until then what runs may hold more than the balance.
    const prepaid = {
      sql: "UPDATE accounts SET prepaid = 1 WHERE id = ? AND prepaid = 0",
      args: [id],
    };
    const steps = amount > 0 ? [opening, entry, prepaid] : [entry];
    try {
      const results = await retryWhileBusy(() =>
        this.#client.batch([...steps, selectAccount(id)], "write")
      );
      if (results[steps.indexOf(entry)]!.rowsAffected === 1) {
        return results.at(-1)!.rows[0]!.balance as number;
      }
    } catch (error) {
      const refused = error instanceof LibsqlError && /CHECK constraint/.test(error.message);
      if (!refused) throw error;
    }
    const account = await this.read(id);
    const fits = account !== undefined && account.balance + amount <= Number.MAX_SAFE_INTEGER;
    // Another credit came between: what stood in the way does no more.
    if (amount > 0 && account?.prepaid && fits) return await this.credit(id, amount, reason);
    throw refusal(id, amount, account);
  }
}

function selectAccount(id: string) {
  return { sql: "SELECT * FROM account_room WHERE id = ?", args: [id] };
}

function noAccount(id: string): Error {
  return new Error(`There is no account "${id}". Making a key opens its account and its owner's`);
}

/** Why an account does not take a credit. */
function refusal(id: string, amount: number, account: Account | undefined): Error {
  if (account === undefined) return noAccount(id);
  const { prepaid, balance, held } = account;
  const now = `its balance is ${formatAmount(balance)}, and ${formatAmount(held)} is held`;
  if (amount > 0 && prepaid) {
    return new Error(
      `Cannot credit ${formatAmount(amount)} to "${id}": ${now}, and the sum is too large to be ` +
        `counted exactly. Credit at most ${formatAmount(Number.MAX_SAFE_INTEGER - balance)}`,
    );
  }
  if (amount > 0) {
    return new Error(
      `Cannot make "${id}" prepaid with ${formatAmount(amount)}: running requests hold ` +
        `${formatAmount(held)}. Credit at least that, or wait until they are over`,
    );
  }
  if (!prepaid) {
    return new Error(
      `Cannot take ${formatAmount(-amount)} out of "${id}": it is not prepaid, nothing was ever ` +
        "credited to it. Credit it first",
    );
  }
  return new Error(
    `Cannot take ${formatAmount(-amount)} out of "${id}": ${now} for running requests. ` +
      `Take out at most ${formatAmount(balance - held)}${
        held > 0 ? ", or wait until they are over" : ""
      }`,
  );
}

function toAccount(row: Row): Account {
  const period = row.limit_period as SpendingLimit["period"] | null;
  return {
    id: row.id as string,
    ...toLimits(row),
    balance: row.balance as number,
    held: row.held as number,
    open: row.open as number,
    parallel: row.parallel as number | null,
    limit: period && { amount: row.limit_amount as number, period },
    periodStart: row.period_start as string | null,
    renews: row.renews as string | null,
    used: row.used as number | null,
  };
}
