/**
 * Random JSON Schemas: with references that lead round, combinations, and nonsense.
 *
 * @module
 */
import type { RandomBelow } from "./random.ts";
import { pick, randomJson } from "./random_json.ts";

type Schema = Record<string, unknown>;

const types = ["string", "integer", "number", "boolean", "object", "array", "null"];
const refs = ["#", "#/$defs/a", "#/$defs/b", "#/$defs/c~1d", "#/properties/x", "#/none", "other"];
const names = ["x", "y", "имя", "__proto__", "constructor", "$ref", "type"];

/** A schema that nests at most `levels` deep. */
export function randomSchema(random: RandomBelow, levels = 3): unknown {
  if (random(12) === 0) return JSON.parse(randomJson(random, 3));
  if (random(20) === 0) return random(2) === 0;
  const schema: Schema = {};
  const some = (name: string, chance: number, value: () => unknown) => {
    if (random(chance) === 0) schema[name] = value();
  };
  const inner = () => levels > 0 ? randomSchema(random, levels - 1) : {};
  const list = (least = 0) => Array.from({ length: least + random(3) }, inner);
  const map = () =>
    Object.fromEntries(Array.from({ length: random(4) }, () => [pick(random, names), inner()]));
  const json = () => JSON.parse(randomJson(random, 2));
  if (random(4) > 0) {
    schema.type = random(4) === 0
      ? Array.from({ length: random(4) }, () => pick(random, types))
      : pick(random, types);
  }
  some("$ref", 5, () => pick(random, refs));
  for (const word of ["anyOf", "oneOf", "allOf"]) some(word, 6, () => list(1));
  some("properties", 3, map);
  some("$defs", 5, () => ({ a: inner(), b: inner(), "c/d": inner() }));
  some("items", 4, () => random(3) === 0 ? list() : inner());
  some("prefixItems", 12, list);
  some("additionalProperties", 6, () => random(2) === 0 ? random(2) === 0 : inner());
  some("required", 4, () => Array.from({ length: random(4) }, () => pick(random, names)));
  some("enum", 6, () => Array.from({ length: random(4) }, json));
  some("enum", 8, () => ["a", "b", null].slice(0, random(4)));
  some("const", 10, json);
  some("format", 8, () => pick(random, ["date", "date-time", "email", "int32", 5]));
  some("description", 4, () => pick<unknown>(random, ["text", "", null, 5]));
  for (const word of ["minimum", "pattern", "default", "title", "not", "if"]) some(word, 15, json);
  return schema;
}
