/**
 * GigaChat's models and what is known of them.
 *
 * @module
 */
import type { ModelFacts, Price } from "xrouter/provider";

/** One rate for question and answer; tokens from the cache are free (Sber's guide to counting). */
const roubles = (rate: number): Price => ({
  currency: "RUB",
  input: rate,
  output: rate,
  cached: 0,
});

/** Sber publishes no tokenizer of the served models; this counts until GigaChat reports usage. */
const encoding = "o200k_base";

const lite: ModelFacts = { price: roubles(65), context: 131_072, encoding };
const pro: ModelFacts = { price: roubles(500), context: 131_072, encoding };
const max: ModelFacts = { price: roubles(650), context: 131_072, encoding };

/** All models that make vectors have one price. */
const embedder: ModelFacts = { price: roubles(14), encoding };

/**
 * By id. Prices are those of Sber's tariff page for companies (October 2026), for tokens bought one
 * by one; packages and individual tariffs differ and are set in the configuration file. The names of
 * the first generation are served by the second, at the rates that the first had too. The third
 * generation has no confirmed price, and Pro and Lightning of it no published context.
 */
export const models: Readonly<Record<string, ModelFacts>> = {
  "GigaChat": lite,
  "GigaChat-Pro": pro,
  "GigaChat-Max": max,
  "GigaChat-2": lite,
  "GigaChat-2-Pro": pro,
  "GigaChat-2-Max": max,
  "GigaChat-3-Lightning": { encoding },
  "GigaChat-3-Pro": { encoding },
  "GigaChat-3-Ultra": { context: 131_072, encoding },
  "Embeddings": embedder,
  "Embeddings-2": embedder,
  "EmbeddingsGigaR": embedder,
  "GigaEmbeddings-3B-2025-09": embedder,
};
