/**
 * Lets the provider itself count a request's tokens, for keys that ask for it: what is held is then
 * exact, for the price of another call to the vendor.
 *
 * @module
 */
import { type Attempt, definePlugin, type Exchange, RouterError } from "xrouter/plugin";
import { faultOf } from "../core/health.ts";

/** Milliseconds for which a count is waited for, over all accounts of the provider. */
const patienceMs = 3_000;

/** Milliseconds for which a provider that failed to count is not asked to. */
const restMs = 60_000;

export default definePlugin({
  name: "exact-count",
  requires: ["caller"],
  setup(_config, { catalog, log }) {
    /** Until when providers are not asked, by `performance.now()`. */
    const resting = new Map<string, number>();
    const count = async (x: Exchange, attempt: Attempt) => {
      const { body, target } = attempt;
      const provider = catalog.providers.get(target.provider);
      if ((resting.get(target.provider) ?? 0) > performance.now()) return;
      try {
        const signal = AbortSignal.any([x.signal, AbortSignal.timeout(patienceMs)]);
        const tokens = await provider?.countTokens(body, signal);
        if (tokens !== undefined) attempt.exactInput = tokens;
      } catch (error) {
        if (x.signal.aborted) return;
        // What is wrong with one request says nothing of the next.
        const isItsFault = !(error instanceof RouterError) || faultOf(error, false) !== undefined;
        if (isItsFault) resting.set(target.provider, performance.now() + restMs);
        // That a vendor cannot count now is no reason not to ask it: the own count serves.
        log.warn("the provider could not count a request's tokens", {
          requestId: x.id,
          provider: target.provider,
          error: String(error),
        });
      }
    };
    return {
      onAttempt(x, attempt) {
        const { limits, ownerLimits } = x.state.caller;
        return limits.exactCount ?? ownerLimits?.exactCount ? count(x, attempt) : undefined;
      },
    };
  },
});
