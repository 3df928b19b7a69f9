/**
 * What a provider reports of an answer's tokens.
 *
 * @module
 */

/** Tokens of an exchange; `cached` is a part of `input`. */
interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
}

/** Token counts as OpenAI reports them: `cached_tokens` is a part of `prompt_tokens`. */
export interface WireUsage {
  /** All tokens of the prompt. */
  prompt_tokens: number;
  /** Tokens of the answer; for embeddings, which have none, it is absent on the wire. */
  completion_tokens: number;
  /** Both together. */
  total_tokens: number;
  /** Of the prompt's tokens, those that came from the provider's cache. */
  prompt_tokens_details?: { cached_tokens?: number | null } | null;
  /** What else the provider reports. */
  [field: string]: unknown;
}

/** More tokens than any exchange has: ten times the largest context that a vendor sells. */
const maxTokens = 100_000_000;

/** Whether it can be a number of tokens: a vendor's slip must not become a charge. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number >= 0 && value as number <= maxTokens;
}

/**
 * The tokens that a report names; `undefined` for what is no report. What it says of cached tokens
 * counts only where it is a count.
 */
export function readUsage(usage: WireUsage | null | undefined): Tokens | undefined {
  const { prompt_tokens: input, total_tokens: total } = usage ?? {};
  // An answer of vectors has no tokens of its own, and its report names none.
  const output = usage?.completion_tokens ?? (total === input ? 0 : undefined);
  if (!isCount(input) || !isCount(output)) return undefined;
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  return { input, output, cached: isCount(cached) ? cached : 0 };
}

/** A report to which the tokens of another are added. */
export function addUsage(report: WireUsage, { input, output, cached }: Tokens): WireUsage {
  const own = readUsage(report) ?? { input: 0, output: 0, cached: 0 };
  const sum = toWire({
    input: own.input + input,
    output: own.output + output,
    cached: own.cached + cached,
  }, true);
  const details = { ...report.prompt_tokens_details, ...sum.prompt_tokens_details };
  return { ...report, ...sum, prompt_tokens_details: details };
}

/** Tokens in OpenAI's shape, as a provider would report them of a chat or of embeddings. */
export function toWire({ input, output, cached }: Tokens, chat: boolean): WireUsage {
  if (!chat) return { prompt_tokens: input, total_tokens: input } as WireUsage;
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
  };
}
