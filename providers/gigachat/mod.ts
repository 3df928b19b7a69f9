/**
 * GigaChat, Sber's models, by its v1 API, and by v2 for the models that are set to it.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";
import { accountsOf, missing } from "./accounts.ts";
import { bring, faultOfFiles } from "./attachments.ts";
import { authorize } from "./auth.ts";
import { balance } from "./balance.ts";
import { addHeaders } from "./call_headers.ts";
import { httpClient } from "./certificate.ts";
import { GigachatDecoder } from "./decode.ts";
import { countTokens } from "./count_tokens.ts";
import { embeddings } from "./embeddings.ts";
import { encode } from "./encode.ts";
import { fault } from "./fault.ts";
import { grantedTo } from "./granted_fields.ts";
import { listModels, models } from "./models.ts";
import { letRead } from "./reader.ts";
import { gigachatSettings } from "./settings.ts";
import { contentType } from "./file_type.ts";
import { uploadsOf } from "./uploads.ts";
import { chatUrlOfV2 } from "./v2/chat_url.ts";
import { V2Decoder } from "./v2/decode.ts";
import { encodeV2 } from "./v2/encode.ts";
import { unknownTool } from "./v2/fault.ts";
import { usesV2 } from "./v2/settings.ts";
import { rememberToolRole, tryOtherRole } from "./v2/tool_role.ts";
import { fetchImages } from "./web_images.ts";

export default defineProvider({
  name: "gigachat",
  baseUrl: "https://api.giga.chat/v1",
  requiresTls: true,
  settings: gigachatSettings,
  models,
  freeCache: true,
  /** As measured by others: 30 seconds after the last hit. Without a session hits are a matter of luck. */
  cacheSeconds: ({ sessions }) => sessions === "on" ? 30 : undefined,
  missing,
  accounts: accountsOf,
  authorize,
  httpClient,
  listModels,
  balance,

  chatUrl: ({ model }, { settings, baseUrl }) =>
    usesV2(model, settings) ? chatUrlOfV2(baseUrl) : `${baseUrl}/chat/completions`,
  prepare: fetchImages,
  encode(body, call, fetched) {
    addHeaders(body, call);
    if (usesV2(body.model, call.settings)) return encodeV2(body, call, fetched);
    const brought = bring(encode(body, call), call, fetched);
    return brought instanceof Promise
      ? brought.then((encoded) => letRead(encoded, body, call))
      : brought;
  },
  decoder(body, call) {
    if (!usesV2(body.model, call.settings)) {
      const asksForAll = grantedTo(call).includes("n");
      return new GigachatDecoder(body, asksForAll ? body.n ?? 1 : 1);
    }
    rememberToolRole(body.model, call);
    return new V2Decoder(new GigachatDecoder(body), body, call);
  },
  sendAgain: (refusal, _body, call) => tryOtherRole(refusal, call),
  embeddings,
  countTokens,
  fault: (status, body, headers, call) =>
    (call && faultOfFiles(status, body, call)) ?? unknownTool(status, body) ??
      fault(status, body, headers),
  files: {
    purpose: "general",
    contentType,
    deletion: (id) => ({ method: "POST", path: `/files/${id}/delete` }),
  },
  /** What was uploaded for requests is deleted. */
  close: ({ settings }) => uploadsOf(settings).close(),

  /**
   * Sber does not say whether an answer that is broken off is billed to its end. Streams are scarce
   * (one for a personal key, ten for a company's), so the one nobody reads is given back.
   */
  onAbort: "cancel",
});
