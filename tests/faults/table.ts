/**
 * The table of cases, as `deno task faults` prints it and `README.md` keeps it.
 *
 * @module
 */
import { type FaultCase, nameOf } from "./cases.ts";
import { type Evidence, shapeOf, type Verdict } from "./judge.ts";
import type { Result } from "./run_all.ts";

const header = ["#", "fault", "verdict", "the caller saw", "asked", "booked", "remark"];

/** A table as `deno fmt` would write it. */
export function renderTable(results: readonly Result[]): string {
  const rows = results.map(({ one, verdict, reasons, evidence }) => [
    nameOf(one),
    one.fault,
    verdict,
    seenIn(evidence),
    askedIn(evidence),
    bookedIn(evidence),
    // A safe verdict's reason stands in what the caller saw.
    verdict === "safe" ? "" : reasons.join("; "),
  ]);
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = header.map((title, column) =>
    Math.max(3, title.length, ...cells.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)]
    .join("\n");
}

/** Reads number, fault and verdict of each row back. */
export function readTable(text: string): string[][] {
  return text.split("\n").filter((line) => /^\| \d/.test(line))
    .map((line) => line.split(" | ").slice(0, 3).map((cell) => cell.replace(/^\| /, "").trim()));
}

/**
 * How many of the sixteen faults have a full pass: of one that is run in several modes, one mode has
 * to have it, and none may fail.
 */
export function fullPasses(
  results: readonly { readonly one: FaultCase; readonly verdict: Verdict }[],
): number {
  const numbers = new Set(results.map(({ one }) => one.number).filter((number) => number <= 16));
  return [...numbers].filter((number) => {
    const verdicts = results.filter(({ one }) => one.number === number)
      .map(({ verdict }) => verdict);
    return verdicts.includes("pass") && !verdicts.includes("fail");
  }).length;
}

function seenIn({ seen }: Evidence): string {
  if (seen.length === 1) return `${shapeOf(seen[0]!)}, ${(seen[0]!.ms / 1_000).toFixed(1)} s`;
  const shapes = Map.groupBy(seen, shapeOf);
  return [...shapes].map(([shape, { length }]) => `${length} x ${shape}`).join("; ");
}

function askedIn({ calls }: Evidence): string {
  const vendors = Map.groupBy(calls, ({ vendor }) => vendor);
  return [...vendors].map(([vendor, { length }]) => `${vendor} ${length}`).join(", ");
}

function bookedIn({ rows }: Evidence): string {
  const kinds = Map.groupBy(
    rows,
    ({ provider, state, cost }) =>
      `${provider ?? "nobody"} ${state} ${!cost ? "free" : cost / 1_000_000}`,
  );
  return [...kinds].map(([kind, { length }]) => length > 1 ? `${length} x ${kind}` : kind)
    .join(", ");
}
