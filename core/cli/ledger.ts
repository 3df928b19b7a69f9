/**
 * `xrouter ledger check`: proves from the single entries that every balance and total is right.
 *
 * @module
 */
import { formatAmount } from "../ledger/money.ts";
import { checkLedger, type LedgerCheck, type Mismatch } from "../ledger/ledger_check.ts";
import { checkRules } from "../ledger/rules_check.ts";
import { migrationsFolder } from "../program.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { formatTable } from "./terminal.ts";
import { withDatabase } from "./with_database.ts";

/** `xrouter ledger check`. */
export const checkLedgerCommand = defineCommand({
  name: "ledger check",
  about: "Prove every balance, hold and daily total from the single entries; change nothing",
  arguments: { json: jsonSwitch },
  help: () => "A running server may go on. The exit code is 1 if anything does not add up.",
  async run({ json }) {
    const { check, currency } = await withDatabase(async ({ database, currency }) => {
      const rules = await checkRules(database, migrationsFolder);
      const check = await checkLedger(database);
      return { check: { ...check, mismatches: [...rules, ...check.mismatches] }, currency };
    });
    if (json) console.log(JSON.stringify(toJson(check, currency), undefined, 2));
    else print(check, currency);
    return check.mismatches.length === 0 ? 0 : 1;
  },
});

function toJson({ mismatches, ...sizes }: LedgerCheck, currency: string) {
  return {
    ok: mismatches.length === 0,
    ...sizes,
    currency,
    mismatches: mismatches.map(({ subject, what, ...rest }) => ({
      subject,
      what,
      expected: spell(rest.expected, rest.isAmount),
      found: spell(rest.found, rest.isAmount),
    })),
  };
}

function print(
  { accounts, credits, holds, requests, tries, mismatches }: LedgerCheck,
  currency: string,
): void {
  const looked =
    `accounts: ${accounts}, credits: ${credits}, holds: ${holds}, requests: ${requests}` +
    (tries === 0 ? "" : `, tries beside them: ${tries}`);
  if (mismatches.length === 0) {
    console.log(`Everything adds up (${looked})`);
    return;
  }
  console.log(formatTable(mismatches.map(toRow), head(currency)).join("\n"));
  console.error(`Numbers that do not add up: ${mismatches.length} (${looked})`);
}

function head(currency: string): string[] {
  return ["WHERE", "WHAT", `EXPECTED (${currency} OR NUMBER)`, "FOUND"];
}

function toRow({ subject, what, expected, found, isAmount }: Mismatch): string[] {
  return [subject, what, String(spell(expected, isAmount)), String(spell(found, isAmount) ?? "")];
}

/** An amount as exact text, such as "100.50"; a count as a number. */
function spell(value: number | null, isAmount: boolean): string | number | null {
  return value === null || !isAmount ? value : formatAmount(value);
}
