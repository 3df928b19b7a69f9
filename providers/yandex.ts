/**
 * Yandex AI Studio. Its models are called by URIs that hold the folder, such as
 * `gpt://<folder>/yandexgpt-lite/rc`; clients write `yandexgpt-lite:rc`, or the URI itself.
 *
 * @module
 */
import { defineProvider, type ModelFacts, setting } from "xrouter/provider";
import { z } from "zod";

const settings = z.strictObject({
  folderId: setting(
    "YANDEX_FOLDER_ID",
    z.string().regex(/^[\w-]+$/, "must be the id of a folder").optional(),
    "The id of the Yandex Cloud folder that calls are made for",
  ),
  apiKey: setting(
    "YANDEX_API_KEY",
    z.string().optional(),
    "The API key of a Yandex Cloud service account",
    { secret: true },
  ),
  iamToken: setting(
    "YANDEX_IAM_TOKEN",
    z.string().optional(),
    "A Yandex Cloud IAM token, used where there is no API key; it ends within twelve hours",
    { secret: true },
  ),
});

/** Yandex's own models by its page of models (October 2026); it gives tokens, and no tokenizer. */
const models: Record<string, ModelFacts> = {
  "aliceai-llm": { context: 131_072 },
  "aliceai-llm-flash": { context: 65_536 },
  "yandexgpt-5-lite": { context: 32_768 },
  "yandexgpt-5-pro": { context: 32_768 },
  "yandexgpt-5.1": { context: 32_768 },
};
for (const name of ["text-search-doc", "text-search-query"]) models[name] = { kind: "embeddings" };
for (const name of ["yandexgpt", "yandexgpt-32k", "yandexgpt-lite"]) {
  for (const branch of ["", ":latest", ":rc", ":deprecated"]) {
    models[`${name}${branch}`] = { context: 32_768 };
  }
}

/** The URI of a model. `yandexgpt-32k` has left Yandex's list, since `yandexgpt` has its context. */
function toUri(model: string, folderId: string | undefined, scheme: "gpt" | "emb" = "gpt"): string {
  if (model.includes("://")) return model;
  const path = model.replace(":", "/").replace(/^yandexgpt-32k(?=\/|$)/, "yandexgpt");
  return `${scheme}://${folderId}/${path.includes("/") ? path : `${path}/latest`}`;
}

export default defineProvider({
  name: "yandex",
  baseUrl: "https://ai.api.cloud.yandex.net/v1",
  settings,
  models,
  missing: ({ folderId, apiKey, iamToken }) =>
    folderId && (apiKey || iamToken)
      ? undefined
      : "Set YANDEX_FOLDER_ID, and YANDEX_API_KEY or YANDEX_IAM_TOKEN",
  authorize: ({ settings: { folderId, apiKey, iamToken } }) => ({
    authorization: apiKey ? `Api-Key ${apiKey}` : `Bearer ${iamToken}`,
    "openai-project": folderId!,
  }),
  encode: (body, { settings }) => ({ ...body, model: toUri(body.model, settings.folderId) }),
  embeddings: {
    plain: true,
    single: true,
    encode: (body, { settings }) => ({
      ...body,
      model: toUri(body.model, settings.folderId, "emb"),
    }),
  },
  /** Pictures (`art:`) and speech stand in the same list. */
  listed({ id }, { folderId }) {
    const [, scheme, folder, path] = /^(gpt|emb):\/\/([^/]+)\/(.+)$/.exec(id) ?? [];
    if (path === undefined || path.startsWith("speech-")) return undefined;
    // Another folder's, or a tuned model of embeddings, is called by its whole URI.
    if (folder !== folderId || (scheme === "emb" && !path.startsWith("text-search-"))) return id;
    return path.replace(/\/latest$/, "").replace("/", ":");
  },
});
