/**
 * JSON Schemas in the small language that all of GigaChat's models understand: one type a node,
 * every object with `properties`, every array with `items`, enums of strings, and no references.
 *
 * @module
 */
import { RecentTexts } from "../../core/recent_texts.ts";
import { alternatives, intersection, isSchema, type Schema } from "./schema_merge.ts";

/** What schemas are sent as: in the small language where the model needs it, always, or never. */
export const schemaModes = ["auto", "strict", "as-is"] as const;

/** One of {@linkcode schemaModes}. */
export type SchemaMode = typeof schemaModes[number];

/** Models that take JSON Schema as it is; all the others, and those nobody knows, do not. */
const tolerant = /^GigaChat-3-(Pro|Ultra)\b/;

/** The most levels of a schema, and references in a row; what lies deeper is cut. */
const mostLevels = 64;

const types = ["string", "integer", "number", "boolean", "object", "array"];
const formats = ["date", "date-time", "time"];

/** Keywords that stay where their value has this type. */
const kept: Readonly<Record<string, "string" | "number" | "boolean">> = {
  title: "string",
  pattern: "string",
  minimum: "number",
  maximum: "number",
  exclusiveMinimum: "number",
  exclusiveMaximum: "number",
  multipleOf: "number",
  minLength: "number",
  maxLength: "number",
  minItems: "number",
  maxItems: "number",
  uniqueItems: "boolean",
  additionalProperties: "boolean",
};

/** Keywords that are read one by one. */
const written = new Set([
  ...["type", "enum", "const", "format", "description", "properties", "required", "items"],
  ...["prefixItems", "default"],
]);

/** Keywords without which a schema means the same. `null` goes because GigaChat knows no such type. */
const silent = new Set([
  ...["$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "$vocabulary", "nullable"],
  ...["examples", "example", "deprecated", "readOnly", "writeOnly"],
]);

/** How much the schemas of one request may hold with references written out; the rest is cut. */
export class SchemaBudget {
  /** Nodes, or 256 characters of their texts. */
  left = 10_000;
}

/** Whether a model gets schemas in the small language. */
export function needsPlainSchemas(model: string, mode: SchemaMode = "auto"): boolean {
  return mode === "auto" ? !tolerant.test(model) : mode === "strict";
}

/** A schema in the small language. */
interface PlainSchema {
  readonly schema: Schema;
  /** Whether it says less than the one that was given. */
  readonly changed: boolean;
}

/** UTF-16 units of memory that a node of a plain schema takes, beside its texts. */
const nodeUnits = 64;

/** What was written, with what it took of the budget: agents send the same tools again and again. */
const recent = new RecentTexts<{ plain: PlainSchema; cost: number }>(
  4 * 1024 * 1024,
  (text, { cost }) => text.length + nodeUnits * cost,
);

/**
 * A schema in the small language. It is shared by all who give the same one: nobody writes into it.
 *
 * @param budget Of the request, so that references do not multiply it.
 */
export function plainSchema(given: Schema, budget: SchemaBudget): PlainSchema {
  const text = JSON.stringify(given);
  const known = recent.get(text);
  // With less left it is cut.
  if (known !== undefined && known.cost <= budget.left) {
    budget.left -= known.cost;
    return known.plain;
  }
  const { left } = budget;
  // Of the text and nothing else, which is all that the next one who gives it has in common.
  const plain = write(JSON.parse(text), budget);
  if (budget.left > 0) recent.set(text, { plain, cost: left - budget.left });
  return plain;
}

function write(root: Schema, budget: SchemaBudget): PlainSchema {
  const writer = new Writer(root, budget);
  return { schema: writer.write(root, 0), changed: writer.changed };
}

class Writer {
  readonly #root: Schema;
  readonly #budget: SchemaBudget;
  /** References on the way to the node at hand. */
  readonly #open = new Set<string>();
  changed = false;

  constructor(root: Schema, budget: SchemaBudget) {
    this.#root = root;
    this.#budget = budget;
  }

  /** One node with all below it. */
  write(given: unknown, level: number): Schema {
    const refs = new Set<string>();
    const node = level > mostLevels ? undefined : this.#resolve(given, [], refs);
    const opened = [...refs].filter((ref) => !this.#open.has(ref));
    for (const ref of opened) this.#open.add(ref);
    const plain = this.#node(node ?? this.#lost({ type: "object" }), level);
    for (const ref of opened) this.#open.delete(ref);
    return plain;
  }

  /**
   * A node without references and combinations; `undefined` for one that holds itself.
   *
   * @param way The references that led to it from the node that is being written.
   * @param refs Gets every reference that is followed.
   */
  #resolve(given: unknown, way: readonly string[], refs: Set<string>): Schema | undefined {
    if (!isSchema(given)) return given === true ? {} : this.#lost({});
    if (this.#budget.left <= 0) return undefined;
    const { $ref: ref, allOf, anyOf, oneOf, ...own } = given;
    this.#budget.left -= weightOf(own);
    let node = own;
    const add = (other: Schema | undefined) => {
      if (other === undefined) this.changed = true;
      else node = intersection(node, other);
    };
    if (ref !== undefined) {
      const target = this.#follow(ref, way);
      if (target === undefined && !saysMore(own)) return undefined;
      if (target !== undefined) refs.add(String(ref));
      add(target === undefined ? target : this.#resolve(target, [...way, String(ref)], refs));
    }
    for (const each of listOf(allOf)) add(this.#resolve(each, way, refs));
    for (const each of [listOf(anyOf), listOf(oneOf)]) {
      if (each.length === 0) continue;
      const choices = each.map((choice) => this.#resolve(choice, way, refs))
        .filter((choice) => choice !== undefined);
      const { schema, exact } = alternatives(choices);
      if (!exact || choices.length < each.length) this.changed = true;
      add(schema);
    }
    return node;
  }

  /** What a reference means, unless it leads back. */
  #follow(ref: unknown, way: readonly string[]): unknown {
    if (typeof ref !== "string" || this.#open.has(ref) || way.includes(ref)) return undefined;
    return way.length > mostLevels ? undefined : find(this.#root, ref);
  }

  #node(node: Schema, level: number): Schema {
    const type = this.#type(node);
    const notes: string[] = [];
    const plain: Schema = { type };
    for (const [keyword, value] of Object.entries(node)) {
      if (Object.hasOwn(kept, keyword) && typeof value === kept[keyword]) plain[keyword] = value;
      else if (!silent.has(keyword) && !written.has(keyword)) this.changed = true;
    }
    const values = [...listOf(node.enum), ...(node.const === undefined ? [] : [node.const])]
      .filter((value) => value !== null);
    const words = values.filter((value) => typeof value === "string");
    if (values.length > 0) {
      if (type === "string" && words.length === values.length) plain.enum = [...new Set(words)];
      else {
        this.changed = true;
        notes.push(`One of: ${values.map((value) => JSON.stringify(value)).join(", ")}`);
      }
    }
    if (typeof node.format === "string") {
      if (type === "string" && formats.includes(node.format)) plain.format = node.format;
      else {
        this.changed = true;
        notes.push(`Format: ${node.format}`);
      }
    }
    if (["string", "number", "boolean"].includes(typeof node.default)) plain.default = node.default;
    const said = typeof node.description === "string" ? [node.description, ...notes] : notes;
    if (said.length > 0) plain.description = said.join(". ");
    if (type === "object") this.#object(node, plain, level);
    if (type === "array") plain.items = this.#items(node, level);
    return plain;
  }

  #object(node: Schema, plain: Schema, level: number): void {
    const given = isSchema(node.properties) ? Object.entries(node.properties) : [];
    const properties = given.filter(([, property]) => property !== false);
    plain.properties = Object.fromEntries(
      properties.map(([name, property]) => [name, this.write(property, level + 1)]),
    );
    const required = listOf(node.required).filter((name) =>
      typeof name === "string" && Object.hasOwn(plain.properties as Schema, name)
    );
    if (required.length > 0) plain.required = [...new Set(required)];
  }

  #items(node: Schema, level: number): Schema {
    const tuple = [...listOf(node.prefixItems), ...listOf(node.items)];
    if (tuple.length > 0) {
      this.changed = true;
      return this.write({ anyOf: tuple }, level + 1);
    }
    return this.write(isSchema(node.items) ? node.items : {}, level + 1);
  }

  /** A node's one type: what it says, or what its keywords are for. */
  #type(node: Schema): string {
    const given = typeof node.type === "string" ? [node.type] : listOf(node.type);
    const said = given.filter((type): type is string => types.includes(type as string));
    if (said.length > 1) this.changed = true;
    if (said.length > 0) return said[0]!;
    if (node.properties !== undefined || node.required !== undefined) return "object";
    if (node.items !== undefined || node.prefixItems !== undefined) return "array";
    this.changed ||= node.enum === undefined && node.const === undefined;
    const values = [...listOf(node.enum), node.const].filter((value) =>
      value !== null && value !== undefined
    );
    if (values.length === 0) return "string";
    const [first] = values.map((value) => Array.isArray(value) ? "array" : typeof value);
    return types.includes(first!) ? first! : "string";
  }

  #lost(node: Schema): Schema {
    this.changed = true;
    return node;
  }
}

/** What a node costs of the budget. */
function weightOf({ description, enum: values }: Schema): number {
  const texts = [description, ...listOf(values)].filter((text) => typeof text === "string");
  return 1 + texts.reduce((sum, text) => sum + text.length + 8, 0) / 256;
}

/** Whether a node means something without its reference. */
function saysMore(node: Schema): boolean {
  return Object.keys(node).some((each) => each !== "description" && !silent.has(each));
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** What a reference of the form `#/$defs/name` means; `undefined` for other forms. */
function find(root: Schema, ref: string): unknown {
  if (ref === "#") return root;
  if (!ref.startsWith("#/")) return undefined;
  let node: unknown = root;
  for (const step of ref.slice(2).split("/")) {
    const key = unescapeUri(step).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, key)) return undefined;
    node = (node as Schema)[key];
  }
  return node;
}

function unescapeUri(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
