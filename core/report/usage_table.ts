/**
 * Usage as it leaves XRouter: flat tables for JSON and CSV, with amounts in units of the currency.
 *
 * @module
 */
import { toUnits, unitsOrNull } from "../ledger/money.ts";
import { type Columns, toRecords } from "./csv.ts";
import type { UsageGroup, UsageSums, UsageTotal } from "./usage_totals.ts";
import type { UsageRow } from "./usage_row.ts";
import type { UsagePeriod } from "./usage_period.ts";

/** What is known to have been spent; null where all that was used has no known price. */
export function knownCost({ cost, unpriced }: UsageSums): number | null {
  return cost === 0 && unpriced > 0 ? null : cost;
}

/** Columns of sums. */
export const sumColumns = {
  requests: (sums) => sums.requests,
  failed: (sums) => sums.failed,
  unpriced: (sums) => sums.unpriced,
  input_tokens: (sums) => sums.input_tokens,
  output_tokens: (sums) => sums.output_tokens,
  cached_tokens: (sums) => sums.cached_tokens,
  cost: (sums) => unitsOrNull(knownCost(sums)),
  charged: (sums) => toUnits(sums.charged),
} as const satisfies Columns<UsageSums>;

/** Columns of totals: what they are grouped by, then the sums. A key's name stands after its id. */
export function totalColumns(groupBy: readonly UsageGroup[]): Columns<UsageTotal> {
  const groups = groupBy.flatMap((group) => [
    [group, ({ group: by }: UsageTotal) => by[group] ?? null] as const,
    ...group === "key" ? [["key_name", ({ keyName }: UsageTotal) => keyName] as const] : [],
  ]);
  return { ...Object.fromEntries(groups), ...sumColumns };
}

/** Columns of single requests and of their tries. */
export const requestColumns = {
  id: (row) => row.requestId,
  created_at: (row) => new Date(row.createdAt).toISOString(),
  key: (row) => row.keyId,
  owner: (row) => row.owner,
  tag: (row) => row.tag,
  provider: (row) => row.provider,
  model: (row) => row.model,
  model_asked: (row) => row.modelAsked,
  model_served: (row) => row.modelServed,
  streamed: (row) => row.stream,
  input_tokens: (row) => row.inputTokens,
  output_tokens: (row) => row.outputTokens,
  cached_tokens: (row) => row.cachedTokens,
  estimated: (row) => row.estimated,
  cost: (row) => unitsOrNull(row.cost),
  charged: (row) => toUnits(row.charged),
  currency: (row) => row.currency,
  price_input: (row) => unitsOrNull(row.price?.input ?? null),
  price_output: (row) => unitsOrNull(row.price?.output ?? null),
  price_cached: (row) => unitsOrNull(row.price?.cached ?? null),
  state: (row) => row.state,
  status: (row) => row.status,
  error_code: (row) => row.errorCode,
  attempts: (row) => row.attempts,
  duration_ms: (row) => row.durationMs,
  first_token_ms: (row) => row.firstTokenMs,
  try_of: (row) => row.tryOf,
} as const satisfies Columns<UsageRow>;

/** The sums of all totals. */
export function sumOf(totals: readonly UsageSums[]): UsageSums {
  const names = Object.keys(sumColumns) as (keyof UsageSums)[];
  return Object.fromEntries(
    names.map((name) => [name, totals.reduce((sum, total) => sum + total[name], 0)]),
  ) as UsageSums;
}

/** Totals as `GET /v1/usage` and `xrouter usage --json` show them. */
export function listTotals(
  totals: readonly UsageTotal[],
  groupBy: readonly UsageGroup[],
  { from, to }: UsagePeriod,
  currency: string,
): Record<string, unknown> {
  const [sum] = toRecords(sumColumns, [sumOf(totals)]);
  const data = toRecords(totalColumns(groupBy), totals);
  return { object: "list", from, to, totals: sum, data, currency };
}
