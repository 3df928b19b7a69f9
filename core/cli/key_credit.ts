/**
 * `xrouter keys credit`: puts money into an account, or takes it out.
 *
 * @module
 */
import { formatAmount } from "../ledger/money.ts";
import type { ApiKey } from "../store/keys.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import {
  accountArgument,
  findAccount,
  readAmount,
  refuseSecret,
  shortTime,
  withKeys,
} from "./key_account.ts";

/** `xrouter keys credit`. */
export const creditKey = defineCommand({
  name: "keys credit",
  about: "Put credit into the account of a key or an owner; -AMOUNT takes out",
  arguments: {
    account: accountArgument,
    amount: { value: "AMOUNT", bare: true, required: true, about: "100, 100.50 or -5" },
    reason: { value: "TEXT", about: "What the entry says" },
    json: jsonSwitch,
  },
  help: () => "The first credit makes an account prepaid: from then on it spends nothing beyond.",
  async run({ account: word, amount: text, reason, json }) {
    refuseSecret(word);
    const amount = readAmount("AMOUNT", text);
    if (amount === 0) throw new UsageError("AMOUNT must not be 0");
    await withKeys(async (database) => {
      const { currency } = database;
      const { id, label, key } = await findAccount(database, word);
      if (amount > 0 && key !== undefined) refuseUnable(key, label);
      const why = reason ?? (amount > 0 ? "credit" : "withdrawal");
      const balance = await database.accounts.credit(id, amount, why);
      if (json) {
        const entry = {
          id,
          currency,
          amount: formatAmount(amount),
          reason: why,
          balance: formatAmount(balance),
        };
        console.log(JSON.stringify(entry, undefined, 2));
      } else {
        const done = amount > 0
          ? `Credited ${formatAmount(amount, currency)} to ${label}`
          : `Took ${formatAmount(-amount, currency)} out of ${label}`;
        console.log(`${done}. The balance is ${formatAmount(balance, currency)}`);
      }
    });
    return 0;
  },
});

/** @throws Error where the key could spend nothing of a credit. */
function refuseUnable({ admin, active, expiresAt }: ApiKey, label: string): void {
  if (admin) throw new Error(`Cannot credit ${label}: an admin key calls no model. Credit another`);
  const expired = expiresAt !== null && expiresAt <= Date.now();
  if (active && !expired) return;
  const end = active ? `it expired at ${shortTime(expiresAt!)} UTC` : "it is revoked";
  throw new Error(`Cannot credit ${label}: ${end}. Make another key with --credit`);
}
