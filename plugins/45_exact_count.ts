/**
 * Lets the provider itself count a request's tokens, for keys that ask for it: what is held is then
 * exact, for the price of another call to the vendor.
 *
 * @module
 */
import { type Attempt, definePlugin, type Exchange } from "xrouter/plugin";

export default definePlugin({
  name: "exact-count",
  requires: ["caller"],
  setup(_config, { catalog, log }) {
    const count = async (x: Exchange, { body, target }: Attempt) => {
      const provider = catalog.providers.get(target.provider);
      try {
        const tokens = await provider?.countTokens(body, x.signal);
        if (tokens !== undefined) x.state.exactInput = tokens;
      } catch (error) {
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
        // Another target counts in another way.
        delete x.state.exactInput;
        const { limits, ownerLimits } = x.state.caller;
        return limits.exactCount ?? ownerLimits?.exactCount ? count(x, attempt) : undefined;
      },
    };
  },
});
