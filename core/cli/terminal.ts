/**
 * Text for people at a terminal.
 *
 * @module
 */

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** White space, control characters, and those that turn the direction of writing. */
const unsafe = /[\s\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]+/gu;

/** Characters that take two columns. */
const wide = /\p{Emoji_Presentation}|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/u;

const characters = new Intl.Segmenter();

const coloured = Deno.stdout.isTerminal() && !Deno.noColor;

/** Text in a colour, where standard output is a terminal and NO_COLOR is not set. */
export function paint(text: string, colour: keyof typeof codes): string {
  return coloured ? `\x1b[${codes[colour]}m${text}\x1b[0m` : text;
}

/** Text of a vendor or a file on one line, without the characters that steer a terminal. */
export function oneLine(text: string): string {
  return text.replace(unsafe, " ").trim();
}

/**
 * Rows with aligned columns, two spaces apart.
 *
 * @param rows The cells; the last of a row may be of any length.
 * @param head The columns' names.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  head?: readonly string[],
): string[] {
  const cells = (head === undefined ? rows : [head, ...rows]).map((row) => row.map(cell));
  const widths = cells.reduce<number[]>(
    (widest, row) => row.map((text, i) => Math.max(widest[i] ?? 0, widthOf(text))),
    [],
  );
  return cells.map((row, line) => {
    const text = row.map((each, i) =>
      i === row.length - 1 ? each : each + " ".repeat(widths[i]! - widthOf(each) + 2)
    ).join("").trimEnd();
    return head !== undefined && line === 0 ? paint(text, "bold") : text;
  });
}

/** Keeps the spaces before a cell's text: they indent. */
function cell(text: string): string {
  return `${/^ */.exec(text)![0]}${oneLine(text)}` || "-";
}

/** Columns that a text takes. */
function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of characters.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
}
