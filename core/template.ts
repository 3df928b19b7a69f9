/**
 * Texts with places that values fill: `Api-Key {apiKey}`. A place may have a default, as in
 * `{version=latest}`.
 *
 * @module
 */

const place = /\{(\w+)(?:=([^{}]+))?\}/g;

/** The names of a template's places. */
export function placesOf(template: string): string[] {
  return [...template.matchAll(place)].map(([, name]) => name!);
}

/** Fills a template; a place without a value has its default, else nothing. */
export function fill(template: string, values: Readonly<Record<string, unknown>>): string {
  return template.replace(place, (_place, name: string, standard = "") => {
    return String(values[name] || standard);
  });
}

/**
 * Reads from a text what {@linkcode fill} has filled in. A place with a default may be left out,
 * together with the sign before it; no other one holds a slash.
 *
 * @returns The values by the names of the places; `undefined` for a text of another form.
 */
export function readFilled(
  template: string,
  text: string,
): Record<string, string | undefined> | undefined {
  const pattern = template.replace(/[.*+?^$()|[\]\\]/g, "\\$&")
    .replace(/(\\?.)\{(\w+)=[^{}]+\}/g, "(?:$1(?<$2>.+))?")
    .replace(/\{(\w+)\}/g, "(?<$1>[^/]+)");
  return RegExp(`^${pattern}$`).exec(text)?.groups;
}
