import type { Gateway } from "./gateway.ts";
import { LoadGenerator } from "./load_generator.ts";
import type { BenchOptions } from "./options.ts";
import { percentile } from "./statistics.ts";

/** One round of whole answers. */
export interface WholeRound {
  /** Processor time of a request, in microseconds; absent without a gateway. */
  cpuMicros?: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

/** One round of streams. */
export interface StreamRound {
  /** Processor time of an event, in microseconds; absent without a gateway. */
  cpuMicros?: number;
  eventsPerSecond: number;
}

/** What one gateway did in all rounds. */
export interface Row<R> {
  gateway: Gateway;
  rounds: R[];
  /** The most memory ever resident so far, in bytes. */
  peakMemory?: number;
  /** Why the row does not count. */
  error?: string;
}

/**
 * A slice of whole answers. Processor time and throughput are taken at saturation. Latency is not:
 * there it tells only how many connections wait in the queue, and its 99th percentile how the two
 * processes of the benchmark itself share the processors. It is taken at a steady rate that every
 * gateway can carry with time to spare.
 */
async function measureWhole(
  gateway: Gateway,
  load: LoadGenerator,
  { connections, rate, seconds }: BenchOptions,
): Promise<WholeRound> {
  const busy = await withCpu(gateway, () => load.saturate(connections, seconds));
  const latencies = await load.keepRate(connections, rate, seconds);
  return {
    ...busy.cpu,
    requestsPerSecond: busy.perSecond,
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
  };
}

/** A slice of streams. */
async function measureStreams(
  gateway: Gateway,
  load: LoadGenerator,
  options: BenchOptions,
): Promise<StreamRound> {
  const { cpu, perSecond } = await withCpu(
    gateway,
    () => load.stream(options, options.streamSeconds),
  );
  return { ...cpu, eventsPerSecond: perSecond };
}

/** What is measured. */
export interface Kind<R> {
  /** The same load, without a look at it. */
  warmUp(load: LoadGenerator, options: BenchOptions): Promise<unknown>;
  /** One gateway's slice of a round. */
  measure(gateway: Gateway, load: LoadGenerator, options: BenchOptions): Promise<R>;
}

/** Answers that come at once. */
export const wholeAnswers: Kind<WholeRound> = {
  warmUp: (load, { connections, warmUp }) => load.saturate(connections, warmUp),
  measure: measureWhole,
};

/** Answers that come event by event. */
export const eventStreams: Kind<StreamRound> = {
  warmUp: (load, options) => load.stream(options, options.warmUp),
  measure: measureStreams,
};

/**
 * Gives every gateway its turn in every round, so that whatever else the machine does meets all of
 * them, once each has had its turn to warm up. A gateway that gave a wrong answer gets no further
 * turn.
 *
 * @throws The signal's reason, once it is aborted.
 */
export async function interleave<R>(
  gateways: readonly Gateway[],
  options: BenchOptions,
  { warmUp, measure }: Kind<R>,
  progress: (round: number, title: string) => void,
  signal: AbortSignal,
): Promise<Row<R>[]> {
  const turns = gateways.map((gateway) => ({
    row: { gateway, rounds: [] } as Row<R>,
    load: new LoadGenerator(gateway.endpoint),
  }));
  for (let round = 0; round <= options.rounds; round++) {
    for (const { row, load } of turns) {
      signal.throwIfAborted();
      if (row.error !== undefined) continue;
      progress(round, row.gateway.title);
      const { server } = row.gateway;
      try {
        if (round === 0) await warmUp(load, options);
        else row.rounds.push(await measure(row.gateway, load, options));
        if (server !== undefined) row.peakMemory = server.peakMemory();
      } catch (error) {
        const log = await server?.lastLines() ?? "";
        row.error = `${(error as Error).message}. ${log}`.trimEnd();
      }
    }
  }
  return turns.map(({ row }) => row);
}

async function withCpu(
  { server }: Gateway,
  use: () => Promise<{ count: number; seconds: number }>,
): Promise<{ cpu: { cpuMicros?: number }; perSecond: number }> {
  const before = await server?.cpuMicros();
  const { count, seconds } = await use();
  const after = await server?.cpuMicros();
  const known = before !== undefined && after !== undefined;
  return {
    cpu: known ? { cpuMicros: (after - before) / count } : {},
    perSecond: count / seconds,
  };
}
