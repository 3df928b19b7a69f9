/**
 * What counts tell of a provider: up, degraded or down.
 *
 * @module
 */
import type { HealthWindow } from "../../core/health.ts";

/** `unknown`: there was no traffic lately, or too little to tell, and no probe has answered. */
export type Status = "up" | "degraded" | "down" | "unknown";

/** From when on it is bad. */
export interface Thresholds {
  /** Tries that it takes to call anything degraded or down. */
  readonly minAttempts: number;
  /** Share of failed tries, busy answers among them, from which on it is degraded. */
  readonly degradedRate: number;
  /** Share of failed tries, busy answers left out, from which on it is down. */
  readonly downRate: number;
}

/**
 * What the traffic tells; `undefined` where there is too little. A vendor that is only busy is not
 * down. To leave a bad status, the rate has to fall to half of what led to it, so that one that
 * lies about a threshold does not go to and fro.
 *
 * @param before The status so far.
 */
export function judge(
  window: HealthWindow,
  before: Status,
  { minAttempts, degradedRate, downRate }: Thresholds,
): Status | undefined {
  const { attempts, errors } = window;
  if (attempts < minAttempts) return attempts > 0 && errors === 0 ? "up" : undefined;
  const failed = (errors - window.errorsOf("upstream_busy")) / attempts;
  const isDown = before === "down" ? failed > downRate / 2 : failed >= downRate;
  if (isDown) return "down";
  const rate = errors / attempts;
  const wasBad = before === "down" || before === "degraded";
  const isDegraded = wasBad ? rate > degradedRate / 2 : rate >= degradedRate;
  return isDegraded ? "degraded" : "up";
}
