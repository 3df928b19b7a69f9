/**
 * AITUNNEL, a Russian aggregator of many vendors' models, paid in roubles.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "aitunnel", baseUrl: "https://api.aitunnel.ru/v1" });
