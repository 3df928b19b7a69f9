/**
 * The table of fields in a README, between two marks.
 *
 * @module
 */

/** One row: the field, what became of it in each column, and a word on it. */
export interface Row {
  readonly field: string;
  readonly value?: string | undefined;
  readonly verdicts: readonly string[];
  readonly note: string;
}

const begin = "<!-- fields: written by `deno task fields` -->";
const end = "<!-- /fields -->";

/** A table as `deno fmt` would write it. */
export function renderTable(header: readonly string[], rows: readonly Row[]): string {
  const cells = rows.map(({ field, value, verdicts, note }) => [
    `\`${field}\`${value === undefined ? "" : `: ${value}`}`,
    ...verdicts.map((verdict) => verdict === "policy" ? "by policy" : verdict),
    note,
  ]);
  const widths = header.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [line(header), rule, ...cells.map(line)].join("\n");
}

/** A text with something else between its marks. @throws {Error} It has no marks. */
export function withBetweenMarks(text: string, content: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`The text has no "${begin}" and "${end}"`);
  return `${text.slice(0, from)}${begin}\n\n${content}\n\n${text.slice(to)}`;
}
