/**
 * MWS GPT of MTS: its own models, T-Bank's and open ones.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "mws", baseUrl: "https://api.gpt.mws.ru/v1" });
