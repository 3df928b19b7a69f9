/**
 * GigaChat's models and what is known of them.
 *
 * @module
 */
import {
  type ModelFacts,
  type OfferedModel,
  type Price,
  RouterError,
  type Wire,
} from "xrouter/provider";
import { faultByStatus } from "../../core/fault.ts";
import { fault } from "./fault.ts";
import type { GigachatSettings } from "./settings.ts";

/** One rate for question and answer. */
const roubles = (rate: number): Price => ({ currency: "RUB", input: rate, output: rate });

/** Sber publishes no tokenizer of the served models; this counts until GigaChat reports usage. */
const encoding = "o200k_base";

/** What every chat heeds, with what XRouter does in its place (`stop`). */
const chat: ModelFacts = {
  kind: "chat",
  parameters: [
    "max_completion_tokens",
    "max_tokens",
    "repetition_penalty",
    "response_format",
    "stop",
    "structured_outputs",
    "temperature",
    "top_p",
  ],
  tools: true,
  encoding,
};

const lite: ModelFacts = { ...chat, price: roubles(65), context: 131_072 };
const pro: ModelFacts = { ...chat, price: roubles(500), context: 131_072 };
const max: ModelFacts = { ...chat, price: roubles(650), context: 131_072, images: true };

/** All models that make vectors have one price. */
const embedder: ModelFacts = { kind: "embeddings", images: false, price: roubles(14), encoding };

/**
 * By id. Prices are those of Sber's tariff page for companies (October 2026), for tokens bought one
 * by one; packages and individual tariffs differ and are set in the configuration file. The names of
 * the first generation are served by the second, at the rates that the first had too. The third
 * generation has no confirmed price, and Pro and Lightning of it no published context. Which models
 * beside Max see images Sber does not publish, nor how long their answers may be.
 */
export const models: Readonly<Record<string, ModelFacts>> = {
  "GigaChat": lite,
  "GigaChat-Pro": pro,
  "GigaChat-Max": max,
  "GigaChat-2": lite,
  "GigaChat-2-Pro": pro,
  "GigaChat-2-Max": max,
  "GigaChat-3-Lightning": chat,
  "GigaChat-3-Pro": chat,
  "GigaChat-3-Ultra": { ...chat, context: 131_072 },
  "Embeddings": embedder,
  "Embeddings-2": embedder,
  "EmbeddingsGigaR": embedder,
  "GigaEmbeddings-3B-2025-09": embedder,
};

/** What the types in a host's list are for; it has others, too. */
const kinds: ReadonlyMap<unknown, OfferedModel["kind"]> = new Map([
  ["chat", "chat"],
  ["embedder", "embeddings"],
]);

/** What else stands in the list of a host that names no types. */
const otherKinds = /^(GigaCheck|GigaFilter)/;

/**
 * The models that a host offers to an account for chats and embeddings: early builds
 * (`GigaChat-2-Max-preview`) as well, but no filters and checkers, which stand in the same list.
 *
 * @throws {RouterError} What the refusal means.
 */
export async function listModels(wire: Wire<GigachatSettings>): Promise<OfferedModel[]> {
  const response = await wire.send("/models");
  const { status, headers } = response;
  const text = await response.text();
  if (!response.ok) {
    // No model was asked for that a host may lack, and no stream that it may refuse.
    throw (status === 404 || status === 429 ? undefined : fault(status, text, headers)) ??
      faultByStatus("gigachat", status, text, headers);
  }
  const { data } = JSON.parse(text) as { data?: { id?: unknown; type?: unknown }[] };
  if (!Array.isArray(data)) {
    throw new RouterError("upstream_unavailable", "GigaChat's list of models has another shape", {
      detail: text.slice(0, 500),
    });
  }
  const offered = data.filter((model) =>
    typeof model?.id === "string" && (kinds.has(model.type) ||
      (model.type ?? undefined) === undefined && !otherKinds.test(model.id))
  ).map(({ id, type }) => ({ id: withoutBuild(id as string), kind: kinds.get(type) }));
  return [...new Map(offered.map((each) => [each.id, each])).values()];
}

/** The name of a model without the build that serves it: `GigaChat-2:2.0.28.2`. */
function withoutBuild(id: string): string {
  return id.replace(/:[\d.]+$/, "");
}
