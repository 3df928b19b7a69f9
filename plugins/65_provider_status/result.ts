/**
 * What a try tells of the provider.
 *
 * @module
 */
import type { Attempt, RouterError } from "xrouter/plugin";
import { wholeAnswer } from "../../core/deadline.ts";
import { type Fault, faults } from "../../core/health.ts";

/** The code of a failure, where it is the provider's own; what names a field is the client's. */
export function faultOf({ code, param }: RouterError): Fault | undefined {
  return param === undefined ? faults.find((fault) => fault === code) : undefined;
}

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
  // An answer that began and took too long as a whole may have had a client that does not read it.
  const isClients = left || (firstChunkMs !== undefined && error.detail === wholeAnswer);
  return error.code === "timeout" && isClients ? undefined : faultOf(error);
}
