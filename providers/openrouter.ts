/**
 * OpenRouter, an aggregator of many vendors' models.
 *
 * An answer whose client has gone is read on: some of its vendors bill it to its end, and which one
 * answers is not known beforehand.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "openrouter", baseUrl: "https://openrouter.ai/api/v1" });
