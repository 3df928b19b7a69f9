/**
 * A model: what is known of it, and how a request is aimed at it.
 *
 * @module
 */
import { z } from "zod";
import type { Price } from "./prices/price.ts";
import { type DeclaredPrice, declaredPriceSchema } from "./prices/tariff.ts";
import { type Encoding, encodings } from "./tokens.ts";

/** What models are for: `chat` answers chats alone, `embeddings` makes vectors alone. */
export const modelKinds = ["chat", "embeddings"] as const;

/** What is known of a model. A field that is absent is not known. */
export interface ModelFacts {
  /** What its tokens cost now. Without it costs are recorded as unknown, never as 0. */
  readonly price?: Price | undefined;
  /** Tokens that prompt and answer may have together. */
  readonly context?: number | undefined;
  /** Tokens that an answer may have. */
  readonly maxOutput?: number | undefined;
  /** The encoding its tokens are counted with before the provider reports them. */
  readonly encoding?: Encoding | undefined;
  /** What it is for; a request for the other is never sent to it. */
  readonly kind?: typeof modelKinds[number] | undefined;
  /** Fields of a chat that it heeds, beside those of tools, by the names that OpenRouter has for them. */
  readonly parameters?: readonly string[] | undefined;
  /** It can call tools; `false`: a request with tools is never sent to it. */
  readonly tools?: boolean | undefined;
  /** It can see images; `false`: a request with images is never sent to it. */
  readonly images?: boolean | undefined;
  /** It goes on from a last message whose role is `assistant`. */
  readonly prefill?: boolean | undefined;
  /** Where it runs, as ISO 3166-1 writes countries in small letters: `ru`. */
  readonly region?: string | undefined;
  /** Calls of it that may run at a time, over all accounts of its provider. */
  readonly parallel?: number | undefined;
}

/** What a provider's file, or the configuration file, says of a model. */
export interface DeclaredFacts extends Omit<ModelFacts, "price"> {
  /** What its tokens cost: one price, or several, each from its day on. */
  readonly price?: DeclaredPrice | undefined;
}

/** The schema of {@linkcode DeclaredFacts}. */
export const declaredFactsSchema = z.strictObject({
  price: declaredPriceSchema.describe(
    'What a million tokens cost: {"currency","input","output","cached"}, or a list of these, each with the day "from" which it holds',
  ).optional(),
  context: z.int().positive().describe("Tokens that prompt and answer may have together")
    .optional(),
  maxOutput: z.int().positive().describe("Tokens that an answer may have").optional(),
  encoding: z.enum(encodings).describe("The encoding its tokens are counted with").optional(),
  kind: z.enum(modelKinds).describe(
    "What it is for, chat or embeddings; requests for the other are never sent to it",
  ).optional(),
  parameters: z.array(z.string()).describe(
    "Fields of a chat that it heeds, beside those of tools: shown to clients as supported_parameters",
  ).optional(),
  tools: z.boolean().describe("false: requests with tools are never sent to it").optional(),
  images: z.boolean().describe("false: requests with images are never sent to it").optional(),
  prefill: z.boolean().describe("It goes on from a last message whose role is assistant")
    .optional(),
  region: z.string().regex(/^[a-z]{2}$/, 'must be a country in two small letters, such as "ru"')
    .describe("The country where it runs").optional(),
  parallel: z.int().positive().describe("Calls of it that may run at a time, over all accounts")
    .optional(),
});

/** One model of one provider. */
export interface Target {
  /** The provider's name. */
  readonly provider: string;
  /** The model's id as the vendor spells it. */
  readonly model: string;
  /** What is known of it. */
  readonly facts: ModelFacts;
}
