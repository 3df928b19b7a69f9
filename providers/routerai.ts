/**
 * RouterAI, a Russian aggregator; models are named as at OpenRouter.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "routerai", baseUrl: "https://routerai.ru/api/v1" });
