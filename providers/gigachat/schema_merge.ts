/**
 * What JSON Schemas have in common, and what holds for either of several.
 *
 * @module
 */

/** A JSON Schema that is an object. */
export type Schema = Record<string, unknown>;

/** Whether a value is a schema, or another plain object. */
export function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * One schema for values that fit both; where they contradict each other, the first holds. What both
 * say of a property is left to be combined when the property is written.
 */
export function intersection(first: Schema, second: Schema): Schema {
  const both: Schema = { ...second, ...first };
  if (isSchema(first.properties) && isSchema(second.properties)) {
    both.properties = combined([first.properties, second.properties], "allOf");
  }
  if (Array.isArray(first.required) && Array.isArray(second.required)) {
    both.required = [...new Set([...first.required, ...second.required])];
  }
  if (Array.isArray(first.enum) && Array.isArray(second.enum)) {
    const common = first.enum.filter((value) => (second.enum as unknown[]).includes(value));
    if (common.length > 0) both.enum = common;
  }
  if (Array.isArray(first.type) && second.type !== undefined) {
    const other = [second.type].flat();
    const common = first.type.filter((type) => other.includes(type));
    if (common.length > 0) both.type = common;
  }
  return both;
}

/**
 * One schema for the values of several. `null` is left out, because GigaChat knows no such type.
 *
 * @returns The schema, and whether it says all that they say.
 */
export function alternatives(schemas: readonly Schema[]): { schema: Schema; exact: boolean } {
  const values = schemas.filter((schema) => !isNull(schema));
  const [first, ...others] = values;
  if (first === undefined) return { schema: {}, exact: false };
  if (others.length === 0) return { schema: first, exact: true };
  if (values.every(isWords)) {
    const words = values.flatMap((schema) => schema.enum ?? [schema.const]);
    const description = descriptions(values);
    return { schema: { type: "string", enum: [...new Set(words)], ...description }, exact: true };
  }
  const objects = values.filter(isObject);
  // Of different types the first is taken; of several objects, all that they may hold.
  if (objects.length === 1 || !isObject(first)) return { schema: first, exact: false };
  const schema = {
    ...first,
    ...descriptions(objects),
    properties: combined(objects.map(({ properties }) => properties), "anyOf"),
    required: objects.map(({ required }) => Array.isArray(required) ? required : [])
      .reduce((common, required) => common.filter((name) => required.includes(name))),
  };
  return { schema, exact: false };
}

/** The properties of several schemas; what more than one says of a property is combined. */
function combined(all: readonly unknown[], how: "allOf" | "anyOf"): Schema {
  const said = new Map<string, unknown[]>();
  for (const properties of all.filter(isSchema)) {
    for (const [name, property] of Object.entries(properties)) {
      const before = said.get(name);
      if (before === undefined) said.set(name, [property]);
      else before.push(property);
    }
  }
  return Object.fromEntries([...said].map(([name, [first, ...others]]) => {
    if (others.length === 0) return [name, first];
    const many = isSchema(first) && Object.keys(first).length === 1 ? first[how] : undefined;
    // One flat list: nested ones would be as deep as there are schemas.
    return [name, { [how]: [...Array.isArray(many) ? many : [first], ...others] }];
  }));
}

function descriptions(schemas: readonly Schema[]): Schema {
  const said = schemas.map(({ description }) => description)
    .filter((each) => typeof each === "string" && each !== "");
  return said.length > 0 ? { description: [...new Set(said)].join(" | ") } : {};
}

function isNull({ type, const: only, enum: values }: Schema): boolean {
  return type === "null" || only === null ||
    (Array.isArray(values) && values.length > 0 && values.every((value) => value === null));
}

function isWords({ enum: values, const: only }: Schema): boolean {
  return typeof only === "string" ||
    (Array.isArray(values) && values.length > 0 &&
      values.every((value) => typeof value === "string"));
}

function isObject({ type, properties }: Schema): boolean {
  return type === "object" || (type === undefined && properties !== undefined);
}
