// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's embeddings: texts only, and usage told for each of them.
 *
 * @module
 */
import { type EmbeddingsReply, type EmbeddingsWire, RouterError, textsOf } from "xrouter/provider";

interface GigachatEmbeddings {
  data?: { embedding?: unknown; index?: number; usage?: { prompt_tokens?: unknown } }[];
  model?: unknown;
}

/** What differs from OpenAI's. */
export const embeddings: EmbeddingsWire = {
  plain: true,

  encode: (body) => ({ model: body.model, input: textsOf(body) }),

  decode(json): EmbeddingsReply {
    const { data, model } = json as GigachatEmbeddings;
    if (!Array.isArray(data) || data.some((item) => !Array.isArray(item?.embedding))) {
      throw new RouterError(
        "upstream_unavailable",
        "GigaChat answered with something that is not a list of embeddings",
      );
    }
    const counts = data.map(({ usage }) => usage?.prompt_tokens);
    const known = counts.filter((count) => typeof count === "number");
    const prompt_tokens = known.reduce((sum, count) => sum + count, 0);
    return {
      object: "list",
      data: data.map(({ embedding, index }, place) => ({
        object: "embedding",
        index: index ?? place,
        embedding: embedding as number[],
      })),
      model,
      // Where one count is missing, the sum would be charged as the whole.
      ...(known.length === data.length && {
        usage: { prompt_tokens, total_tokens: prompt_tokens },
      }),
    };
  },
};
