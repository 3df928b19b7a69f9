/**
 * Settling what dead processes left behind.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { costSql } from "../prices/price.ts";
import { leaseEnd } from "./hold_writer.ts";

/** Holds of the processes in a JSON list, and all whose lease is over. */
const left = `(expires_at < ${leaseEnd("0")} OR process IN (SELECT value FROM json_each(?)))`;

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
 * @returns How many requests. Rejects when the database does.
 */
export async function settleLeftBehind(
  database: Client,
  deadIds: readonly string[],
): Promise<number> {
  const args = [JSON.stringify(deadIds)];
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
