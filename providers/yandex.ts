/**
 * Yandex AI Studio. `yandexgpt-lite:rc` is its `gpt://<folder>/yandexgpt-lite/rc`, which works too.
 *
 * @module
 */
import { defineProvider, secret, text } from "xrouter/provider";

export default defineProvider({
  name: "yandex",
  baseUrl: "https://ai.api.cloud.yandex.net/v1",
  settings: {
    folderId: text("YANDEX_FOLDER_ID", "The folder to call", /^[\w-]+$/, "must be a folder's id"),
    apiKey: secret("YANDEX_API_KEY", "The API key of a Yandex Cloud service account"),
    iamToken: secret("YANDEX_IAM_TOKEN", "An IAM token, used without an API key; ends in 12 hours"),
  },
  signIn: ["Api-Key {apiKey}", "Bearer {iamToken}"],
  headers: { "openai-project": "{folderId}" },
  models: { // By its page of models (October 2026); it gives tokens, and no tokenizer.
    "aliceai-llm": { kind: "chat", context: 131_072 },
    "aliceai-llm-flash": { kind: "chat", context: 65_536 },
    "yandexgpt{,-lite}{,:rc,:deprecated}": { kind: "chat", context: 32_768 },
    "yandexgpt-5{-lite,-pro,.1}": { kind: "chat", context: 32_768 },
    "text-search-{doc,query}": { kind: "embeddings" },
  },
  renamed: { "yandexgpt-32k": "yandexgpt" }, // The old one has left the list.
  modelUri: "gpt://{folderId}/{model}/{version=latest}",
  embeddings: { modelUri: "emb://{folderId}/{model}/{version=latest}", plain: true, single: true },
  listed: ({ id }) => /(^|\/)speech-/.test(id) ? undefined : id, // Not for chats.
  accepts: { tool_choice: ["auto", "none"] },
});
