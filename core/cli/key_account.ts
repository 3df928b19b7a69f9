/**
 * What the commands about keys share: the opened database, and accounts as people name and read them.
 *
 * @module
 */
import { formatAmount, parseAmount } from "../ledger/money.ts";
import { type Account, AccountStore } from "../ledger/accounts.ts";
import { type ApiKey, KeyStore } from "../store/keys.ts";
import { type Argument, UsageError } from "./arguments.ts";
import { withDatabase } from "./with_database.ts";

/** What the database of `DATABASE_URL` says of keys. */
export interface KeyDatabase {
  readonly keys: KeyStore;
  readonly accounts: AccountStore;
  /** ISO 4217 code of the accounting currency. */
  readonly currency: string;
}

/** Opens the database, and closes it when done. */
export function withKeys<Result>(
  action: (database: KeyDatabase) => Promise<Result>,
): Promise<Result> {
  return withDatabase(({ database, currency }) =>
    action({ keys: new KeyStore(database), accounts: new AccountStore(database), currency })
  );
}

/** The word that names an account. */
export const accountArgument = {
  value: "KEY|owner:NAME",
  bare: true,
  required: true,
  about: "A key's id or name as keys list shows it, or an owner",
} as const satisfies Argument;

const ownerPrefix = "owner:";

/**
 * Finds the account that a person names.
 *
 * @returns Its id, how to call it in a sentence, and the key, if it is one's.
 * @throws Error when no key, or no owner, or several keys fit.
 */
export async function findAccount(
  { keys, accounts }: KeyDatabase,
  word: string,
): Promise<{ id: string; label: string; key?: ApiKey }> {
  if (!word.startsWith(ownerPrefix)) {
    const key = await keys.named(word);
    return { id: key.id, label: `key "${key.name}" (${key.id})`, key };
  }
  const owner = word.slice(ownerPrefix.length);
  if (await accounts.read(word) === undefined) {
    throw new Error(`No key has the owner "${owner}". List the keys to see whom they belong to`);
  }
  return { id: word, label: `owner "${owner}"` };
}

/** Keeps a key itself out of messages and tables. @throws {UsageError} when the word is one. */
export function refuseSecret(word: string): void {
  if (word.startsWith("xr-")) {
    throw new UsageError("This is the key itself. Write its id or its name");
  }
}

/**
 * An amount that is written after a flag or as a word.
 *
 * @param what The flag or the word, for the message.
 * @returns Whole millionths.
 * @throws {UsageError} when it is no amount.
 */
export function readAmount(what: string, text: string): number {
  try {
    return parseAmount(text);
  } catch (error) {
    throw new UsageError(`${what}: ${(error as Error).message}`);
  }
}

/** An account in JSON; amounts are exact texts in units, such as "100.50". */
export function accountToJson(account: Account, currency: string): Record<string, unknown> {
  const { prepaid, balance, held, open, limit, used, renews, holdCap, parallel, models } = account;
  return {
    currency,
    prepaid,
    balance: formatAmount(balance),
    held: formatAmount(held),
    running: open,
    limit: limit && {
      amount: formatAmount(limit.amount),
      period: limit.period,
      used: formatAmount(used!),
      renews,
    },
    holdCap: holdCap === null ? null : formatAmount(holdCap),
    requestsPerMinute: account.requestsPerMinute,
    tokensPerMinute: account.tokensPerMinute,
    parallel,
    models,
    unsupported: account.unsupported,
    exactCount: account.exactCount,
    priority: account.priority,
  };
}

/** The columns of {@link accountCells}. */
export function accountHead(currency: string): string[] {
  return [`BALANCE (${currency})`, "HELD", "USED"];
}

/** An account in a table: its credit, what is held, and what its limit's period has used. */
export function accountCells({ prepaid, balance, held, used }: Account): string[] {
  return [
    prepaid ? formatAmount(balance) : "-",
    formatAmount(held),
    used === null ? "-" : formatAmount(used),
  ];
}

/** Every limit that is set, in a cell: `100.00/day, 60 rpm, 5 parallel, models a,b`. */
export function limitsCell(account: Account): string {
  const { limit, requestsPerMinute, tokensPerMinute, parallel, models, holdCap } = account;
  const { unsupported, exactCount, priority } = account;
  return [
    limit && `${formatAmount(limit.amount)}/${limit.period}`,
    holdCap !== null && `${formatAmount(holdCap)}/request`,
    requestsPerMinute !== null && `${requestsPerMinute} rpm`,
    tokensPerMinute !== null && `${tokensPerMinute} tpm`,
    parallel !== null && `${parallel} parallel`,
    models && `models ${models.join(",")}`,
    unsupported && `unsupported ${unsupported}`,
    exactCount !== null && `exact count ${exactCount ? "yes" : "no"}`,
    priority && `${priority} priority`,
  ].filter((each) => each).join(", ");
}

/** A moment in a table: `2026-11-22 09:30`, in UTC. */
export function shortTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}
