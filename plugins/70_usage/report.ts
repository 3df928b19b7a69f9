/**
 * The answer of `GET /v1/usage`.
 *
 * @module
 */
import { RouterError } from "xrouter/plugin";
import { toCsv, toRecords } from "../../core/report/csv.ts";
import type { UsageStore } from "../../core/report/usage_store.ts";
import { listTotals, requestColumns, totalColumns } from "../../core/report/usage_table.ts";
import type { OwnFilter, UsageQuery } from "./query.ts";

/** The most groups of one answer: as many as are written in some tens of milliseconds. */
const mostGroups = 10_000;

const standardLimit = 100;

/** A report: lines of CSV, or an object for JSON. */
export type Report =
  | { readonly csv: string; readonly next?: string | null }
  | { readonly json: Record<string, unknown> };

/**
 * Totals by group.
 *
 * @throws {RouterError} `invalid_request` when there are too many groups.
 */
export async function reportTotals(
  usage: UsageStore,
  filter: OwnFilter,
  { group_by: groupBy = ["day"], format }: UsageQuery,
  currency: string,
): Promise<Report> {
  const totals = await usage.totals({ ...filter, groupBy, limit: mostGroups + 1 });
  if (totals.length > mostGroups) {
    throw new RouterError(
      "invalid_request",
      `"group_by" makes more than ${mostGroups} groups. Group by less, or ask for fewer days with ` +
        '"from" and "to"',
      { param: "group_by" },
    );
  }
  return format === "csv"
    ? { csv: toCsv(totalColumns(groupBy), totals) }
    : { json: listTotals(totals, groupBy, filter, currency) };
}

/** Single requests, the newest first; `next` is where the next page begins, null at the end. */
export async function reportRequests(
  usage: UsageStore,
  filter: OwnFilter,
  { after, limit = standardLimit, format }: UsageQuery,
  currency: string,
): Promise<Report> {
  const found = await usage.rows({ ...filter, after, limit: limit + 1 });
  const rows = found.slice(0, limit);
  const next = found.length > limit ? rows.at(-1)!.requestId : null;
  if (format === "csv") return { csv: toCsv(requestColumns, rows), next };
  const { from, to } = filter;
  const data = toRecords(requestColumns, rows);
  return { json: { object: "list", from, to, data, next, currency } };
}
