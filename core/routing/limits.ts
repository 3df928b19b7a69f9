/**
 * The limits of a request: those of the settings, and what a route says instead.
 *
 * @module
 */
import { z } from "zod";
import type { CheckedPlugin } from "../pipeline.ts";
import type { Route } from "../plugin.ts";
import { setting, wholeNumber } from "../settings.ts";
import type { RouteTable } from "./routes.ts";

/** Milliseconds that any limit may have: a day. A timer takes no more than 24 of them. */
export const mostMs = 86_400_000;

/** What is said of a limit above {@linkcode mostMs}. */
export const aboveMostMs = `must be at most ${mostMs} milliseconds, a day`;

const milliseconds = wholeNumber(1).max(mostMs, { error: aboveMostMs });

/** The settings of requests that no route limits otherwise. */
export const routeSettings = z.strictObject({
  attempts: setting(
    "XROUTER_ATTEMPTS",
    wholeNumber(1).default(4),
    "Tries over all targets of a request together",
  ),
  retries: setting(
    "XROUTER_RETRIES",
    wholeNumber(0).default(1),
    "Further tries of one target, where the error allows it",
  ),
  firstByteMs: setting(
    "XROUTER_FIRST_BYTE_MS",
    milliseconds.default(10_000),
    "Milliseconds until the first byte of a stream, connecting included",
  ),
  firstTokenMs: setting(
    "XROUTER_FIRST_TOKEN_MS",
    milliseconds.default(10_000),
    "Milliseconds until the first token of a stream",
  ),
  lastMs: setting(
    "XROUTER_LAST_MS",
    milliseconds.default(60_000),
    "The same two for the last target that is left: nobody else could be asked instead",
  ),
  idleMs: setting(
    "XROUTER_IDLE_MS",
    milliseconds.default(20_000),
    "Milliseconds of silence between two chunks of a stream",
  ),
  wholeMs: setting(
    "XROUTER_WHOLE_MS",
    milliseconds.default(120_000),
    "Milliseconds until an answer that is no stream: it comes all at once",
  ),
  streamMs: setting(
    "XROUTER_STREAM_MS",
    milliseconds.default(600_000),
    "Milliseconds of one stream, from its call to its end",
  ),
  totalMs: setting(
    "XROUTER_TOTAL_MS",
    milliseconds.default(600_000),
    "Milliseconds of a whole exchange, all tries together",
  ),
});

/** How patient a request is. */
export type RouteLimits = Pick<Route, "attempts" | "retries" | "time" | "timeouts" | "onBreak">;

/** The limits that the settings say. */
export function standardLimits(settings: z.output<typeof routeSettings>): RouteLimits {
  return {
    attempts: settings.attempts,
    retries: settings.retries,
    time: settings.totalMs,
    timeouts: {
      firstByte: settings.firstByteMs,
      firstToken: settings.firstTokenMs,
      last: settings.lastMs,
      idle: settings.idleMs,
      whole: settings.wholeMs,
      total: settings.streamMs,
    },
    onBreak: "error",
  };
}

/** The same, as a pipeline has them. */
export function standardLimitsOf(plugins: readonly CheckedPlugin[]): RouteLimits {
  const config = plugins.find(({ plugin }) => plugin.config === routeSettings)?.config;
  return standardLimits(routeSettings.parse(config ?? {}));
}

/** The limits of a route, where it says none those of the settings. */
export function limitsOf(table: RouteTable | undefined, standard: RouteLimits): RouteLimits {
  if (table === undefined) return standard;
  return {
    attempts: table.attempts ?? standard.attempts,
    retries: table.retries ?? standard.retries,
    time: table.time ?? standard.time,
    timeouts: { ...standard.timeouts, ...table.timeouts },
    onBreak: table.onBreak ?? standard.onBreak,
  };
}
