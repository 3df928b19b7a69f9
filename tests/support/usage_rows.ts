/**
 * Rows of usage and holds that a test writes by hand; the database's triggers do their part.
 *
 * @module
 */
import type { Client, InValue } from "@libsql/client";
import { timeOrderedId } from "../../core/time_ordered_id.ts";

/** Columns of a row; those that are left out get a usual value. */
export type Written = Readonly<Record<string, InValue>> & { readonly created_at?: number };

/** Writes a settled request, at a price that makes it cost what it costs. @returns Its id. */
export async function addUsage(client: Client, written: Written = {}): Promise<string> {
  const now = written.created_at ?? Date.now();
  const cost = written.cost === undefined ? 100 : written.cost;
  const { input_tokens = 10, output_tokens = 5 } = written;
  return await insert(client, "usage", {
    request_id: timeOrderedId(now),
    created_at: now,
    provider: "echo",
    model: "echo",
    model_asked: "echo",
    model_served: "echo",
    stream: 0,
    input_tokens,
    output_tokens,
    cached_tokens: 0,
    counted_tokens: 10,
    estimated: 0,
    cost,
    charged: cost ?? 0,
    currency: "RUB",
    ...cost !== null && output_tokens !== null && {
      price_input: 0,
      price_output: Math.round(Number(cost) * 1_000_000 / Number(output_tokens)),
      price_cached: 0,
    },
    state: "completed",
    status: 200,
    attempts: 1,
    duration_ms: 20,
    first_token_ms: 10,
    ...written,
  });
}

/** Writes a request that is under way. @returns Its id. */
export async function addHold(client: Client, written: Written = {}): Promise<string> {
  const { created_at: now = Date.now(), ...rest } = written;
  return await insert(client, "holds", {
    request_id: timeOrderedId(now),
    amount: 100,
    opened_at: now,
    expires_at: now + 60_000,
    provider: "echo",
    model: "echo",
    model_asked: "echo",
    stream: 1,
    input_tokens: 10,
    currency: "RUB",
    ...rest,
  });
}

async function insert(
  client: Client,
  table: string,
  row: Readonly<Record<string, InValue>> & { readonly request_id: string },
): Promise<string> {
  const names = Object.keys(row);
  await client.execute({
    sql: `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
    args: Object.values(row),
  });
  return row.request_id;
}
