/**
 * Lets the provider itself count a request's tokens, for keys that ask for it: what is held is then
 * exact, for the price of another call to the vendor.
 *
 * @module
 */
import { definePlugin } from "xrouter/plugin";

export default definePlugin({
  name: "exact-count",
  requires: ["caller"],
  setup(_config, { catalog, log }) {
    return {
      async onAttempt(x, { body, target }) {
        // Another target counts in another way.
        delete x.state.exactInput;
        const { limits, ownerLimits } = x.state.caller;
        if (!(limits.exactCount ?? ownerLimits?.exactCount)) return;
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
      },
    };
  },
});
