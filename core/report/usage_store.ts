import type { Client, InValue } from "@libsql/client";
import { setImmediate } from "node:timers/promises";
import { piecesOf } from "./usage_period.ts";
import { openColumns, rowColumns, toUsageRow, type UsageRow } from "./usage_row.ts";
import { GroupedTotals, type UsageGroup, type UsageTotal } from "./usage_totals.ts";

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

/** Days that are read at once: as many as take some milliseconds, however many keys there are. */
const pieceDays = 7;

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
   * @param limit The most groups to read, whichever they are.
   */
  async totals(
    { groupBy, limit = Number.MAX_SAFE_INTEGER, ...filter }: UsageFilter & {
      groupBy: readonly UsageGroup[];
      limit?: number;
    },
  ): Promise<UsageTotal[]> {
    const totals = new GroupedTotals(groupBy);
    for await (const period of this.#pieces(filter)) {
      const { where, args } = dailyConditions({ ...filter, ...period });
      const { rows } = await this.#client.execute({
        sql: totals.sql(where),
        args: [...args, limit],
      });
      totals.add(rows[0]!.json as string);
      if (totals.size >= limit) break;
    }
    return totals.list().slice(0, limit);
  }

  /**
   * Single requests and their tries, the newest request first; its tries stand before it.
   *
   * @param after The id of the last of them that is known already.
   * @param limit The most of them to read.
   */
  async rows(
    { after, limit, ...filter }: UsageFilter & { after?: string | undefined; limit: number },
  ): Promise<UsageRow[]> {
    const found: UsageRow[] = [];
    for await (const day of this.#days(filter)) {
      const { where, args } = rowConditions({ ...filter, from: day, to: day }, after);
      const { rows } = await this.#client.execute({
        sql: `SELECT ${rowColumns} FROM usage ${where} ORDER BY request_id DESC LIMIT ?`,
        args: [...args, limit - found.length],
      });
      found.push(...rows.map(toUsageRow));
      if (found.length === limit) break;
    }
    return found;
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

  /** The tries of a request that were paid for although their answers were not used, in order. */
  async tries(requestId: string): Promise<UsageRow[]> {
    const { rows } = await this.#client.execute({
      sql: `SELECT ${rowColumns} FROM usage
        WHERE request_id > ?1 || '.' AND request_id < ?1 || '/' AND try_of = ?1
        ORDER BY length(request_id), request_id`,
      args: [requestId],
    });
    return rows.map(toUsageRow);
  }

  /**
   * What accounts were charged by day of settlement, as their limits count it.
   *
   * @param accountIds Keys' ids, or `owner:` and the owner's name.
   */
  async spent(accountIds: readonly string[]): Promise<Map<string, Spent>> {
    const since = (day: string) => `coalesce(sum(charged) FILTER (WHERE day >= ${day}), 0)`;
    const { rows } = await this.#client.execute({
      sql: `SELECT asked.value AS id,
          ${since("date('now')")} AS today,
          ${since("date('now', '-6 days', 'weekday 1')")} AS week,
          ${since("date('now', 'start of month')")} AS month,
          coalesce(sum(charged), 0) AS ever,
          (SELECT coalesce(sum(amount), 0) FROM credits WHERE account_id = asked.value) AS credited
        FROM json_each(?) AS asked LEFT JOIN spending ON account_id = asked.value
        GROUP BY asked.value`,
      args: [JSON.stringify([...new Set(accountIds)])],
    });
    return new Map((rows as unknown as (Spent & { id: string })[]).map(
      ({ id, today, week, month, ever, credited }) => [id, { today, week, month, ever, credited }],
    ));
  }

  /**
   * The days that have such requests, the newest first: the totals know them, and what no day has is
   * looked for in none.
   */
  async *#days(filter: UsageFilter): AsyncGenerator<string> {
    for await (const period of this.#pieces(filter, true)) {
      const { where, args } = dailyConditions({ ...filter, ...period });
      const { rows } = await this.#client.execute({
        sql: `SELECT DISTINCT day FROM usage_daily ${where} ORDER BY day DESC`,
        args,
      });
      for (const { day } of rows) {
        yield day as string;
        await setImmediate();
      }
    }
  }

  /**
   * A period in pieces of some days. With a local file a query keeps the whole process waiting, so
   * that others get their turn between two of them.
   */
  async *#pieces(
    { from, to }: UsageFilter,
    newestFirst = false,
  ): AsyncGenerator<Pick<UsageFilter, "from" | "to">> {
    const { rows } = await this.#client.execute(
      "SELECT (SELECT min(day) FROM usage_daily) AS first, (SELECT max(day) FROM usage_daily) AS last",
    );
    const { first, last } = rows[0] as unknown as Record<"first" | "last", string | null>;
    const begin = from === undefined || (first !== null && first > from) ? first : from;
    const end = to === undefined || (last !== null && last < to) ? last : to;
    const pieces = begin === null || end === null || begin > end
      ? [{ from, to }]
      : piecesOf({ from: begin, to: end }, pieceDays);
    for (const [i, piece] of (newestFirst ? pieces.reverse() : pieces).entries()) {
      if (i > 0) await setImmediate();
      yield piece;
    }
  }
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
