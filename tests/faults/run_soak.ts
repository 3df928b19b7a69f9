/**
 * Mixed traffic for a long time, and the program's memory meanwhile.
 *
 * @module
 */
import { slope } from "../bench/statistics.ts";
import { LoadedSystem } from "./loaded_system.ts";
import { note, type Tally } from "./run_load.ts";
import { atRate, kindOf, LoadClient } from "./traffic.ts";

/** How long and how much. */
export interface SoakOptions {
  readonly seconds: number;
  /** Requests a second. */
  readonly rate: number;
  /** What all times of the faults and of the program's limits are multiplied with. */
  readonly pace: number;
  /** Told of the memory each second, in bytes. */
  readonly onSample?: (second: number, bytes: number) => void;
}

/** What was seen. */
export interface SoakReport {
  /** By the fault; healthy calls are `well`, those whose client leaves `left`. */
  readonly kinds: ReadonlyMap<string, Tally>;
  /** Resident memory each second, in bytes. */
  readonly samples: readonly number[];
  /** How it grew over the second half, in bytes a minute. */
  readonly slope: number;
  /** The most that was ever resident, in bytes. */
  readonly peak: number;
}

/** Runs it. Needs Linux, whose `/proc` tells the memory. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, rate, pace, onSample } = options;
  await using system = await LoadedSystem.start(pace);
  using router = new LoadClient(system.server.port, system.secret);
  const kinds = new Map<string, Tally>();
  const samples: number[] = [];
  const sampling = setInterval(() => {
    samples.push(system.server.residentMemory());
    onSample?.(samples.length, samples.at(-1)!);
  }, 1_000);
  try {
    await atRate(rate, seconds, async (number) => {
      const lab = { run: `soak ${number}`, pace };
      if (number % 10 === 4) {
        const models = ["bad/slow", "good/well"] as const;
        const { problem } = await router.ask({ models, lab, leaveAfter: 5 });
        return note(kinds, "left", problem);
      }
      const { model, ...rest } = kindOf(number);
      const call = { models: [`bad/${model}`, "good/well"] as const, lab, ...rest };
      note(kinds, model, (await router.ask(call)).problem);
    });
  } finally {
    clearInterval(sampling);
  }
  const half = samples.slice(samples.length >> 1);
  return { kinds, samples, slope: slope(half) * 60, peak: system.server.peakMemory() };
}
