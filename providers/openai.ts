/**
 * OpenAI, and with `OPENAI_BASE_URL` any one vendor that speaks its wire.
 *
 * Prices are left to the configuration file: they are in another currency than the accounts and
 * change without notice.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({
  name: "openai",
  baseUrl: "https://api.openai.com/v1",
  files: {},
  // OpenAI stops generating, and billing, when the connection closes.
  onAbort: "cancel",
});
