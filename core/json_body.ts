/**
 * Reading the JSON of a request: parsed, bounded in depth, and checked against a schema.
 *
 * @module
 */
import { z } from "zod";
import { RouterError } from "./errors.ts";
import { narrowingSchema } from "./routing/narrowing.ts";

/** How deep the JSON of a request may nest. OpenAI's own tool schemas allow five levels. */
export const maxDepth = 64;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Zod's copy of a request is thrown away: only its type must know of the other fields. */
export const openObject = z.object as typeof z.looseObject;

/** A text of 1 to 256 characters. */
export const shortText = (what: string) =>
  z.string({ error: `must be ${what}` }).min(1, { error: `must be ${what}` })
    .max(256, { error: "must have at most 256 characters" });

/** A whole number above 0. */
export const positiveInteger = z.int({ error: "must be a whole number above 0" })
  .positive({ error: "must be a whole number above 0" }).nullish();

/** Stops at the first wrong item: zod's own list would collect an issue for each of five million. */
export function checkItems(item: z.ZodType): (list: unknown, context: z.RefinementCtx) => void {
  return (list, context) => {
    if (!Array.isArray(list)) return;
    for (const [place, value] of list.entries()) {
      const issue = item.safeParse(value).error?.issues[0];
      if (issue === undefined) continue;
      context.addIssue({ code: "custom", message: issue.message, path: [place, ...issue.path] });
      return;
    }
  };
}

/** A list of `least` to `most` items. */
export function listOf<Item extends z.ZodType>(
  item: Item,
  error: string,
  least = 0,
  most = Infinity,
) {
  const fits = (list: unknown) =>
    Array.isArray(list) && list.length >= least && list.length <= most;
  return z.custom<z.output<Item>[]>(fits, { error }).superRefine(checkItems(item));
}

/** The fields that say which models are asked, in every kind of request. */
export const modelFields = {
  model: shortText('a model such as "echo" or "gigachat/GigaChat-2"').nullish(),
  models: listOf(shortText("the name of a model"), "must be a list of 1 to 32 models", 1, 32)
    .nullish(),
  provider: narrowingSchema,
};

/**
 * Parses and checks a request's body.
 *
 * @param bytes The body as it came.
 * @param schema What is checked of it; every other field passes through unchecked.
 * @param limit Looks at the parsed body before the schema does, for what would take long to check.
 * @returns The body, with `model` filled from `models` where only that was given.
 * @throws {RouterError} `invalid_request` naming the first field that is wrong.
 */
export function parseBody<Schema extends z.ZodType>(
  bytes: Uint8Array,
  schema: Schema,
  limit: (json: unknown) => void,
): z.infer<Schema> & { model: string } {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? "JSON" : "UTF-8";
    throw new RouterError(
      "invalid_request",
      `The body is not valid ${reason}. Send one JSON object`,
    );
  }
  if (tooDeep(json, maxDepth)) {
    throw new RouterError("invalid_request", `The body nests deeper than ${maxDepth} levels`);
  }
  limit(json);
  const checked = schema.safeParse(json);
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    const param = fieldPath(issue.path);
    const message = param === "" ? `The body ${issue.message}` : `"${param}" ${issue.message}`;
    throw new RouterError("invalid_request", message, param === "" ? {} : { param });
  }
  const body = json as { model?: string | null; models?: string[] | null };
  if (body.model === undefined || body.model === null) {
    const first = body.models?.[0];
    if (first === undefined) {
      throw new RouterError(
        "invalid_request",
        '"model" is missing. Name one, such as "echo"; GET /v1/models lists them',
        { param: "model" },
      );
    }
    body.model = first;
  }
  return json as z.infer<Schema> & { model: string };
}

/** A path as OpenAI writes it: `messages[0].content`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === "number"
        ? `${text}[${step}]`
        : text === ""
        ? String(step)
        : `${text}.${String(step)}`,
    "",
  );
}

/** Whether JSON nests deeper than so many levels. */
export function tooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) {
    for (const item of value) if (tooDeep(item, levels - 1)) return true;
    return false;
  }
  for (const key in value) {
    if (tooDeep((value as Record<string, unknown>)[key], levels - 1)) return true;
  }
  return false;
}
