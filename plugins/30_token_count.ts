/**
 * Counts a request's input tokens before anybody is asked.
 *
 * @module
 */
import { definePlugin } from "xrouter/plugin";
import { noteInput } from "../core/input_tokens.ts";
import { loadTokenizer } from "../core/tokens.ts";

export default definePlugin({
  name: "token-count",
  provides: ["inputTokens"],
  async setup(_config, host) {
    // Loaded at start, so that no request waits for it.
    const standard = await loadTokenizer("o200k_base");
    return {
      async onRequest(x) {
        const encoding = host.catalog.encodingOf(x.body.model);
        const tokenizer = encoding === undefined || encoding === standard.encoding
          ? standard
          : await loadTokenizer(encoding);
        return noteInput(x, tokenizer);
      },
    };
  },
});
