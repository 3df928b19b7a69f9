/**
 * DeepSeek.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({
  name: "deepseek",
  baseUrl: "https://api.deepseek.com/v1",
  // By its page of models and prices (May 2026).
  models: { "deepseek-v4-{flash,pro}": { context: 1_000_000, maxOutput: 384_000 } },
});
