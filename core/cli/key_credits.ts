/**
 * `xrouter keys credits`: what was put into an account and taken out of it.
 *
 * @module
 */
import type { Credit } from "../ledger/accounts.ts";
import { formatAmount } from "../ledger/money.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { accountArgument, findAccount, refuseSecret, shortTime, withKeys } from "./key_account.ts";
import { formatTable } from "./terminal.ts";

/** `xrouter keys credits`. */
export const listCredits = defineCommand({
  name: "keys credits",
  about: "List what was credited to a key or an owner, and what is left of it",
  arguments: { account: accountArgument, json: jsonSwitch },
  async run({ account: word, json }) {
    refuseSecret(word);
    await withKeys(async (database) => {
      const { accounts, currency } = database;
      const { id, label } = await findAccount(database, word);
      const credits = await accounts.credits(id);
      const { balance, held } = (await accounts.read(id))!;
      const charged = (credits.at(-1)?.total ?? 0) - balance;
      if (json) {
        const sums = Object.entries({ charged, balance, held })
          .map(([name, amount]) => [name, formatAmount(amount)]);
        const shown = { id, currency, ...Object.fromEntries(sums), credits: credits.map(toJson) };
        console.log(JSON.stringify(shown, undefined, 2));
      } else if (credits.length === 0) {
        console.error(`Nothing was ever credited to ${label}`);
      } else {
        const head = ["DATE (UTC)", `AMOUNT (${currency})`, "TOTAL", "REASON"];
        console.log(formatTable(credits.map(toRow), head).join("\n"));
        console.log(
          `\nCharged ${formatAmount(charged, currency)}. ` +
            `The balance is ${formatAmount(balance, currency)}, ${formatAmount(held)} of it held`,
        );
      }
    });
    return 0;
  },
});

function toRow({ createdAt, amount, total, reason }: Credit): string[] {
  return [shortTime(createdAt), formatAmount(amount), formatAmount(total), reason];
}

function toJson({ createdAt, amount, total, reason }: Credit): Record<string, string> {
  return {
    createdAt: new Date(createdAt).toISOString(),
    amount: formatAmount(amount),
    total: formatAmount(total),
    reason,
  };
}
