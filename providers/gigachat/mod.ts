/**
 * GigaChat, Sber's models, by its v1 API.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";
import { accountsOf, missing } from "./accounts.ts";
import { authorize } from "./auth.ts";
import { balance } from "./balance.ts";
import { addHeaders } from "./call_headers.ts";
import { httpClient } from "./certificate.ts";
import { GigachatDecoder } from "./decode.ts";
import { countTokens } from "./count_tokens.ts";
import { embeddings } from "./embeddings.ts";
import { encode } from "./encode.ts";
import { fault } from "./fault.ts";
import { listModels, models } from "./models.ts";
import { gigachatSettings } from "./settings.ts";

export default defineProvider({
  name: "gigachat",
  baseUrl: "https://api.giga.chat/v1",
  settings: gigachatSettings,
  models,
  missing,
  accounts: accountsOf,
  authorize,
  httpClient,
  listModels,
  balance,

  encode(body, call) {
    addHeaders(body, call);
    return encode(body, call);
  },
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
