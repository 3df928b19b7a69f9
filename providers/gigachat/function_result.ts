/**
 * Results of functions as GigaChat takes them: texts that are JSON objects.
 *
 * @module
 */
import { maxDepth, tooDeep } from "../../core/json_body.ts";

/** What stands for a result that the history does not hold. */
export const noResult = '{"error":"no result"}';

/**
 * A result's text as a JSON object. An object stays as it is, also one in a JSON string; what is no
 * object is wrapped as `{"result":…}`.
 */
export function asJsonObject(text: string): string {
  const given = parse(text);
  // The text itself goes on, not its value: numbers keep every digit.
  if (isObject(given)) return text;
  for (let inner = given; typeof inner === "string";) {
    const value = parse(inner);
    if (isObject(value)) return inner;
    inner = value;
  }
  return given === undefined ? JSON.stringify({ result: text }) : `{"result":${text}}`;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What nests deeper than a request may is as good as no JSON. */
function parse(text: string): unknown {
  try {
    const value = JSON.parse(text);
    return tooDeep(value, maxDepth) ? undefined : value;
  } catch {
    return undefined;
  }
}
