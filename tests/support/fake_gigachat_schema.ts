/** Checks values against the schemas of GigaChat's published OpenAPI file. */
import schemas from "../fixtures/gigachat/openapi_schemas.json" with { type: "json" };

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  oneOf?: Schema[];
}

/** @returns Where a value differs from a schema, and how; nothing if it does not. */
export function differences(schema: keyof typeof schemas, value: unknown): string[] {
  return check(schemas[schema] as Schema, value, schema);
}

function check(schema: Schema, value: unknown, path: string): string[] {
  if (schema.oneOf !== undefined) {
    const fits = schema.oneOf.some((each) => check(each, value, path).length === 0);
    return fits ? [] : [`${path} is none of its forms`];
  }
  if (schema.type !== undefined && typeOf(value, schema.type) !== schema.type) {
    return [`${path} is ${JSON.stringify(value)}, not of type ${schema.type}`];
  }
  const found: string[] = [];
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    found.push(`${path} is ${JSON.stringify(value)}, not one of ${schema.enum.join(", ")}`);
  }
  if (typeof value === "number") {
    const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum } = schema;
    const low = exclusiveMinimum ? value <= minimum : value < minimum;
    if (low || value > maximum) found.push(`${path} is ${value}, out of range`);
  }
  if (Array.isArray(value) && schema.items !== undefined) {
    found.push(...value.flatMap((item, at) => check(schema.items!, item, `${path}[${at}]`)));
  }
  if (typeof value === "object" && value !== null) {
    const fields = value as Record<string, unknown>;
    for (const name of schema.required ?? []) {
      if (fields[name] === undefined) found.push(`${path}.${name} is missing`);
    }
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      if (fields[name] !== undefined) {
        found.push(...check(property, fields[name], `${path}.${name}`));
      }
    }
  }
  return found;
}

function typeOf(value: unknown, wanted: string): string {
  if (Array.isArray(value)) return "array";
  if (value === null) return "null";
  return wanted === "integer" && Number.isInteger(value) ? "integer" : typeof value;
}
