/**
 * The fake's `POST /v1/embeddings`: vectors that depend on the text alone.
 *
 * @module
 */
import { refuse } from "./fake_gigachat_fault.ts";
import { tokensOf } from "./fake_gigachat_answer.ts";

/** How many numbers a vector has. */
export const dimensions = 8;

/** The models that make vectors. */
export const embedders: readonly string[] = ["Embeddings", "EmbeddingsGigaR"];

/** The vector of a text. */
export function vectorOf(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return Array.from({ length: dimensions }, (_, place) => {
    const sum = bytes.reduce((total, byte, at) => total + byte * ((at * 7 + place) % 11), 0);
    // Halves, so that 32 bits hold them exactly.
    return (sum % 64) / 2 - 16;
  });
}

/** Answers a request as strictly as the published schema says. */
export function answerEmbeddings(body: unknown): Response {
  const { model, input, ...rest } = (body ?? {}) as Record<string, unknown>;
  const texts = typeof input === "string" ? [input] : input;
  if (
    typeof model !== "string" || !Array.isArray(texts) || texts.length === 0 ||
    texts.some((text) => typeof text !== "string") || Object.keys(rest).length > 0
  ) {
    return refuse(400, "Your request contains invalid JSON syntax.");
  }
  if (!embedders.includes(model)) return refuse(404, "No such model");
  return Response.json({
    object: "list",
    model,
    data: texts.map((text: string, index) => ({
      object: "embedding",
      embedding: vectorOf(text),
      index,
      usage: { prompt_tokens: tokensOf(text) },
    })),
  });
}
