/**
 * Settling what dead processes left behind.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { costSql } from "../prices/price.ts";
import { leaseEnd } from "./hold_writer.ts";

/**
 * Holds of the processes in one JSON list, and those whose lease is over, unless their process is in
 * the other list.
 */
const left = `(process IN (SELECT value FROM json_each(?1)) OR expires_at < ${leaseEnd("0")}
  AND coalesce(process NOT IN (SELECT value FROM json_each(?2)), 1))`;

/** What a hold has cost so far. */
const cost = costSql("0");

const settleSql = `INSERT INTO usage (request_id, created_at, key_id, owner, tag, provider, model,
    model_asked, model_served, stream, input_tokens, output_tokens, cached_tokens, counted_tokens,
    estimated, cost, charged, currency, price_input, price_output, price_cached, state, status,
    error_code, attempts, duration_ms)
  SELECT request_id, opened_at, key_id, owner, tag, provider, model, model_asked, model, stream,
    input_tokens, output_tokens, 0, input_tokens, 1, ${cost}, coalesce(${cost}, 0), currency,
    price_input, price_output, price_cached, 'interrupted', 500, 'internal', attempts,
    max(0, ${leaseEnd("0")} - opened_at)
  FROM holds WHERE ${left}
  ON CONFLICT (request_id) DO NOTHING`;

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
  const args = [JSON.stringify(deadIds), JSON.stringify(livingIds)];
  const some = await database.execute({ sql: `SELECT 1 FROM holds WHERE ${left} LIMIT 1`, args });
  if (some.rows.length === 0) return 0;
  const [settled] = await database.batch([
    { sql: settleSql, args },
    // Settled before, while its hold was still on its way.
    {
      sql: `DELETE FROM holds WHERE ${left} AND request_id IN (SELECT request_id FROM usage)`,
      args,
    },
  ], "write");
  return settled!.rowsAffected;
}
