/**
 * What a try tells of the provider.
 *
 * @module
 */
import type { Attempt } from "xrouter/plugin";
import { type Fault, faultOf } from "../../core/health.ts";

/**
 * How the provider did in a try; `undefined` where the try tells nothing of it: the client's request
 * was wrong, the client left, or XRouter failed or stopped.
 *
 * @param left The client left during this try.
 */
export function resultOf(attempt: Attempt, left: boolean): "answered" | Fault | undefined {
  const { error, durationMs, firstChunkMs } = attempt;
  if (durationMs === undefined) return undefined;
  if (error === undefined) return "answered";
  if (error.code === "timeout" && left) return undefined;
  return faultOf(error, firstChunkMs !== undefined);
}
