/**
 * Settling what dead processes left behind.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { costSql } from "../prices/price.ts";
import { leaseEnd } from "./hold_writer.ts";

/**
 * Holds of the processes in one JSON list, and those whose lease was over at a moment, unless their
 * process is in the other list.
 */
const left = `(process IN (SELECT value FROM json_each(?1)) OR expires_at < ?3
  AND coalesce(process NOT IN (SELECT value FROM json_each(?2)), 1))`;

/** What a hold has cost so far. */
const cost = costSql("0");

const settleSql = (try_of: string, from: string) =>
  `INSERT INTO usage (request_id, created_at, key_id, owner, tag, provider, model,
    model_asked, model_served, stream, input_tokens, output_tokens, cached_tokens, counted_tokens,
    estimated, cost, charged, currency, price_input, price_output, price_cached, state, status,
    error_code, attempts, duration_ms, try_of, charged_on)
  SELECT request_id, opened_at, key_id, owner, tag, provider, model, model_asked, model, stream,
    input_tokens, output_tokens, 0, input_tokens, 1, ${cost}, coalesce(${cost}, 0), currency,
    price_input, price_output, price_cached, 'interrupted', 500, 'internal', attempts,
    max(0, ${leaseEnd("0")} - opened_at), ${try_of}, date('now')
  FROM ${from} WHERE ${left}
  ON CONFLICT (request_id) DO NOTHING`;

const settleHolds = settleSql("NULL", "holds");

/** The tries beside those that holds name; the words that came of them are their request's. */
const settleBeside = settleSql(
  "try_of",
  `(SELECT request_id || '.' || (value ->> 'number') AS request_id, request_id AS try_of, process,
    expires_at, opened_at, key_id, owner, tag, value ->> 'provider' AS provider,
    value ->> 'model' AS model, model_asked, stream, value ->> 'input_tokens' AS input_tokens,
    0 AS output_tokens, value ->> 'currency' AS currency, value ->> 'price_input' AS price_input,
    value ->> 'price_output' AS price_output, value ->> 'price_cached' AS price_cached,
    1 AS attempts FROM holds, json_each(beside))`,
);

/**
 * Settles what is left behind, from the last checkpoint: state `interrupted`.
 *
 * @param deadIds Processes whose holds are, whatever their leases say.
 * @param livingIds Processes whose holds are not, whatever their leases say: one that was stopped
 * for a while goes on where it was.
 * @returns How many requests. Rejects when the database does.
 */
export async function settleLeftBehind(
  database: Client,
  deadIds: readonly string[],
  livingIds: readonly string[],
): Promise<number> {
  const ids = [JSON.stringify(deadIds), JSON.stringify(livingIds)];
  const some = await database.execute({
    // One moment for all statements: a lease may end between two of them.
    sql: `SELECT moment FROM holds, (SELECT ${leaseEnd("0")} AS moment)
      WHERE ${left.replace("?3", "moment")} LIMIT 1`,
    args: ids,
  });
  if (some.rows.length === 0) return 0;
  const args = [...ids, some.rows[0]!.moment as number];
  const [, settled] = await database.batch([
    // First: they are charged out of their requests' holds.
    { sql: settleBeside, args },
    { sql: settleHolds, args },
    // Settled before, while its hold was still on its way.
    {
      sql: `DELETE FROM holds WHERE ${left} AND request_id IN (SELECT request_id FROM usage)`,
      args,
    },
  ], "write");
  return settled!.rowsAffected;
}
