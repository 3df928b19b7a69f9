/**
 * JSON whose whole numbers keep every digit when it is printed again.
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
