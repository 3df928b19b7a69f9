/**
 * Why a request went where it went, as it is kept with its row of usage.
 *
 * @module
 */
import type { Exchange } from "../plugin.ts";

/** More targets and reasons than these are not kept. */
const most = 32;

/**
 * What is kept of a request's way; `undefined` where there is nothing to tell: there was one
 * target, and it answered at once.
 */
export function routeRecord({ route, attempts }: Pick<Exchange, "route" | "attempts">) {
  if (route === undefined) return undefined;
  const { route: name, strategy, excluded = [] } = route.reason ?? {};
  const plain = route.targets.length === 1 && excluded.length === 0 &&
    attempts.length <= 1 && attempts[0]?.error === undefined;
  if (plain) return undefined;
  return {
    ...(name !== undefined && { route: name }),
    ...(strategy !== undefined && { strategy }),
    targets: route.targets.slice(0, most).map(({ provider, model }) => `${provider}/${model}`),
    excluded: excluded.slice(0, most),
    attempts: attempts.map(({ target, error, durationMs, firstChunkMs }) => ({
      target: `${target.provider}/${target.model}`,
      error: error?.code ?? null,
      first_token_ms: rounded(firstChunkMs),
      duration_ms: rounded(durationMs),
    })),
  };
}

function rounded(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms);
}
