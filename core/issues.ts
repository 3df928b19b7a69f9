/**
 * What is wrong with a value, in the words of the schema's own parts.
 *
 * @module
 */
import { z } from "zod";

/** One thing that is wrong. */
export interface Issue {
  /** Where. */
  readonly path: readonly PropertyKey[];
  /** What, and what would be right: `must be a number`. */
  readonly message: string;
}

/**
 * Reads a value by its schema.
 *
 * @returns What it is, or all that is wrong with it. Where a value may have several forms, that is what
 * is wrong with the form that it was meant to have: the first whose type fits.
 */
export function readValue<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): { value: z.output<Schema>; issues: [] } | { value?: undefined; issues: Issue[] } {
  const read = schema.safeParse(value, { error: wordsFor });
  if (read.success) return { value: read.data, issues: [] };
  return { issues: read.error.issues.flatMap((issue) => unfold(issue, [])) };
}

function unfold(issue: z.core.$ZodIssue, base: readonly PropertyKey[]): Issue[] {
  const path = [...base, ...issue.path];
  if (issue.code === "invalid_union") {
    const meant = issue.errors.find((form) => !form.some(isOtherType));
    if (meant !== undefined) return meant.flatMap((each) => unfold(each, path));
  }
  return [{
    path,
    message: issue.code === "invalid_key" ? issue.issues[0]!.message : issue.message,
  }];
}

/** Whether the value is not even of the type that this form has. */
function isOtherType({ code, path }: z.core.$ZodIssue): boolean {
  return path.length === 0 && (code === "invalid_type" || code === "invalid_value");
}

/** What is said where the schema has no words of its own: what would be right, never the value. */
export function wordsFor(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "unrecognized_keys") {
    const known = issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : [];
    const unknown = `unknown field ${quoted(issue.keys).join(", ")}`;
    return known.length === 0 ? unknown : `${unknown}. Known fields: ${quoted(known).join(", ")}`;
  }
  const must = mustOf(issue);
  return must && (issue.input === undefined ? `is missing. It must ${must}` : `must ${must}`);
}

function mustOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return `be ${types[issue.expected] ?? `of the type ${issue.expected}`}`;
    case "invalid_value":
      return `be ${
        either.format(issue.values.map((each) =>
          typeof each === "string" ? `"${each}"` : String(each)
        ))
      }`;
    case "too_small":
      return bound(issue, issue.inclusive ? "at least" : "above", issue.minimum);
    case "too_big":
      return bound(issue, issue.inclusive ? "at most" : "below", issue.maximum);
    default:
      return undefined;
  }
}

function bound({ origin }: { origin: string }, side: string, limit: number | bigint): string {
  const unit = units[origin];
  return unit === undefined
    ? `be ${side} ${limit}`
    : `have ${side} ${limit} ${unit}${Number(limit) === 1 ? "" : "s"}`;
}

function quoted(names: readonly string[]): string[] {
  return names.map((each) => `"${each}"`);
}

/** One of several: `a, b or c`. */
const either = new Intl.ListFormat("en-GB", { type: "disjunction" });

const types: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  function: "a function",
  int: "a whole number",
  number: "a number",
  object: "an object",
  record: "an object",
  string: "a string",
};

const units: Readonly<Record<string, string>> = { array: "item", string: "character" };
