/**
 * Whether values fit a client's JSON Schema.
 *
 * @module
 */
import { dereference, type Schema as LibrarySchema, validate } from "@cfworker/json-schema";
import { RecentTexts } from "../../core/recent_texts.ts";
import type { Schema } from "./schema_merge.ts";

/** Nodes of the schema, and values of its enums, that one check looks at. */
const mostSteps = 1_000_000;

/** Characters of the addresses of a schema's parts together: the library writes each of them out. */
const mostAddressed = 4 * 1024 * 1024;

/** OpenAI's formats; the library's patterns of some others can take for ever. */
const formats = new Set([
  ...["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"],
]);

/** UTF-16 units of memory that a node takes, beside its address. */
const nodeUnits = 256;

/** Clients that ask for documents ask for the same ones again and again. */
const recent = new RecentTexts<JsonSchema>(
  4 * 1024 * 1024,
  (text, { size }) => text.length + size,
);

/** Those of requests that last, for their answers. */
const known = new WeakMap<Schema, JsonSchema>();

/**
 * A client's schema. Regular expressions in it are not looked at: one that takes for ever would
 * stop everybody's requests.
 */
export class JsonSchema {
  readonly #schema: LibrarySchema;
  readonly #lookup: Record<string, LibrarySchema | boolean>;
  #steps = 0;
  /** UTF-16 units of memory that it takes. */
  readonly size: number;

  /**
   * Reads a schema, once: to read it takes longer than all else that is done with a request.
   *
   * @param schema A JSON Schema; it stays as it is.
   * @throws {Error} for a reference that leads nowhere; its message follows the schema's name.
   */
  static of(schema: Schema): JsonSchema {
    let read = known.get(schema);
    if (read === undefined) known.set(schema, read = JsonSchema.#ofText(JSON.stringify(schema)));
    return read;
  }

  static #ofText(text: string): JsonSchema {
    let read = recent.get(text);
    if (read === undefined) recent.set(text, read = new JsonSchema(text));
    return read;
  }

  private constructor(text: string) {
    this.#schema = JSON.parse(text);
    this.#lookup = resolve(this.#schema);
    this.size = Object.keys(this.#lookup).reduce((sum, { length }) => sum + length + nodeUnits, 0);
    for (const node of new Set(Object.values(this.#lookup))) {
      if (typeof node !== "object") continue;
      const target = node.__absolute_ref__ ?? node.$ref;
      if (target !== undefined && !Object.hasOwn(this.#lookup, target)) {
        throw new Error(`has a "$ref" to "${node.$ref}", which is not in it`);
      }
      this.#limit(node);
    }
  }

  /** @returns What is wrong with a value, and where; `undefined` for one that fits. */
  problemOf(value: unknown): string | undefined {
    this.#steps = 0;
    try {
      const { errors } = validate(value, this.#schema, "2020-12", this.#lookup);
      // The innermost error comes last, and says most.
      const problem = errors.at(-1);
      return problem && `${problem.instanceLocation}: ${problem.error}`;
    } catch {
      // The schema is too big, or no schema at all: the answer is not to blame.
      return undefined;
    }
  }

  /** Leaves out of a node what may take too long, and counts how often it is looked at. */
  #limit(node: LibrarySchema): void {
    delete node.pattern;
    if (node.patternProperties !== undefined) {
      delete node.patternProperties;
      delete node.additionalProperties;
      delete node.unevaluatedProperties;
    }
    if (!formats.has(node.format ?? "")) delete node.format;
    const weight = 1 + (Array.isArray(node.enum) ? node.enum.length : 0);
    // The library knows no limit, but reads this of each node that it looks at.
    Object.defineProperty(node, "$recursiveRef", {
      get: () => {
        this.#steps += weight;
        if (this.#steps > mostSteps) throw new RangeError("The schema is too big");
        return undefined;
      },
    });
  }
}

function resolve(schema: LibrarySchema): Record<string, LibrarySchema | boolean> {
  try {
    if (addressed(schema, 0) > mostAddressed) {
      throw new RangeError("it is nested too deeply for names that long. Shorten them");
    }
    return dereference(schema);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot be read: ${reason}`);
  }
}

/** Characters of the addresses of all that is in a value, at least as far as the limit. */
function addressed(value: unknown, prefix: number): number {
  if (typeof value !== "object" || value === null) return 0;
  let sum = prefix;
  for (const [name, part] of Object.entries(value)) {
    if (sum > mostAddressed) break;
    sum += addressed(part, prefix + 1 + encodeURI(name).length);
  }
  return sum;
}
