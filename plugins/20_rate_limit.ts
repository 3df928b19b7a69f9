/**
 * Limits the requests of each key in a sliding minute.
 *
 * @module
 */
import { definePlugin, RouterError, setting } from "xrouter/plugin";
import { z } from "zod";
import { MemoryRateStore } from "../core/store/rate_limit.ts";

export default definePlugin({
  name: "rate-limit",
  requires: ["caller"],
  config: z.strictObject({
    perMinute: setting(
      "API_RATE_LIMIT",
      z.coerce.number({ error: "must be a number" }).int({ error: "must be a whole number" })
        .positive({ error: "must be above 0" }).default(100),
      "Requests a minute for each key",
    ),
  }),
  setup({ perMinute }) {
    const store = new MemoryRateStore();
    return {
      onRequest(x) {
        const window = {
          key: `requests:${x.state.caller.id}`,
          limit: perMinute,
          windowMs: 60_000,
          cost: 1,
        };
        const [state] = store.take([window]);
        const { fits, remaining, resetMs, retryAfterMs } = state!;
        x.replyHeaders["x-ratelimit-limit-requests"] = String(perMinute);
        x.replyHeaders["x-ratelimit-remaining-requests"] = String(remaining);
        x.replyHeaders["x-ratelimit-reset-requests"] = toDuration(resetMs);
        if (!fits) {
          throw new RouterError(
            "rate_limited",
            `Key "${x.state.caller.name}" has used its ${perMinute} requests a minute. Try again in ${
              toDuration(retryAfterMs)
            }`,
            { retryAfterMs },
          );
        }
      },
    };
  },
});

/** A duration as OpenAI writes it: `1m30s`, `6s`, `250ms`. */
function toDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const seconds = Math.ceil(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
