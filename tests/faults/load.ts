/**
 * `deno task load`: a hundred requests a second for a minute, a tenth of them faults, then a
 * thousand streams at once. Options: `--seconds`, `--rate`, `--streams`. Nothing is asserted about
 * time; the exit code is 1 if more than one answer in a thousand failed, or a stream did.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { percentile } from "../bench/statistics.ts";
import { formatTable } from "../bench/table.ts";
import { runLoad } from "./run_load.ts";
import { wholeOf } from "./whole_option.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "60" },
    rate: { type: "string", default: "100" },
    streams: { type: "string", default: "1000" },
  },
});
const { kinds, routed, direct, streams } = await runLoad({
  seconds: wholeOf("seconds", values.seconds),
  rate: wholeOf("rate", values.rate),
  streams: wholeOf("streams", values.streams),
  pace: 1,
});

console.log(formatTable(
  ["calls", "asked", "failed", "why"],
  [...kinds].map(([kind, { asked, failed, problem }]) => [
    kind,
    `${asked}`,
    `${failed}`,
    problem ?? "",
  ]),
));
const all = [...kinds.values()];
const asked = all.reduce((sum, kind) => sum + kind.asked, 0);
const failed = all.reduce((sum, kind) => sum + kind.failed, 0);
const rate = failed / asked;
console.log(`\nErrors after fallback: ${(100 * rate).toFixed(3)} % (target: below 0.1 %)\n`);
console.log(formatTable(
  ["healthy calls, ms", "p50", "p90", "p99"],
  [
    ["through XRouter", ...[50, 90, 99].map((at) => percentile(routed, at).toFixed(2))],
    ["direct", ...[50, 90, 99].map((at) => percentile(direct, at).toFixed(2))],
    [
      "added",
      ...[50, 90, 99].map((at) => (percentile(routed, at) - percentile(direct, at)).toFixed(2)),
    ],
  ],
));
console.log("Target: p99 added below 10 ms\n");
console.log(
  `Streams: ${streams.asked}, at once ${streams.mostOpen}, failed ${streams.failed}` +
    (streams.problem === undefined ? "" : ` (${streams.problem})`),
);
Deno.exit(rate < 0.001 && streams.failed === 0 ? 0 : 1);
