/**
 * Runs many random schedules, several side by side, each lane with a database of its own.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { openSharedFile } from "./ledger_processes.ts";
import { schedules } from "./ledger_schedule.ts";
import { LedgerTrial } from "./ledger_trial.ts";

/** Most of a schedule is waiting for timers, so lanes share a processor well. */
const lanes = 8;

/**
 * Runs schedules. A failure is shrunk, and its message has the seed and the path that repeat it.
 *
 * @param seed `SEED` in the environment wins.
 */
export async function runSchedules(count: number): Promise<void> {
  const seed = Number(Deno.env.get("SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
  console.log(`seed ${seed}`);
  const results = await Promise.allSettled(Array.from({ length: lanes }, async (_lane, lane) => {
    await using file = await openSharedFile();
    await fc.assert(
      fc.asyncProperty(schedules, (schedule) => new LedgerTrial(file).run(schedule)),
      { seed: seed + lane, numRuns: Math.ceil(count / lanes) },
    );
    const { holds, mismatches } = await checkLedger(file.processes[0].database);
    assertEquals({ holds, mismatches }, { holds: 0, mismatches: [] });
  }));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
