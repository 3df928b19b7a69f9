/**
 * Z.ai, the maker of the GLM models. Its coding plan is called at
 * `https://api.z.ai/api/coding/paas/v4`, by `ZAI_BASE_URL`.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "zai", baseUrl: "https://api.z.ai/api/paas/v4" });
