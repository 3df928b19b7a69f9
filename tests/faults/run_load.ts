/**
 * Puts load on the program with faults among it, beside calls to the vendor itself.
 *
 * @module
 */
import { LoadedSystem } from "./loaded_system.ts";
import { atRate, kindOf, LoadClient } from "./traffic.ts";

/** How much load. */
export interface LoadOptions {
  /** Requests a second; as many more go to the vendor itself. */
  readonly rate: number;
  readonly seconds: number;
  /** Streams that are open at once afterwards. */
  readonly streams: number;
  /** What all times of the faults and of the program's limits are multiplied with. */
  readonly pace: number;
}

/** The calls of one kind. */
export interface Tally {
  asked: number;
  failed: number;
  /** Why one of them failed. */
  problem?: string;
}

/** What the load brought. */
export interface LoadReport {
  /** By the fault; healthy calls are `well`. */
  readonly kinds: ReadonlyMap<string, Tally>;
  /** Milliseconds of each healthy call through the program. */
  readonly routed: readonly number[];
  /** Milliseconds of each call to the vendor itself. */
  readonly direct: readonly number[];
  /** The streams that were open at once. */
  readonly streams: Tally & { readonly mostOpen: number };
}

/** Milliseconds before each word of an open stream, as the vendor paces it. */
const wordMs = 50;

/** Runs the load, then the open streams. */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { rate, seconds, streams, pace } = options;
  await using system = await LoadedSystem.start(pace);
  using router = new LoadClient(system.server.port, system.secret);
  using vendor = new LoadClient(system.vendorPort, "lab");
  // What is translated and connected once is no part of a call's time.
  const warm = async () => {
    await router.ask({ models: ["bad/well"], lab: { run: "warm", pace } });
    await vendor.ask({ models: ["well"], lab: { run: "warm", pace } });
  };
  await atRate(rate, Math.min(2, seconds), warm);

  const kinds = new Map<string, Tally>();
  const routed: number[] = [];
  const direct: number[] = [];
  await atRate(2 * rate, seconds, async (turn) => {
    const number = turn >> 1;
    const lab = { run: `load ${number}`, pace };
    if (turn % 2 === 1) {
      const { ms, problem } = await vendor.ask({ models: ["well"], lab });
      if (problem !== undefined) throw new Error(`The vendor itself fails: ${problem}`);
      return void direct.push(ms);
    }
    const { model, ...rest } = kindOf(number);
    const answer = await router.ask({ models: [`bad/${model}`, "good/well"], lab, ...rest });
    note(kinds, model, answer.problem);
    if (model === "well") routed.push(answer.ms);
  });

  using many = new LoadClient(system.server.port, system.secret);
  // They begin within a third of the time that each of them takes.
  const slowPace = Math.max(1, streams / 200);
  const opening = slowPace * wordMs * 60 / 3 / 1000;
  const opened = new Map<string, Tally>();
  await atRate(streams / opening, opening, async (number) => {
    const lab = { run: `stream ${number}`, pace: slowPace };
    note(opened, "slow", (await many.ask({ models: ["bad/slow", "good/well"], lab })).problem);
  });
  const mostOpen = many.mostStreaming;
  return { kinds, routed, direct, streams: { ...opened.get("slow")!, mostOpen } };
}

/** Counts a call. */
export function note(kinds: Map<string, Tally>, kind: string, problem: string | undefined): void {
  const tally = kinds.get(kind) ?? { asked: 0, failed: 0 };
  kinds.set(kind, tally);
  tally.asked++;
  if (problem === undefined) return;
  tally.failed++;
  tally.problem = problem;
}
