/**
 * Polza.ai, a Russian aggregator; models are named as in `sber/gigachat-2-max`.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "polza", baseUrl: "https://polza.ai/api/v1" });
