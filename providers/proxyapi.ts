/**
 * ProxyAPI, a Russian aggregator; models are named as in `openai/gpt-5-mini`. Twenty
 * requests a minute that are the caller's error pause its key.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "proxyapi", baseUrl: "https://api.proxyapi.ru/v1" });
