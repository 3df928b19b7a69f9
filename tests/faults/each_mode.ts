/**
 * A case in each way in which a request may want a broken stream treated.
 *
 * @module
 */
import type { FaultCase } from "./cases.ts";

/** One case for each way. */
export function inEachMode(one: FaultCase): FaultCase[] {
  return (["error", "continue", "whole"] as const).map((onBreak) => ({ ...one, onBreak }));
}
