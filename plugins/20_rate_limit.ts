/**
 * Limits the requests and the tokens of each key, and of each owner, in a sliding minute. What it
 * reads beside, such as its usage, is counted apart.
 *
 * @module
 */
import type { Context } from "hono";
import { type CallerEnv, definePlugin, type Exchange, RouterError, setting } from "xrouter/plugin";
import { z } from "zod";
import { askedOutput } from "../core/body.ts";
import { wholeNumber } from "../core/settings.ts";
import type { ApiKey } from "../core/store/keys.ts";
import {
  MemoryRateStore,
  type RateState,
  type RateWindow,
  type SettledWindow,
} from "../core/store/rate_limit.ts";

/** A window, and whom it limits. */
interface Limit extends RateWindow {
  readonly scope: "key" | "owner";
  /** In the words of a refusal: `key "name"`. */
  readonly holder: string;
  /** What of its cost the request asks for with `max_tokens`. */
  readonly output?: number;
}

/** The limits of one key; they cost nothing yet where the cost is only known with the request. */
interface KeyLimits {
  readonly requests: readonly Limit[];
  readonly tokens: readonly Limit[];
  /** For everything under `/v1` but chat. */
  readonly reads: readonly Limit[];
}

type Kind = keyof KeyLimits;

export default definePlugin({
  name: "rate-limit",
  requires: ["caller"],
  config: z.strictObject({
    perMinute: setting(
      "API_RATE_LIMIT",
      wholeNumber(1).default(100),
      "Requests a minute for each key that has no limit of its own; reads a minute for every key",
    ),
  }),
  setup({ perMinute }) {
    const store = new MemoryRateStore();
    // A key is one object from one lookup to the next, so its limits are put together once for both.
    const known = new WeakMap<ApiKey, KeyLimits>();
    const limitsOf = (key: ApiKey): KeyLimits => {
      let limits = known.get(key);
      if (limits === undefined) known.set(key, limits = readLimits(key, perMinute));
      return limits;
    };
    const held = new WeakMap<Exchange, readonly Omit<SettledWindow, "used">[]>();
    return {
      onRequest(x) {
        const { requests } = limitsOf(x.state.caller);
        admit("requests", requests, store.take(requests), x.replyHeaders);
      },
      // Here, because the tokens are counted in `onRequest`, and an answer from there uses none.
      onRoute(x) {
        const limits = limitsOf(x.state.caller).tokens;
        if (limits.length === 0 || x.dryRun) return;
        const output = (askedOutput(x.body) ?? 0) * (x.body.n ?? 1);
        const cost = (x.state.inputTokens ?? 0) + output;
        const tokens = limits.map((limit) => ({ ...limit, cost, output }));
        const states = store.take(tokens, "held");
        admit("tokens", tokens, states, x.replyHeaders);
        held.set(x, tokens.map((limit, i) => ({ ...limit, at: states[i]!.at })));
      },
      onFinish(x, { usage }) {
        const used = usage === undefined ? 0 : usage.input + usage.output;
        const windows = held.get(x)?.map((window) => ({ ...window, used }));
        if (windows !== undefined) store.settle(windows);
      },
      routes(app) {
        app.use("/v1/*", async (c: Context<CallerEnv>, next) => {
          const caller = c.get("caller");
          if (caller !== undefined) {
            const { reads } = limitsOf(caller);
            admit("reads", reads, store.take(reads));
          }
          await next();
        });
      },
    };
  },
});

function readLimits(key: ApiKey, perMinute: number): KeyLimits {
  const { id, name, owner, limits, ownerLimits } = key;
  const read = (kind: Kind, own: number | null, shared: number | null, cost: number): Limit[] => {
    const window = { cost, windowMs: 60_000 };
    const ofKey = {
      ...window,
      key: `${kind}:${id}`,
      scope: "key" as const,
      holder: `key "${name}"`,
    };
    const ofOwner = {
      ...window,
      key: `${kind}:owner:${owner}`,
      scope: "owner" as const,
      holder: `owner "${owner}"`,
    };
    return [
      ...own === null ? [] : [{ ...ofKey, limit: own }],
      ...shared === null ? [] : [{ ...ofOwner, limit: shared }],
    ];
  };
  const requests = limits.requestsPerMinute ?? perMinute;
  return {
    requests: read("requests", requests, ownerLimits?.requestsPerMinute ?? null, 1),
    reads: read("reads", perMinute, null, 1),
    tokens: read("tokens", limits.tokensPerMinute, ownerLimits?.tokensPerMinute ?? null, 0),
  };
}

/**
 * Writes into the headers, where they are given, what the tightest limit leaves, in OpenAI's spelling.
 *
 * @throws {RouterError} `rate_limited` when it refuses.
 */
function admit(
  kind: Kind,
  limits: readonly Limit[],
  states: readonly RateState[],
  headers: Record<string, string> = {},
): void {
  let tightest = 0;
  for (let i = 1; i < states.length; i++) {
    if (isTighter(states[i]!, states[tightest]!)) tightest = i;
  }
  const { fits, used, held, remaining, resetMs, retryAfterMs } = states[tightest]!;
  const { limit, cost, output = 0, scope, holder } = limits[tightest]!;
  headers[`x-ratelimit-limit-${kind}`] = String(limit);
  headers[`x-ratelimit-remaining-${kind}`] = String(remaining);
  headers[`x-ratelimit-reset-${kind}`] = toDuration(resetMs);
  if (fits) return;
  const others = held === 0
    ? `${used} are used`
    : `${used} are used, ${held} are held by running requests`;
  const asked = output === 0 ? "" : ` and asks for ${output} more`;
  const wanted = kind === "tokens" ? ` and this request has ${cost - output}${asked}` : "";
  const told = `The limit of ${holder} is ${limit} ${kind} a minute; ${others}${wanted}`;
  const numbers = {
    scope,
    limit,
    used,
    ...held > 0 && { held },
    left: remaining,
    needed: cost,
  };
  if (cost > limit) {
    const cure = output === 0 ? "Send less" : 'Send less, or ask for less with "max_tokens"';
    throw new RouterError("rate_limited", `${told}. ${cure}`, { metadata: numbers });
  }
  throw new RouterError("rate_limited", `${told}. Try again in ${toDuration(retryAfterMs)}`, {
    retryAfterMs,
    metadata: { ...numbers, renews_at: new Date(Date.now() + retryAfterMs).toISOString() },
  });
}

/** The one that lets a request through later, else the one that has less left. */
function isTighter(one: RateState, other: RateState): boolean {
  return one.retryAfterMs === other.retryAfterMs
    ? one.remaining < other.remaining
    : one.retryAfterMs > other.retryAfterMs;
}

/** A duration as OpenAI writes it: `1m30s`, `6s`, `250ms`. */
function toDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.ceil(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
