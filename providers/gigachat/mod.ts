/**
 * GigaChat, Sber's models, by its v1 API.
 *
 * @module
 */
import { defineProvider, RouterError } from "xrouter/provider";
import { faultByStatus } from "../../core/fault.ts";
import { authorize } from "./auth.ts";
import { authoritiesFor } from "./certificate.ts";
import { GigachatDecoder } from "./decode.ts";
import { countTokens } from "./count_tokens.ts";
import { embeddings } from "./embeddings.ts";
import { encode } from "./encode.ts";
import { fault } from "./fault.ts";
import { models } from "./models.ts";
import { gigachatSettings } from "./settings.ts";

export default defineProvider({
  name: "gigachat",
  baseUrl: "https://api.giga.chat/v1",
  settings: gigachatSettings,
  models,

  missing: ({ credentials }) =>
    credentials === undefined
      ? "Set GIGACHAT_CREDENTIALS to the authorization key of the GigaChat project in the Studio cabinet"
      : undefined,

  authorize,
  httpClient: (settings, baseUrl) => ({ caCerts: authoritiesFor(settings, baseUrl) }),

  /** Filters and checkers stand in the same list; older hosts give no type at all. */
  async listModels(wire) {
    const response = await wire.send("/models");
    const text = await response.text();
    if (!response.ok) {
      throw fault(response.status, text) ??
        faultByStatus("gigachat", response.status, text, response.headers);
    }
    const { data } = JSON.parse(text) as { data?: { id?: unknown; type?: unknown }[] };
    if (!Array.isArray(data)) {
      throw new RouterError("upstream_unavailable", "GigaChat's list of models has another shape", {
        detail: text.slice(0, 500),
      });
    }
    return data.filter(({ type }) => type === undefined || type === "chat" || type === "embedder")
      .map(({ id }) => String(id));
  },

  encode,
  decoder: (body) => new GigachatDecoder(body),
  embeddings,
  countTokens,
  fault,

  /**
   * Sber does not say whether an answer that is broken off is billed to its end. Streams are scarce
   * (one for a personal key, ten for a company's), so the one nobody reads is given back.
   */
  onAbort: "cancel",
});
