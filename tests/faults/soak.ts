/**
 * `deno task soak`: mixed traffic for ten minutes, or `--minutes N`, at `--rate N` requests a second
 * (50). Prints how the program's memory grows over the second half, and its peak; a line a minute
 * meanwhile. The exit code is 1 if more than one answer in a thousand failed.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { formatTable } from "../bench/table.ts";
import { runSoak } from "./run_soak.ts";
import { wholeOf } from "./whole_option.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "10" },
    rate: { type: "string", default: "50" },
  },
});
const minutes = wholeOf("minutes", values.minutes);
const rate = wholeOf("rate", values.rate);

const report = await runSoak({
  seconds: minutes * 60,
  rate,
  pace: 1,
  onSample(second, bytes) {
    if (second % 60 === 0) console.error(`minute ${second / 60}: ${megabytes(bytes)} MB`);
  },
});
console.log(formatTable(
  ["calls", "asked", "failed", "why"],
  [...report.kinds].map(([kind, { asked, failed, problem }]) => [
    kind,
    `${asked}`,
    `${failed}`,
    problem ?? "",
  ]),
));
console.log(
  `\nResident memory: ${megabytes(report.slope)} MB a minute over the second half, peak ` +
    `${megabytes(report.peak)} MB`,
);
const all = [...report.kinds.values()];
const asked = all.reduce((sum, kind) => sum + kind.asked, 0);
const failed = all.reduce((sum, kind) => sum + kind.failed, 0);
Deno.exit(failed / asked < 0.001 ? 0 : 1);

function megabytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(2);
}
