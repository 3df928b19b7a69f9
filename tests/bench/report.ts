import type { BenchOptions } from "./options.ts";
import type { Figure, StreamSummary, Target, WholeSummary } from "./summary.ts";
import { formatTable } from "./table.ts";

/** Everything the benchmark found out. */
export interface Results {
  whole: WholeSummary[];
  streams: StreamSummary[];
  targets: Target[];
  /** Gateways that could not be had or did not start, and why. */
  absent: string[];
}

const MEBIBYTE = 1_048_576;

/** Prints the results for people. */
export function formatReport(results: Results, options: BenchOptions): string {
  const { rounds, warmUp, seconds, connections, rate, streams, events, eventRate } = options;
  const processors = navigator.hardwareConcurrency;
  return [
    `Deno ${Deno.version.deno}, ${processors} processors, rounds: ${rounds}, after ${warmUp} s of ` +
    "warming up. Figures are medians; in parentheses the median ratio to the bare pass-through, " +
    "round by round.",
    "",
    `## Whole answers: ${connections} connections without a pause for ${seconds} s; ` +
    `latency at ${rate} requests/s`,
    "",
    formatTable(
      ["gateway", "CPU µs/request", "requests/s", "p50 added ms", "p99 added ms", "peak MiB"],
      results.whole.map((row) => [
        row.gateway,
        cell(row.cpuMicros, 0, row.error),
        cell(row.requestsPerSecond, 0),
        cell(row.p50AddedMs, 2),
        cell(row.p99AddedMs, 2),
        cell(row.peakMemory, 0, undefined, MEBIBYTE),
      ]),
    ),
    "",
    `## Streams: ${streams} at once, ${events} content events each, ${eventRate} events/s each`,
    "",
    formatTable(
      ["gateway", "CPU µs/event", "to single pull reader", "events/s", "peak MiB"],
      results.streams.map((row) => [
        row.gateway,
        cell(row.cpuMicros, 1, row.error),
        row.cpuToPull === undefined ? "-" : `${row.cpuToPull.toFixed(2)}×`,
        cell(row.eventsPerSecond, 0),
        cell(row.peakMemory, 0, undefined, MEBIBYTE),
      ]),
    ),
    ...paceRemark(results.streams),
    "",
    "## Targets",
    "",
    ...results.targets.map(({ promise, value, met }) =>
      value === undefined
        ? `- ${promise}: not measured`
        : `- ${promise}: ${value.toFixed(2)}, ${met ? "met" : "not met"}`
    ),
    ...remarks(results),
  ].join("\n");
}

/** Streams that fall behind hand on several events at a time, which makes an event look cheap. */
function paceRemark(streams: readonly StreamSummary[]): string[] {
  const pace = streams[0]?.eventsPerSecond?.value ?? 0;
  const slow = streams.filter(({ eventsPerSecond }) =>
    eventsPerSecond !== undefined && eventsPerSecond.value < 0.9 * pace
  );
  if (slow.length === 0) return [];
  const names = slow.map(({ gateway }) => gateway).join(", ");
  return [
    "",
    `Fell behind the upstream's pace: ${names}. Events that wait are handed on together and look ` +
    "cheaper than they are. Repeat with fewer --streams or on a quieter machine.",
  ];
}

function remarks({ whole, streams, absent }: Results): string[] {
  const voided = (kind: string, rows: readonly { gateway: string; error?: string }[]) =>
    rows.flatMap(({ gateway, error }) =>
      error === undefined ? [] : [`- ${gateway}, ${kind}: void. ${error}`]
    );
  const lines = [...absent, ...voided("whole answers", whole), ...voided("streams", streams)];
  return lines.length === 0 ? [] : ["", "## Left out", "", ...lines];
}

function cell(figure: Figure | undefined, digits: number, error?: string, unit = 1): string {
  if (error !== undefined) return "void";
  if (figure === undefined) return "-";
  const value = (figure.value / unit).toFixed(digits);
  return figure.ratio === undefined ? value : `${value} (${figure.ratio.toFixed(2)}×)`;
}
