/**
 * The input of an exchange, counted where nobody has counted it yet.
 *
 * @module
 */
import { countBody } from "./body.ts";
import type { LiveExchange } from "./exchange.ts";
import { type Encoding, loadTokenizer } from "./tokens.ts";

/** The encoding for models of which nobody has said which one they use. */
export const defaultEncoding: Encoding = "o200k_base";

/** Tokens of the request. */
export async function inputTokens(x: LiveExchange, encoding: Encoding): Promise<number> {
  return x.state.inputTokens ?? countBody(x.body, await loadTokenizer(encoding));
}
