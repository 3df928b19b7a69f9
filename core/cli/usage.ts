/**
 * `xrouter usage`: what keys and owners used, by day, model and more.
 *
 * @module
 */
import { toCsv } from "../report/csv.ts";
import { formatAmount } from "../ledger/money.ts";
import { AccountStore } from "../ledger/accounts.ts";
import { KeyStore } from "../store/keys.ts";
import { UsageStore } from "../report/usage_store.ts";
import {
  type UsageGroup,
  usageGroups,
  type UsageSums,
  type UsageTotal,
} from "../report/usage_totals.ts";
import { daySchema } from "../prices/tariff.ts";
import { type UsagePeriod, usagePeriod } from "../report/usage_period.ts";
import { knownCost, listTotals, sumOf, totalColumns } from "../report/usage_table.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import { refuseSecret } from "./key_account.ts";
import { formatTable } from "./terminal.ts";
import { withDatabase } from "./with_database.ts";

/** `xrouter usage`. */
export const showUsage = defineCommand({
  name: "usage",
  about: "Show requests, tokens and costs of this month, or of other days",
  arguments: {
    key: { value: "ID-OR-NAME", about: "Of one key only" },
    owner: { value: "NAME", about: "Of one owner's keys only" },
    from: { value: "DAY", about: "First day, such as 2026-11-01, in UTC; else that of the month" },
    to: { value: "DAY", about: "Last day, included; else today" },
    by: { value: "GROUPS", about: `One or several of ${usageGroups.join(",")}; else day` },
    csv: { about: "Print comma-separated values" },
    json: jsonSwitch,
  },
  help: () => "JSON and CSV have the names and numbers of GET /v1/usage.",
  async run({ key, owner, by, csv, json, ...days }) {
    if (csv && json) throw new UsageError("Choose --csv or --json");
    if (key !== undefined) refuseSecret(key);
    const period = readPeriod(days);
    const groupBy = readGroups(by ?? "day");
    const { totals, currency } = await withDatabase(async ({ database, currency }) => {
      const keyId = key === undefined ? undefined : (await new KeyStore(database).named(key)).id;
      if (owner !== undefined) await checkOwner(new AccountStore(database), owner);
      const usage = new UsageStore(database);
      return { totals: await usage.totals({ keyId, owner, ...period, groupBy }), currency };
    });
    if (json) {
      console.log(JSON.stringify(listTotals(totals, groupBy, period, currency), undefined, 2));
    } else if (csv) {
      // The last line has its end already, of which console.log writes the second half.
      console.log(toCsv(totalColumns(groupBy), totals).slice(0, -1));
    } else print(totals, groupBy, period, currency);
    return 0;
  },
});

async function checkOwner(accounts: AccountStore, owner: string): Promise<void> {
  if (await accounts.read(`owner:${owner}`) !== undefined) return;
  throw new Error(`No key has the owner "${owner}". List the keys to see whom they belong to`);
}

function readPeriod(days: { from: string | undefined; to: string | undefined }): UsagePeriod {
  for (const [name, text] of Object.entries(days)) {
    if (text === undefined || daySchema.safeParse(text).success) continue;
    throw new UsageError(`--${name} must be a day such as 2026-11-30, not "${text}"`);
  }
  const period = usagePeriod(days, Date.now());
  if (period.from > period.to) {
    throw new UsageError(`--from must not be after --to, which is ${period.to}`);
  }
  return period;
}

function readGroups(text: string): UsageGroup[] {
  const words = new Set(text.split(",").map((word) => word.trim()));
  return [...words].map((word) => {
    const group = usageGroups.find((each) => each === word);
    if (group !== undefined) return group;
    throw new UsageError(`--by must be one or several of ${usageGroups.join(",")}, not "${word}"`);
  });
}

function print(
  totals: readonly UsageTotal[],
  groupBy: readonly UsageGroup[],
  { from, to }: UsagePeriod,
  currency: string,
): void {
  if (totals.length === 0) {
    console.error(`Nothing was used from ${from} to ${to}`);
    return;
  }
  const sum = sumOf(totals);
  const columns = columnsFor(sum, currency);
  const head = [...groupBy, ...columns.map(({ name }) => name)].map((name) => name.toUpperCase());
  const cells = (sums: UsageSums) => columns.map(({ show }) => show(sums));
  const rows = totals.map((total) => [
    ...groupBy.map((group) => group === "key" ? keyOf(total) : total.group[group] ?? ""),
    ...cells(total),
  ]);
  const last = ["Total", ...groupBy.slice(1).map(() => " "), ...cells(sum)];
  console.log(formatTable([...rows, last], head).join("\n"));
}

function keyOf({ group, keyName }: UsageTotal): string {
  return keyName === null ? group.key ?? "" : `${keyName} (${group.key})`;
}

function costOf(sums: UsageSums): string {
  const cost = knownCost(sums);
  return cost === null ? "-" : formatAmount(cost);
}

/** Columns of sums; those that are rarely needed only where they say something. */
function columnsFor(sum: UsageSums, currency: string) {
  const loss = ({ cost, charged }: UsageSums) => cost - charged;
  return [
    { name: "requests", show: (sums: UsageSums) => String(sums.requests) },
    { name: "failed", show: (sums: UsageSums) => String(sums.failed) },
    ...sum.unpriced > 0
      ? [{ name: "unpriced", show: (sums: UsageSums) => String(sums.unpriced) }]
      : [],
    { name: "input", show: (sums: UsageSums) => String(sums.input_tokens) },
    { name: "cached", show: (sums: UsageSums) => String(sums.cached_tokens) },
    { name: "output", show: (sums: UsageSums) => String(sums.output_tokens) },
    { name: `cost (${currency})`, show: costOf },
    ...loss(sum) > 0 ? [{ name: "loss", show: (sums: UsageSums) => formatAmount(loss(sums)) }] : [],
  ];
}
