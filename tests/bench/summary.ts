import type { Gateway } from "./gateway.ts";
import type { Row, StreamRound, WholeRound } from "./measure.ts";
import { median, medianRatio } from "./statistics.ts";

/** One column of one gateway. */
export interface Figure {
  /** Median over the rounds. */
  value: number;
  /** Median over the rounds of the ratio to the bare pass-through in the same round. */
  ratio?: number;
}

/** What one gateway did with whole answers; a figure is absent where there is nothing to tell. */
export interface WholeSummary {
  gateway: string;
  error?: string;
  cpuMicros?: Figure | undefined;
  requestsPerSecond?: Figure | undefined;
  /** Milliseconds above the same percentile without a gateway in the same round. */
  p50AddedMs?: Figure | undefined;
  p99AddedMs?: Figure | undefined;
  /** Bytes. */
  peakMemory?: Figure | undefined;
}

/** What one gateway did with streams; a figure is absent where there is nothing to tell. */
export interface StreamSummary {
  gateway: string;
  error?: string;
  cpuMicros?: Figure | undefined;
  /** Median over the rounds of the ratio of processor time to the single pull reader's. */
  cpuToPull?: number | undefined;
  eventsPerSecond?: Figure | undefined;
  /** Bytes, since the process began. */
  peakMemory?: Figure | undefined;
}

/** Summarises the rounds of whole answers. */
export function summariseWhole(rows: readonly Row<WholeRound>[]): WholeSummary[] {
  const bare = rowOf(rows, "bare");
  const direct = rowOf(rows, "direct");
  const added = (row: Row<WholeRound>, field: "p50Ms" | "p99Ms") => {
    if (direct === undefined || row === direct) return undefined;
    const pick = (one: Row<WholeRound>) =>
      one.rounds.map((round, index) => round[field] - (direct.rounds[index]?.[field] ?? NaN));
    return figure(pick(row), bare && pick(bare));
  };
  return rows.map((row) => {
    const gateway = row.gateway.title;
    if (row.error !== undefined) return { gateway, error: row.error };
    return {
      gateway,
      cpuMicros: figure(cpu(row), bare && cpu(bare)),
      requestsPerSecond: figure(throughput(row), bare && throughput(bare)),
      p50AddedMs: added(row, "p50Ms"),
      p99AddedMs: added(row, "p99Ms"),
      peakMemory: figure(memory(row), bare && memory(bare)),
    };
  });
}

/** Summarises the rounds of streams. */
export function summariseStreams(rows: readonly Row<StreamRound>[]): StreamSummary[] {
  const bare = rowOf(rows, "bare");
  const pull = rowOf(rows, "pull");
  const pace = (row: Row<StreamRound>) => row.rounds.map((round) => round.eventsPerSecond);
  return rows.map((row) => {
    const gateway = row.gateway.title;
    if (row.error !== undefined) return { gateway, error: row.error };
    return {
      gateway,
      cpuMicros: figure(cpu(row), bare && cpu(bare)),
      cpuToPull: figure(cpu(row), pull && cpu(pull))?.ratio,
      eventsPerSecond: figure(pace(row), bare && pace(bare)),
      peakMemory: figure(memory(row), bare && memory(bare)),
    };
  });
}

/** A promise about XRouter's speed. */
export interface Target {
  promise: string;
  /** Median over the rounds; absent where a row it needs was not measured or is void. */
  value?: number | undefined;
  met?: boolean | undefined;
}

/** Compares XRouter with what was promised of it. */
export function checkTargets(
  whole: readonly Row<WholeRound>[],
  streams: readonly Row<StreamRound>[],
): Target[] {
  const within = (value: number | undefined, holds: (value: number) => boolean) => ({
    value,
    met: value === undefined ? undefined : holds(value),
  });
  return [
    {
      promise: "at most 1.6 times the bare pass-through's processor time a request",
      ...within(ratioOf(whole, "bare", cpu), (ratio) => ratio <= 1.6),
    },
    {
      promise: "at most 1.25 times the single pull reader's processor time an event",
      ...within(ratioOf(streams, "pull", cpu), (ratio) => ratio <= 1.25),
    },
    {
      promise: "at most 1.25 times its own processor time a request without credit",
      ...within(ratioOf(whole, "no-credit", cpu), (ratio) => ratio <= 1.25),
    },
    {
      promise: "at least 4 times Portkey's throughput",
      ...within(ratioOf(whole, "portkey", throughput), (ratio) => ratio >= 4),
    },
  ];
}

function ratioOf<R>(
  rows: readonly Row<R>[],
  base: Gateway["name"],
  pick: (row: Row<R>) => number[],
): number | undefined {
  const row = rowOf(rows, "xrouter");
  const other = rowOf(rows, base);
  return row && other && figure(pick(row), pick(other))?.ratio;
}

function rowOf<R>(rows: readonly Row<R>[], name: Gateway["name"]): Row<R> | undefined {
  return rows.find((row) => row.gateway.name === name && row.error === undefined);
}

function cpu(row: Row<{ cpuMicros?: number }>): number[] {
  return row.rounds.flatMap(({ cpuMicros }) => cpuMicros ?? []);
}

function throughput(row: Row<WholeRound>): number[] {
  return row.rounds.map((round) => round.requestsPerSecond);
}

function memory(row: Row<unknown>): number[] {
  return row.peakMemory === undefined ? [] : [row.peakMemory];
}

function figure(values: readonly number[], base: readonly number[] = []): Figure | undefined {
  if (values.length === 0) return undefined;
  const value = median(values);
  // A latency that nobody added has no multiple.
  const comparable = base.length > 0 && base.every((one) => one > 0);
  return comparable ? { value, ratio: medianRatio(values, base) } : { value };
}
