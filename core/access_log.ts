/**
 * The access log: one line for each exchange.
 *
 * @module
 */
import type { Log } from "./log.ts";
import type { Exchange, Outcome } from "./plugin.ts";

/** Writes who asked what of whom, and how it went. No body and no secret. */
export function logAccess(log: Log, x: Exchange, outcome: Outcome): void {
  const body = x.parsedBody;
  log.info("access", {
    requestId: x.id,
    method: "POST",
    path: x.path,
    status: outcome.status,
    state: outcome.state,
    durationMs: Math.round(outcome.durationMs),
    key: x.state.caller?.id,
    model: body?.model,
    stream: body?.stream === true,
    provider: outcome.target?.provider,
    attempts: x.attempts.length,
    error: outcome.error?.code,
  });
}
