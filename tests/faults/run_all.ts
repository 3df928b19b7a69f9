/**
 * Runs cases side by side.
 *
 * @module
 */
import { cases, type FaultCase } from "./cases.ts";
import { type Evidence, judge, type Judgement } from "./judge.ts";
import { runCase } from "./run_case.ts";

/** A case and what it came to. */
export interface Result extends Judgement {
  readonly one: FaultCase;
  readonly evidence: Evidence;
}

/** How the cases are run. */
export interface RunOptions {
  /** What every time is multiplied with; 1 for the real ones. */
  readonly pace: number;
  /** Cases that run at a time. */
  readonly width: number;
  /** Told of each case that is over. */
  readonly onResult?: (result: Result) => void;
}

/** Runs every case, the heavy ones first and by themselves. @returns Them in their order. */
export async function runAll({ pace, width, onResult }: RunOptions): Promise<Result[]> {
  const results = new Map<FaultCase, Result>();
  const run = async (queue: FaultCase[]) => {
    for (let one; (one = queue.shift()) !== undefined;) {
      const evidence = await runCase(one, pace);
      const result = { one, evidence, ...judge(evidence, one) };
      results.set(one, result);
      onResult?.(result);
    }
  };
  await run(cases.filter(({ heavy }) => heavy));
  // Those that take long begin first.
  const rest = cases.filter(({ heavy }) => !heavy)
    .toSorted((a, b) => (b.repeat?.calls ?? 1) - (a.repeat?.calls ?? 1));
  await Promise.all(Array.from({ length: width }, () => run(rest)));
  return cases.map((one) => results.get(one)!);
}
