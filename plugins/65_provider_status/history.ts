/**
 * The history of status, in the table `provider_status`.
 *
 * @module
 */
import type { Client, InValue } from "@libsql/client";
import type { Log } from "xrouter/plugin";
import type { CircuitState } from "../../core/breaker.ts";
import { retryWhileBusy } from "../../core/store/database.ts";
import { GroupedWriter } from "../../core/store/grouped_writer.ts";
import { timeOrderedId } from "../../core/time_ordered_id.ts";
import type { Status } from "./status.ts";

/** How a provider or a model was doing at a time. Counts and times are those of the window. */
export interface StatusRow {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly provider: string;
  /** `null` for the provider as a whole. */
  readonly model: string | null;
  /** The account whose circuit began to stand so here; `null` in rows of all accounts. */
  readonly account: string | null;
  readonly status: Status;
  /** The status, or the account's circuit, began here. */
  readonly changed: boolean;
  /** How the model's circuit stands; `null` for the provider as a whole. */
  readonly circuit: CircuitState | null;
  readonly latencyMs: number | null;
  readonly latencyP95Ms: number | null;
  readonly durationMs: number | null;
  readonly durationP95Ms: number | null;
  readonly attempts: number;
  readonly errors: number;
  readonly errorRate: number | null;
  readonly errorCode: string | null;
  readonly probeMs: number | null;
}

/** A row as it is kept. */
export interface KeptRow extends StatusRow {
  readonly id: string;
}

/** Which rows to read. */
export interface HistoryQuery {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  /** Also the rows of each minute. */
  readonly snapshots: boolean;
  /** The id of the last row that is known already. */
  readonly after?: string | undefined;
  readonly limit: number;
}

const columns = "id, created_at, provider, model, status, changed, latency_ms, latency_p95_ms, " +
  "duration_ms, duration_p95_ms, attempts, errors, error_rate, error_code, probe_ms, account, circuit";
const placeholders = `(${columns.replaceAll(/\w+/g, "?")})`;

/** Rows that may wait while the database cannot be written; later ones are lost. */
const mostWaiting = 5_000;

/** Rows that are dropped at a time, so that nobody waits long for the lock. */
const dropped = 500;

/** Milliseconds that the last rows get at a stop. */
const closeMs = 2_000;

/** Writes the history off the requests' way, and reads it. */
export class StatusHistory {
  readonly #database: Client;
  readonly #log: Log;
  readonly #writer: GroupedWriter<KeptRow>;

  /** @param log Told when the history cannot be written. */
  constructor(database: Client, log: Log) {
    this.#database = database;
    this.#log = log;
    this.#writer = new GroupedWriter<KeptRow>({
      write: (rows) => this.#insert(rows),
      maxRows: 200,
      maxDelayMs: 500,
      onError: (error, pending) =>
        log.warn("the history of status cannot be written", { error: String(error), pending }),
    });
  }

  /** Takes a row; it is written later. */
  add(row: StatusRow): void {
    if (this.#writer.pending >= mostWaiting) return;
    this.#writer.add({ ...row, id: timeOrderedId(row.at) });
  }

  /** The rows from a time on, the oldest first. */
  async read(
    { since, provider, model, snapshots, after, limit }: HistoryQuery,
  ): Promise<KeptRow[]> {
    const conditions: [sql: string, value: InValue | undefined][] = [
      ["id >= ?", firstIdOf(since)],
      ["id > ?", after],
      ["provider = ?", provider],
      ["model = ?", model],
    ];
    const used = conditions.filter(([, value]) => value !== undefined);
    const where = used.map(([sql]) => sql).concat(snapshots ? [] : "changed = 1").join(" AND ");
    const { rows } = await this.#database.execute({
      sql: `SELECT ${columns} FROM provider_status WHERE ${where} ORDER BY id LIMIT ?`,
      args: [...used.map(([, value]) => value!), limit],
    });
    return rows.map((row) => ({
      id: row.id as string,
      at: row.created_at as number,
      provider: row.provider as string,
      model: row.model as string | null,
      status: row.status as Status,
      changed: row.changed === 1,
      latencyMs: row.latency_ms as number | null,
      latencyP95Ms: row.latency_p95_ms as number | null,
      durationMs: row.duration_ms as number | null,
      durationP95Ms: row.duration_p95_ms as number | null,
      attempts: row.attempts as number,
      errors: row.errors as number,
      errorRate: row.error_rate as number | null,
      errorCode: row.error_code as string | null,
      probeMs: row.probe_ms as number | null,
      account: row.account as string | null,
      circuit: row.circuit as CircuitState | null,
    }));
  }

  /** Drops rows that are older than a time, some at a time. Never rejects. */
  async dropBefore(at: number): Promise<void> {
    try {
      for (let rows = dropped; rows === dropped;) {
        const { rowsAffected } = await this.#database.execute({
          sql: `DELETE FROM provider_status WHERE id IN
            (SELECT id FROM provider_status WHERE id < ? ORDER BY id LIMIT ${dropped})`,
          args: [firstIdOf(at)],
        });
        rows = rowsAffected;
      }
    } catch (error) {
      this.#log.warn("old rows of the status cannot be dropped", { error: String(error) });
    }
  }

  /** Writes what waits. Never rejects. */
  async close(): Promise<void> {
    try {
      await this.#writer.close(closeMs);
    } catch (error) {
      this.#log.warn("the last rows of the status are lost", { error: String(error) });
    }
  }

  async #insert(rows: readonly KeptRow[]): Promise<void> {
    const args = rows.flatMap((row): InValue[] => [
      row.id,
      row.at,
      row.provider,
      row.model,
      row.status,
      row.changed ? 1 : 0,
      row.latencyMs,
      row.latencyP95Ms,
      row.durationMs,
      row.durationP95Ms,
      row.attempts,
      row.errors,
      row.errorRate,
      row.errorCode,
      row.probeMs,
      row.account,
      row.circuit,
    ]);
    // A group may come twice: an answer can be lost on its way.
    const sql = `INSERT INTO provider_status (${columns})
      VALUES ${rows.map(() => placeholders).join(", ")} ON CONFLICT (id) DO NOTHING`;
    await retryWhileBusy(() => this.#database.execute({ sql, args }), 1_000);
  }
}

/** Where the ids of a time begin: an id begins with its milliseconds (RFC 9562, version 7). */
function firstIdOf(ms: number): string {
  const digits = Math.max(0, ms).toString(16).padStart(12, "0");
  return `${digits.slice(0, 8)}-${digits.slice(8)}`;
}
