/**
 * What is wrong with a value, in the words of the schema's own parts.
 *
 * @module
 */
import type { z } from "zod";

/** One thing that is wrong. */
export interface Issue {
  /** Where. */
  readonly path: readonly PropertyKey[];
  /** What. */
  readonly message: string;
}

/**
 * The issues of an error. Where a value may have several forms, those of the form that it was meant
 * to have: the first whose type fits.
 */
export function issuesOf(error: z.ZodError): Issue[] {
  return error.issues.flatMap((issue) => unfold(issue, []));
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
