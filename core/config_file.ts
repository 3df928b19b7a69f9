/**
 * The configuration file: JSON in which comments and trailing commas may stand.
 *
 * @module
 */
import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
} from "jsonc-parser";
import { z } from "zod";
import { readValue } from "./issues.ts";
import { type DeclaredFacts, declaredFactsSchema } from "./model.ts";
import { type DeclaredRoute, routesSchema } from "./routing/routes.ts";
import type { Problem } from "./settings.ts";

const section = z.record(z.string(), z.unknown()).default({});

const fileShape = z.strictObject({
  $schema: z.string().describe("Where editors find this schema").optional(),
  routes: routesSchema.default({}),
  models: z.record(z.string().regex(/^[^/]+\/.+$/, 'must be "provider/model"'), declaredFactsSchema)
    .default({}).describe("What is known of models, by provider/model, over the provider's own"),
  plugins: section.describe("Settings by plugin, in the place of variables"),
  providers: section.describe("Settings by provider, in the place of variables"),
}, {
  error: ({ code, keys }) =>
    code === "unrecognized_keys" && (keys as string[]).includes("aliases")
      ? '"aliases" are routes now, and each model is "provider/model": name it "routes"'
      : undefined,
}).describe("The configuration file of XRouter");

/** The configuration file's sections. */
export interface ConfigFile {
  /** Settings by plugin. */
  plugins: Record<string, unknown>;
  /** Settings by provider. */
  providers: Record<string, unknown>;
  /** Facts by `provider/model`, which win over the provider's own. */
  models: Record<string, DeclaredFacts>;
  /** Routes by the names that clients ask for. */
  routes: Record<string, DeclaredRoute>;
}

/** What there is without a file. */
export function emptyConfigFile(): ConfigFile {
  return { plugins: {}, providers: {}, models: {}, routes: {} };
}

/** The JSON Schema of the file, for editors. */
export function configFileSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(fileShape, { io: "input" }) };
}

/** What the parser misses, in words. It quotes nothing of the file, which may hold secrets. */
const faults: readonly string[] = [
  "",
  "a symbol that does not belong here",
  "a number that is none",
  'a name in "quotes" is missing',
  "a value is missing",
  "a colon is missing",
  "a comma is missing",
  "a closing brace is missing",
  "a closing bracket is missing",
  "the end of the file is missed: one object is enough",
  "a comment symbol that does not belong here",
  "a comment that does not end",
  "a text that does not end",
  "a number that does not end",
  "an escape with wrong hex digits",
  "an escape that does not exist",
  "a character that must be escaped",
];

/**
 * Reads the file.
 *
 * @param path Where it lies, for messages.
 * @param text What stands in it.
 * @returns Its sections, or every problem with its line and column.
 */
export function parseConfigFile(
  path: string,
  text: string,
): { file: ConfigFile; problems: [] } | { file?: undefined; problems: Problem[] } {
  // Some editors put a byte order mark before it.
  const source = text.replace(/^\ufeff/, "");
  const at = (offset: number) => `${path}:${place(source, offset)}`;
  const errors: ParseError[] = [];
  const root = parseTree(source, errors, { allowTrailingComma: true });
  const [error] = errors;
  if (error !== undefined || root === undefined) {
    const what = faults[error?.error ?? 4] ?? "it cannot be read";
    return { problems: [{ at: at(error?.offset ?? 0), message: `is not valid JSON: ${what}` }] };
  }
  const twice = repeated(root);
  if (twice !== undefined) {
    return {
      problems: [{
        at: at(twice.offset),
        message: `names "${twice.value}" twice. Keep one of them`,
      }],
    };
  }
  const { value, issues } = readValue(fileShape, getNodeValue(root));
  if (value !== undefined) return { file: value as ConfigFile, problems: [] };
  return {
    problems: issues.map(({ path: field, message }) => ({
      at: at(offsetOf(root, field)),
      message: field.length === 0 ? message : `"${field.join(".")}": ${message}`,
    })),
  };
}

/** Line and column of an offset, both from 1: `3:14`. */
function place(text: string, offset: number): string {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return `${before.length}:${before.at(-1)!.length + 1}`;
}

/** Where a field stands, or as much of its path as there is. */
function offsetOf(root: Node, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length).map(toSegment));
    // A field's own name says more than its value.
    if (node !== undefined) return (node.parent?.type === "property" ? node.parent : node).offset;
  }
  return root.offset;
}

function toSegment(step: PropertyKey): string | number {
  return typeof step === "number" ? step : String(step);
}

/** A name that an object has twice: the first one would be lost. */
function repeated({ type, children = [] }: Node): Node | undefined {
  const names = new Set<string>();
  for (const child of children) {
    const name = type === "object" ? child.children?.[0] : undefined;
    if (name !== undefined && names.has(name.value)) return name;
    if (name !== undefined) names.add(name.value);
    const inside = repeated(child);
    if (inside !== undefined) return inside;
  }
  return undefined;
}
