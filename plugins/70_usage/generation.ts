import type { UsageRow } from "../../core/report/usage_row.ts";
import { toUnits } from "../../core/ledger/money.ts";

/**
 * One request in OpenRouter's shape of a generation, with what only XRouter knows beside it.
 * Amounts are units of the currency, times milliseconds.
 *
 * Source: OpenRouter's API reference, "Get a generation".
 */
export function toGeneration(row: UsageRow): Record<string, unknown> {
  const { price } = row;
  return {
    id: row.requestId,
    model: row.model,
    model_asked: row.modelAsked,
    model_served: row.modelServed,
    provider_name: row.provider,
    streamed: row.stream,
    cancelled: row.state === "aborted",
    created_at: new Date(row.createdAt).toISOString(),
    tokens_prompt: row.inputTokens,
    tokens_completion: row.outputTokens,
    native_tokens_cached: row.cachedTokens,
    estimated: row.estimated,
    total_cost: row.cost === null ? null : toUnits(row.cost),
    charged: toUnits(row.charged),
    usage: toUnits(row.charged),
    latency: row.firstTokenMs,
    generation_time: row.durationMs,
    state: row.state,
    status: row.status,
    error_code: row.errorCode,
    attempts: row.attempts,
    tag: row.tag,
    price: price && {
      currency: row.currency,
      input: toUnits(price.input),
      output: toUnits(price.output),
      cached: toUnits(price.cached),
    },
  };
}
