/**
 * Tables as comma-separated values (RFC 4180).
 *
 * @module
 */

/** What a cell may hold; null is an empty cell. */
export type Cell = string | number | boolean | null;

/** Named columns of a table, each with what it shows of an entry, in their order. */
export type Columns<Entry> = Readonly<Record<string, (entry: Entry) => Cell>>;

/** The entries as objects with the columns' names. */
export function toRecords<Entry>(
  columns: Columns<Entry>,
  entries: readonly Entry[],
): Record<string, Cell>[] {
  const each = Object.entries(columns);
  return entries.map((entry) =>
    Object.fromEntries(each.map(([name, show]) => [name, show(entry)]))
  );
}

/**
 * The entries as lines below a line with the columns' names. A text that a spreadsheet would take
 * for a formula gets an apostrophe before it, since some texts are written by strangers.
 */
export function toCsv<Entry>(columns: Columns<Entry>, entries: readonly Entry[]): string {
  const shows = Object.values(columns);
  const lines = [
    Object.keys(columns),
    ...entries.map((entry) => shows.map((show) => spell(show(entry)))),
  ];
  return lines.map((cells) => `${cells.join(",")}\r\n`).join("");
}

/** What begins a formula, also after white space and in full width (OWASP, "CSV injection"). */
const formula = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/;

function spell(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const text = formula.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
