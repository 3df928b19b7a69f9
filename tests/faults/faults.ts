/**
 * `deno task faults`: runs every fault in real time against the real program, prints the table and
 * keeps it in `README.md`. Takes two minutes and a half. The exit code is 1 if a verdict is not the
 * one that `verdicts.ts` expects.
 *
 * @module
 */
import { cases, nameOf } from "./cases.ts";
import { verdictNames } from "./judge.ts";
import { type Result, runAll } from "./run_all.ts";
import { fullPasses, renderTable } from "./table.ts";
import { verdicts } from "./verdicts.ts";

const readme = new URL("README.md", import.meta.url);
const from = "<!-- table: written by `deno task faults` -->";
const to = "<!-- /table -->";

function wrong({ one, verdict }: Result): string[] {
  const expected = verdicts[nameOf(one)];
  return verdict === expected ? [] : [`${nameOf(one)}: ${verdict}, not ${expected}`];
}

const results = await runAll({
  pace: 1,
  width: cases.length,
  onResult: ({ one, verdict }) => console.error(`${nameOf(one)} ${one.fault}: ${verdict}`),
});
const extra = results.filter(({ one }) => one.number > 16);
const counts = verdictNames.map((name) =>
  `${extra.filter(({ verdict }) => verdict === name).length} ${name}`
);
const summary = `Full passes: ${fullPasses(results)} of 16. Of the further ${extra.length} cases: ${
  counts.join(", ")
}.`;
const table = `${summary}\n\n${renderTable(results)}`;
console.log(table);
const text = await Deno.readTextFile(readme);
const [start, end] = [text.indexOf(from), text.indexOf(to)];
if (start < 0 || end < start) throw new Error(`README.md has no "${from}" and "${to}"`);
const written = `${text.slice(0, start)}${from}\n\n${table}\n\n${text.slice(end)}`;
await Deno.writeTextFile(readme, written);
const differences = results.flatMap(wrong);
if (differences.length > 0) console.error(`Not as expected:\n${differences.join("\n")}`);
Deno.exit(differences.length === 0 ? 0 : 1);
