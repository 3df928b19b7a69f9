/**
 * A model: what is known of it, and how a request is aimed at it.
 *
 * @module
 */
import { z } from "zod";
import type { Price } from "./prices/price.ts";
import { type DeclaredPrice, declaredPriceSchema } from "./prices/tariff.ts";
import { type Encoding, encodings } from "./tokens.ts";

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
}

/** What a provider's file, or the configuration file, says of a model. */
export interface DeclaredFacts extends Omit<ModelFacts, "price"> {
  /** What its tokens cost: one price, or several, each from its day on. */
  readonly price?: DeclaredPrice | undefined;
}

/** The schema of {@linkcode DeclaredFacts}. */
export const declaredFactsSchema = z.strictObject({
  price: declaredPriceSchema.optional(),
  context: z.int().positive().optional(),
  maxOutput: z.int().positive().optional(),
  encoding: z.enum(encodings).optional(),
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
