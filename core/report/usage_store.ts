import type { Client, InValue } from "@libsql/client";
import { openColumns, rowColumns, toUsageRow, type UsageRow } from "./usage_row.ts";

/** By what totals can be grouped. */
export const usageGroups = ["day", "key", "owner", "provider", "model", "tag"] as const;

/** By what totals can be grouped: `key` is its id, `owner` the key's, `model` the provider's id. */
export type UsageGroup = typeof usageGroups[number];

/** Which requests are asked for: all conditions together; what is absent is no condition. */
export interface UsageFilter {
  readonly keyId?: string | undefined;
  readonly owner?: string | undefined;
  /** First day of the requests' arrival in UTC, `2026-11-22`. */
  readonly from?: string | undefined;
  /** Last day of it, included. */
  readonly to?: string | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly tag?: string | undefined;
}

const counts = [
  "requests",
  "failed",
  "unpriced",
  "input_tokens",
  "output_tokens",
  "cached_tokens",
  "cost",
  "charged",
] as const;

/**
 * Sums over requests, by column of `usage_daily`: `failed` of them were not completed, `unpriced`
 * of them used tokens without a known price. Amounts are millionths of the accounting currency.
 */
export type UsageSums = Readonly<Record<typeof counts[number], number>>;

/** Sums of one group. */
export interface UsageTotal extends UsageSums {
  /** Only what was grouped by; null: requests that have none. */
  readonly group: Readonly<Partial<Record<UsageGroup, string | null>>>;
  /** The name of the key, where it was grouped by. */
  readonly keyName: string | null;
}

/** What an account was charged, in millionths of the accounting currency; periods are of UTC. */
export interface Spent {
  readonly today: number;
  /** Since Monday. */
  readonly week: number;
  readonly month: number;
  readonly ever: number;
  /** What was put into it, less what was taken out. */
  readonly credited: number;
}

const sums = counts.map((name) => `coalesce(sum(${name}), 0) AS ${name}`).join(", ");

/** Reads what was used. Every method rejects when the database does. */
export class UsageStore {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Sums by group, in order of the groups; without a group one total of everything. Requests count
   * for the day of their arrival.
   *
   * @param limit The most groups to read.
   */
  async totals(
    { groupBy, limit, ...filter }: UsageFilter & {
      groupBy: readonly UsageGroup[];
      limit?: number;
    },
  ): Promise<UsageTotal[]> {
    const { where, args } = dailyConditions(filter);
    const column = (group: UsageGroup) => group === "key" ? "key_id" : group;
    const stored = new Set(groupBy.map((each) => each === "owner" ? "key_id" : column(each)));
    const daily = grouped([...stored], `FROM usage_daily ${where}`);
    // Summed by key first: keys are fewer than rows to be joined.
    const sql = groupBy.includes("key") || groupBy.includes("owner")
      ? grouped(
        groupBy.map(column),
        `FROM (${daily}) LEFT JOIN api_keys ON api_keys.id = key_id`,
        groupBy.includes("key") ? "api_keys.name, " : "",
      )
      : daily;
    const { rows } = await this.#client.execute({
      sql: limit === undefined ? sql : `${sql} LIMIT ?`,
      args: limit === undefined ? args : [...args, limit],
    });
    return rows.map((row) => ({
      group: Object.fromEntries(groupBy.map((group) => [group, row[column(group)] || null])),
      keyName: row.name as string | null ?? null,
      ...Object.fromEntries(counts.map((name) => [name, row[name]])) as UsageSums,
    }));
  }

  /**
   * Single requests, the newest first.
   *
   * @param after The id of the last request that is known already.
   * @param limit The most requests to read.
   */
  async rows(
    { after, limit, ...filter }: UsageFilter & { after?: string | undefined; limit: number },
  ): Promise<UsageRow[]> {
    const { where, args } = rowConditions(filter, after);
    const { rows } = await this.#client.execute({
      sql: `SELECT ${rowColumns} FROM usage ${where} ORDER BY request_id DESC LIMIT ?`,
      args: [...args, limit],
    });
    return rows.map(toUsageRow);
  }

  /** One request, also while it is under way: then its tokens are those counted so far. */
  async one(requestId: string): Promise<UsageRow | undefined> {
    const { rows } = await this.#client.execute({
      sql: `SELECT ${rowColumns} FROM usage WHERE request_id = ?1
        UNION ALL SELECT ${openColumns} FROM holds WHERE request_id = ?1`,
      args: [requestId],
    });
    return rows[0] && toUsageRow(rows[0]);
  }

  /**
   * What an account was charged by day of settlement, as its limits count it.
   *
   * @param accountId A key's id, or `owner:` and the owner's name.
   */
  async spent(accountId: string): Promise<Spent> {
    const since = (day: string) => `coalesce(sum(charged) FILTER (WHERE day >= ${day}), 0)`;
    const { rows } = await this.#client.execute({
      sql: `SELECT
          ${since("date('now')")} AS today,
          ${since("date('now', '-6 days', 'weekday 1')")} AS week,
          ${since("date('now', 'start of month')")} AS month,
          coalesce(sum(charged), 0) AS ever,
          (SELECT coalesce(sum(amount), 0) FROM credits WHERE account_id = ?1) AS credited
        FROM spending WHERE account_id = ?1`,
      args: [accountId],
    });
    const { today, week, month, ever, credited } = rows[0]! as unknown as Spent;
    return { today, week, month, ever, credited };
  }
}

/** A sum by some columns, in their order. */
function grouped(columns: readonly string[], from: string, beside = ""): string {
  const by = columns.join(", ");
  return columns.length === 0
    ? `SELECT ${sums} ${from}`
    : `SELECT ${by}, ${beside}${sums} ${from} GROUP BY ${by} ORDER BY ${by}`;
}

interface Conditions {
  where: string;
  args: InValue[];
}

function all(conditions: readonly [sql: string, value: InValue | undefined][]): Conditions {
  const used = conditions.filter(([, value]) => value !== undefined);
  return {
    where: used.length === 0 ? "" : `WHERE ${used.map(([sql]) => sql).join(" AND ")}`,
    args: used.map(([, value]) => value!),
  };
}

const ofOwner = "key_id IN (SELECT id FROM api_keys WHERE owner = ?)";

function dailyConditions({ keyId, owner, from, to, provider, model, tag }: UsageFilter) {
  return all([
    ["key_id = ?", keyId],
    [ofOwner, owner],
    ["day >= ?", from],
    ["day <= ?", to],
    ["provider = ?", provider],
    ["model = ?", model],
    ["tag = ?", tag],
  ]);
}

function rowConditions(
  { keyId, owner, from, to, provider, model, tag }: UsageFilter,
  after: string | undefined,
) {
  return all([
    ["key_id = ?", keyId],
    [ofOwner, owner],
    ["request_id >= ?", from && firstIdOf(from, 0)],
    ["request_id < ?", to && firstIdOf(to, 1)],
    ["request_id < ?", after],
    ["provider = ?", provider],
    ["model = ?", model],
    ["tag = ?", tag],
  ]);
}

const dayMs = 86_400_000;

/**
 * Where the request ids of a day begin. An id begins with the milliseconds of its request's arrival
 * (RFC 9562, version 7), so that a period is found in the ids without reading the rows.
 */
function firstIdOf(day: string, daysLater: number): string {
  const ms = Date.parse(day) + daysLater * dayMs;
  const digits = Math.max(0, ms).toString(16).padStart(12, "0");
  return `${digits.slice(0, 8)}-${digits.slice(8)}`;
}
