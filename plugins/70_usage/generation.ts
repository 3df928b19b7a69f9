import type { UsageRow } from "../../core/report/usage_row.ts";
import { toUnits, unitsOrNull } from "../../core/ledger/money.ts";

/**
 * One request in OpenRouter's shape of a generation, with what only XRouter knows beside it.
 * Amounts are units of the currency, times milliseconds. `total_cost`, `charged` and `usage` have
 * what its tries cost in them, `cost` is that of the answer.
 *
 * Source: OpenRouter's API reference, "Get a generation".
 *
 * @param tries Those that were paid for although their answers were not used.
 */
export function toGeneration(row: UsageRow, tries: readonly UsageRow[]): Record<string, unknown> {
  const { price } = row;
  const charged = toUnits([row, ...tries].reduce((sum, each) => sum + each.charged, 0));
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
    cost: unitsOrNull(row.cost),
    total_cost: unitsOrNull(totalCost([row, ...tries])),
    charged,
    usage: charged,
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
    route: row.route,
    tries: tries.map(toTry),
    try_of: row.tryOf,
  };
}

function toTry(row: UsageRow): Record<string, unknown> {
  return {
    id: row.requestId,
    provider_name: row.provider,
    model: row.model,
    tokens_prompt: row.inputTokens,
    tokens_completion: row.outputTokens,
    native_tokens_cached: row.cachedTokens,
    estimated: row.estimated,
    cost: unitsOrNull(row.cost),
    charged: toUnits(row.charged),
    state: row.state,
    error_code: row.errorCode,
    latency: row.firstTokenMs,
    generation_time: row.durationMs,
  };
}

/** Null where nothing was used, or where a part of it has no known price. */
function totalCost(rows: readonly UsageRow[]): number | null {
  const used = rows.filter(({ cost, outputTokens }) => cost !== null || outputTokens !== null);
  if (used.length === 0 || used.some(({ cost }) => cost === null)) return null;
  return used.reduce((sum, { cost }) => sum + cost!, 0);
}
