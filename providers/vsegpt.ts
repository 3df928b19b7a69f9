/**
 * VseGPT, a Russian aggregator of many vendors' models.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "vsegpt", baseUrl: "https://api.vsegpt.ru/v1" });
