/**
 * JSON that is handed on whole: whole numbers keep every digit, and texts become texts of UTF-8.
 *
 * @module
 */

/** As in the proposal "JSON.parse source text access", which TypeScript does not know yet. */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}

const exact = JSON as unknown as ExactJson;

/** An escape in JSON: of a surrogate pair, of half of one, or any other. */
const escape = /\\ud[89ab][\da-f]{2}\\ud[c-f][\da-f]{2}|(\\ud[89a-f][\da-f]{2})|\\[^]/gi;

/**
 * Parses JSON. A whole number that a double cannot hold becomes an object that `JSON.stringify`
 * prints as it stood; such ids are common in arguments of functions.
 *
 * @throws {SyntaxError} for what is no JSON.
 */
export function parseExactly(text: string): unknown {
  // A reviver costs time, and most texts hold no long number.
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return exact.parse(
    text,
    (_key, value, { source }) =>
      typeof value === "number" && source !== undefined && /^-?\d{16,}$/.test(source) &&
        String(value) !== source
        ? exact.rawJSON(source)
        : value,
  );
}

/** JSON with U+FFFD for each half of a surrogate pair, which is no text in UTF-8. */
export function withoutHalves(json: string): string {
  const wellFormed = json.toWellFormed();
  return /\\ud[89a-f]/i.test(wellFormed)
    ? wellFormed.replace(escape, (each, half) => half === undefined ? each : "\\ufffd")
    : wellFormed;
}
