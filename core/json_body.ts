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

/**
 * How many objects, lists and fields of objects the JSON of a request may hold: four thousand messages
 * of eight parts. A million of them takes seconds to parse and to check, in which nobody else is
 * served.
 */
export const maxParts = 100_000;

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
  const json = parseJson(bytes);
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

/**
 * Parses a request's body, within what JSON may hold here.
 *
 * @throws {RouterError} `invalid_request` naming what is wrong.
 */
export function parseJson(bytes: Uint8Array): unknown {
  checkSize(bytes);
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? "JSON" : "UTF-8";
    throw new RouterError(
      "invalid_request",
      `The body is not valid ${reason}. Send one JSON object`,
    );
  }
}

/**
 * Looks at the signs of JSON that lie outside of strings: no sooner than that its limits are kept may it
 * be parsed.
 *
 * @throws {RouterError} `invalid_request` naming the limit that it exceeds.
 */
function checkSize(json: Uint8Array): void {
  let depth = 0;
  let parts = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case signs.quote:
        at = endOfString(json, at);
        break;
      case signs.list:
      case signs.object:
        if (++depth > maxDepth) throw tooMuch(`nests deeper than ${maxDepth} levels`);
        parts++;
        break;
      case signs.listEnd:
      case signs.objectEnd:
        depth--;
        break;
      case signs.colon:
        parts++;
    }
    if (parts > maxParts) {
      throw tooMuch(`holds more than ${maxParts} objects, lists and fields`);
    }
  }
}

const signs = {
  quote: 34,
  colon: 58,
  list: 91,
  backslash: 92,
  listEnd: 93,
  object: 123,
  objectEnd: 125,
} as const;

function tooMuch(what: string): RouterError {
  return new RouterError("invalid_request", `The body ${what}`);
}

/** Where the string ends that begins at `start`; the end of all where it does not. */
function endOfString(json: Uint8Array, start: number): number {
  for (let end = start;;) {
    end = json.indexOf(signs.quote, end + 1);
    if (end === -1) return json.length;
    let escapes = 0;
    while (json[end - 1 - escapes] === signs.backslash) escapes++;
    if (escapes % 2 === 0) return end;
  }
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
