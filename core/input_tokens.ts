/**
 * The input of an exchange, counted where nobody has counted it yet.
 *
 * @module
 */
import { countBody } from "./body.ts";
import type { Counted } from "./bounded_count.ts";
import type { LiveExchange } from "./exchange.ts";
import type { Exchange } from "./plugin.ts";
import { type Encoding, loadTokenizer, type Tokenizer } from "./tokens.ts";

/** The encoding for models of which nobody has said which one they use. */
export const defaultEncoding: Encoding = "o200k_base";

/** Tokens of the request. */
export async function inputTokens(x: LiveExchange, encoding: Encoding): Promise<number> {
  return x.state.inputTokens ?? (await countBody(x.body, await loadTokenizer(encoding))).tokens;
}

/**
 * Counts the request and notes that in its state; later, where its texts are long.
 *
 * @throws The reason of the exchange's signal, once its client has gone.
 */
export function noteInput(x: Exchange, tokenizer: Tokenizer): void | Promise<void> {
  const note = ({ tokens, exact }: Counted) => {
    x.state.inputTokens = tokens;
    if (!exact) x.state.extrapolated = true;
  };
  const counted = countBody(x.body, tokenizer, x);
  return counted instanceof Promise ? counted.then(note) : note(counted);
}
