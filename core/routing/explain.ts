/**
 * Says where a request would go, and why, without asking anybody.
 *
 * @module
 */
import { isChat } from "../body.ts";
import type { Catalog } from "../catalog.ts";
import { RouterError } from "../errors.ts";
import type { LiveExchange } from "../exchange.ts";
import type { HookRunner } from "../hooks.ts";
import { defaultEncoding, noteInput } from "../input_tokens.ts";
import { toUnits } from "../ledger/money.ts";
import type { RoutedTarget } from "../plugin.ts";
import { loadTokenizer } from "../tokens.ts";

/** What explaining needs. */
export interface ExplainOptions {
  readonly hooks: HookRunner;
  readonly catalog: Catalog;
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
}

/**
 * The way of a request, as JSON. Of its targets in their order: how each does now, and what would be
 * held for it.
 *
 * @param x The request, with the key that asks in its state.
 * @throws {RouterError} as the request itself would be refused before anybody is asked.
 */
export async function explainRoute(
  x: LiveExchange,
  { hooks, catalog, currency }: ExplainOptions,
): Promise<Record<string, unknown>> {
  const { body } = x;
  const encoding = catalog.encodingOf(body.model) ?? defaultEncoding;
  await noteInput(x, await loadTokenizer(encoding));
  const route = await hooks.route(x);
  if (route === undefined || route.targets.length === 0) {
    throw new RouterError("no_route", `No plugin has a route for the model "${body.model}"`, {
      param: "model",
    });
  }
  const describe = async (target: RoutedTarget, place: number) => {
    const { provider, model } = target;
    const estimate = await hooks.estimate(x, {
      number: place + 1,
      target,
      body: { ...body, model },
      headers: {},
    });
    const transport = catalog.providers.get(provider);
    const circuit = transport?.circuit(model);
    const refusal = transport?.refusal(model) ?? estimate?.refusal;
    const { running, firstTokenMs } = catalog.traffic.of(target);
    return {
      target: `${provider}/${model}`,
      circuit: circuit?.state ?? null,
      retry_after_ms: Math.ceil(circuit?.retryAfterMs ?? 0) || null,
      running,
      first_token_ms: firstTokenMs === undefined ? null : Math.round(firstTokenMs),
      timeouts_ms: { ...route.timeouts, ...target.timeouts },
      held: estimate?.held == null ? null : toUnits(estimate.held),
      max_tokens: estimate?.maxTokens ?? null,
      refusal: refusal?.body().error ?? null,
    };
  };
  return {
    object: "route.explanation",
    model: body.model,
    kind: isChat(body) ? "chat" : "embeddings",
    input_tokens: x.state.inputTokens,
    route: route.reason?.route ?? null,
    strategy: route.reason?.strategy ?? null,
    currency,
    targets: await Promise.all(route.targets.map(describe)),
    excluded: route.reason?.excluded ?? [],
    attempts: route.attempts,
    retries: route.retries,
    time_ms: route.time,
    on_break: route.onBreak,
    hedge_after_ms: route.hedgeAfter ?? null,
  };
}
