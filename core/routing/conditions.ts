/**
 * Conditions: which requests a target of a route takes.
 *
 * @module
 */
import { z } from "zod";
import { languages, type Needs } from "./needs.ts";

/** Which requests a target takes: those to which all that is given applies. */
export interface Conditions {
  /** Those of these keys: names of keys, or of their owners. */
  readonly keys?: readonly string[] | undefined;
  /** Those with one of these in `x-xrouter-tag`. */
  readonly tags?: readonly string[] | undefined;
  /** Those with at least so many input tokens, as counted. */
  readonly minTokens?: number | undefined;
  /** Those with at most so many input tokens, as counted. */
  readonly maxTokens?: number | undefined;
  /** Those with tools, or those without. */
  readonly tools?: boolean | undefined;
  /** Those with images, or those without. */
  readonly images?: boolean | undefined;
  /** Those whose last user message has this language, by its letters. */
  readonly language?: typeof languages[number] | undefined;
}

const names = z.array(z.string().min(1)).min(1);
const tokens = z.int().min(0);

/** The schema of {@linkcode Conditions}. */
export const conditionsSchema = z.strictObject(
  {
    keys: names.describe("Requests of these keys: names of keys, or of their owners").optional(),
    tags: names.describe("Requests with one of these in x-xrouter-tag").optional(),
    minTokens: tokens.describe("Requests with at least so many input tokens, as counted")
      .optional(),
    maxTokens: tokens.describe("Requests with at most so many input tokens, as counted").optional(),
    tools: z.boolean().describe("Requests with tools (true), or without (false)").optional(),
    images: z.boolean().describe("Requests with images (true), or without (false)").optional(),
    language: z.enum(languages).describe(
      "Told by letters alone: ru where at least half of those of the last user message are Cyrillic, en where fewer are; a message without letters has none",
    ).optional(),
  } satisfies Record<keyof Conditions, z.ZodType>,
).refine(({ minTokens = 0, maxTokens = Infinity }) => minTokens <= maxTokens, {
  path: ["minTokens"],
  error: 'must not be above "maxTokens": no request has that many tokens and that few',
}).describe("Which requests it takes: those to which all that is given applies");

/** Why a request does not fit, in words that follow a target's name; `undefined` where it does. */
export function misfit(when: Conditions, needs: Needs): string | undefined {
  const { keys, tags, minTokens, maxTokens, tools, images, language } = when;
  const { caller, tag, inputTokens } = needs;
  if (keys && !(caller && (keys.includes(caller.name) || keys.includes(caller.owner ?? "")))) {
    return "takes other keys";
  }
  if (tags && !(tag !== undefined && tags.includes(tag))) return "takes other tags";
  if (minTokens !== undefined && inputTokens < minTokens) {
    return `takes ${minTokens} input tokens or more, not ${inputTokens}`;
  }
  if (maxTokens !== undefined && inputTokens > maxTokens) {
    return `takes ${maxTokens} input tokens or fewer, not ${inputTokens}`;
  }
  if (tools !== undefined && tools !== needs.tools) {
    return tools ? "takes requests with tools" : "takes requests without tools";
  }
  if (images !== undefined && images !== needs.images) {
    return images ? "takes requests with images" : "takes requests without images";
  }
  if (language !== undefined && language !== needs.language) {
    return `takes messages in "${language}" by their letters`;
  }
  return undefined;
}
