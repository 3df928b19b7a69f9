/**
 * The answers of `GET /v1/providers/status`.
 *
 * @module
 */
import type { Catalog } from "xrouter/plugin";
import type { Circuit } from "../../core/circuits.ts";
import { faults, type HealthWindow } from "../../core/health.ts";
import type { ObservedProvider } from "./board.ts";
import type { KeptRow } from "./history.ts";
import { round, type Subject } from "./subject.ts";

/**
 * How the providers do now. An admin key also reads errors in the vendor's words, and of models that
 * only a client has named: others may have private ones.
 */
export function reportStatus(
  providers: Iterable<ObservedProvider>,
  catalog: Catalog,
  windowMs: number,
  admin: boolean,
): Record<string, unknown> {
  const data = Iterator.from(providers).map(({ whole, models, probe }) => ({
    provider: whole.provider,
    ...describe(whole, admin),
    probe: probe?.result === undefined ? null : {
      at: toTime(probe.result.at),
      ok: probe.result.ok,
      ms: round(probe.result.ms),
    },
    models: models.values()
      .filter(({ provider, model, window }) =>
        window.attempts > 0 || catalog.providers.get(provider)!.circuit(model!).state !== "closed"
      )
      .filter(({ provider, model }) =>
        admin || catalog.isListed({ provider, model: model!, facts: {} })
      )
      .map((model) => ({
        model: model.model,
        ...describe(model, admin),
        circuit: describeCircuit(catalog, model, admin),
      }))
      .toArray()
      .sort((a, b) => a.model! < b.model! ? -1 : 1),
  })).toArray();
  return { object: "list", window_seconds: windowMs / 1000, data };
}

/** Rows of the history, and where the next page begins; null at the end. */
export function reportHistory(found: readonly KeptRow[], limit: number): Record<string, unknown> {
  const rows = found.slice(0, limit);
  const data = rows.map((row) => ({
    at: toTime(row.at),
    provider: row.provider,
    model: row.model,
    account: row.account,
    status: row.status,
    changed: row.changed,
    circuit: row.circuit,
    latency_ms: toTimes(row.latencyMs, row.latencyP95Ms),
    duration_ms: toTimes(row.durationMs, row.durationP95Ms),
    attempts: row.attempts,
    errors: row.errors,
    error_rate: row.errorRate,
    error_code: row.errorCode,
    probe_ms: row.probeMs,
  }));
  return { object: "list", data, next: found.length > limit ? rows.at(-1)!.id : null };
}

function describe({ status, since, window, lastError }: Subject, admin: boolean) {
  const { attempts, errors } = window;
  return {
    status,
    since: toTime(since),
    attempts,
    errors,
    error_rate: attempts === 0 ? null : errors / attempts,
    errors_by_code: byCode(window),
    latency_ms: toTimes(round(window.firstChunkMs(0.5)), round(window.firstChunkMs(0.95))),
    duration_ms: toTimes(round(window.durationMs(0.5)), round(window.durationMs(0.95))),
    last_error: lastError === undefined ? null : {
      code: lastError.code,
      at: toTime(lastError.at),
      ...(admin && { message: lastError.message, detail: lastError.detail ?? null }),
    },
  };
}

/** How a model's circuit stands; an admin key also reads each account's. */
function describeCircuit({ providers }: Catalog, { provider, model }: Subject, admin: boolean) {
  const transport = providers.get(provider)!;
  const told = ({ state, retryAfterMs }: Pick<Circuit, "state" | "retryAfterMs">) => ({
    state,
    retry_after_ms: Math.ceil(retryAfterMs),
  });
  const overAll = told(transport.circuit(model!));
  if (!admin) return overAll;
  const accounts = transport.circuits().filter((each) => each.model === model);
  return {
    ...overAll,
    accounts: accounts.map((each) => ({ account: each.account, ...told(each) })),
  };
}

function byCode(window: HealthWindow): Record<string, number> {
  const counts = faults.map((fault) => [fault, window.errorsOf(fault)] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

function toTimes(p50: number | null, p95: number | null) {
  return p50 === null ? null : { p50, p95 };
}

function toTime(ms: number): string {
  return new Date(ms).toISOString();
}
