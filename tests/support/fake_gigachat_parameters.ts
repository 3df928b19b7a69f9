/**
 * The small language of JSON Schema that all of GigaChat's models take. That objects need
 * `properties` was seen in the API's refusals; the rest is what Sber's own clients keep to.
 */

type Fields = Record<string, unknown>;

const types: readonly unknown[] = ["string", "integer", "number", "boolean", "object", "array"];
const formats: readonly unknown[] = [undefined, "date", "date-time", "time"];
const unknown = [
  ...["$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "not", "if", "then", "else"],
  ...["const", "prefixItems", "patternProperties", "propertyNames", "dependentSchemas"],
];

/** @returns What GigaChat would say of a schema; `undefined` for one that it takes. */
export function schemaProblem(schema: unknown, path: readonly string[]): string | undefined {
  const at = (name: string) => [...path, name].join(".");
  if (!isObject(schema)) return `Invalid params: ${path.join(".")} is not a schema`;
  if (schema.type === undefined) return `Field '${at("type")}' is missing`;
  if (!types.includes(schema.type)) return `Invalid params: ${at("type")} is unknown`;
  const strange = unknown.find((name) => Object.hasOwn(schema, name));
  if (strange !== undefined) return `Invalid params: ${at(strange)} is not supported`;
  if (Object.values(schema).some((value) => value === null)) return `Invalid params: ${path} null`;
  const { type, format, additionalProperties: more, description } = schema;
  if (!formats.includes(format) || (format !== undefined && type !== "string")) {
    return `Invalid params: ${at("format")} is not supported`;
  }
  if (!["undefined", "boolean"].includes(typeof more)) {
    return `Invalid params: ${at("additionalProperties")} is not supported`;
  }
  if (description !== undefined && typeof description !== "string") {
    return `Invalid params: ${at("description")} is not a string`;
  }
  if (schema.enum !== undefined && (type !== "string" || !isListOfStrings(schema.enum))) {
    return `Invalid params: ${at("enum")} must hold strings`;
  }
  if (type === "array") {
    return schema.items === undefined
      ? `Field '${at("items")}' is missing`
      : schemaProblem(schema.items, [...path, "items"]);
  }
  return type === "object" ? objectProblem(schema, path) : undefined;
}

function objectProblem(schema: Fields, path: readonly string[]): string | undefined {
  const { properties, required } = schema;
  const at = (name: string) => [...path, name].join(".");
  if (properties === undefined) return `Field '${at("properties")}' is missing`;
  if (!isObject(properties)) return `Invalid params: ${at("properties")} is not an object`;
  if (required !== undefined) {
    if (!isListOfStrings(required) || !required.every((name) => Object.hasOwn(properties, name))) {
      return `Invalid params: ${at("required")} names what is no property`;
    }
  }
  for (const [name, property] of Object.entries(properties)) {
    const problem = schemaProblem(property, [...path, "properties", name]);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function isListOfStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 &&
    value.every((each) => typeof each === "string");
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
