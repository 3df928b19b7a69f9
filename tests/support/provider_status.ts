/**
 * A board of providers without a server, and answers of `GET /v1/providers/status`.
 *
 * @module
 */
import type { Catalog } from "../../core/catalog.ts";
import type { RouterError } from "../../core/errors.ts";
import type { Attempt, Exchange, Outcome, Target } from "../../core/plugin.ts";
import { StatusBoard } from "../../plugins/65_provider_status/board.ts";
import type { StatusRow } from "../../plugins/65_provider_status/history.ts";
import { attempt, exchange } from "./metrics.ts";
import type { TestRouter } from "./router.ts";
import { get } from "./usage_client.ts";

/** A board with a window of five minutes, and the rows that it has written. */
export function startBoard(catalog: Catalog, probeMs = 0) {
  const rows: StatusRow[] = [];
  const board = new StatusBoard({
    catalog,
    windowMs: 300_000,
    probeMs,
    minAttempts: 5,
    degradedRate: 0.1,
    downRate: 0.5,
    write: (row) => rows.push(row),
  });
  return { board, rows };
}

/** A try that has just ended. */
export function ended(target: Target, error?: RouterError, rest: Partial<Attempt> = {}): Attempt {
  const startedTick = performance.now() - 100;
  return { ...attempt(target, error), startedTick, firstChunkMs: 40, durationMs: 100, ...rest };
}

/** An exchange of some tries, and how it ended. */
export function tried(
  attempts: Attempt[],
  state: Outcome["state"] = "completed",
): [Exchange, Outcome] {
  return [{ ...exchange(), attempts }, { state, status: 200, durationMs: 100 }];
}

/** What a key is told of a provider. */
export async function statusOf(router: TestRouter, provider: string, secret = router.secret) {
  const { data } = await get(router, "providers/status", { secret });
  return data.find((each: { provider: string }) => each.provider === provider);
}

/** Asks for a provider's status until it is as expected: records come after the answers. */
export async function untilStatus(
  router: TestRouter,
  provider: string,
  // deno-lint-ignore no-explicit-any
  expected: (status: any) => boolean,
) {
  for (;;) {
    const status = await statusOf(router, provider);
    if (expected(status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
