/**
 * OpenAI, and with `OPENAI_BASE_URL` any one vendor that speaks its wire.
 *
 * Prices are left to the configuration file: they are in another currency than the accounts and
 * change without notice.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

const openaiUrl = "https://api.openai.com/v1";

export default defineProvider({
  name: "openai",
  baseUrl: openaiUrl,
  files: {},
  /**
   * OpenAI's newer models refuse `max_tokens`, and all of its models take the newer field. Vendors
   * behind `OPENAI_BASE_URL` may know the older one alone.
   */
  encode(body, { baseUrl }) {
    const { max_tokens: most, ...rest } = body;
    return baseUrl !== openaiUrl || most == null
      ? body
      : { ...rest, max_completion_tokens: rest.max_completion_tokens ?? most };
  },
  // OpenAI stops generating, and billing, when the connection closes.
  onAbort: "cancel",
});
