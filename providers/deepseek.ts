/**
 * DeepSeek.
 *
 * @module
 */
import { defineProvider, type ModelFacts } from "xrouter/provider";

/** By DeepSeek's page of models and prices (May 2026). */
const v4: ModelFacts = { context: 1_000_000, maxOutput: 384_000 };

export default defineProvider({
  name: "deepseek",
  baseUrl: "https://api.deepseek.com/v1",
  models: { "deepseek-v4-flash": v4, "deepseek-v4-pro": v4 },
});
