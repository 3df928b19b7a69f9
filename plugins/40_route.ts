/**
 * Names the targets of a request: those of its route, or the models that it asks for, without those
 * that its key may not use and those that cannot serve it.
 *
 * @module
 */
import { definePlugin } from "xrouter/plugin";
import { routeSettings, standardLimits } from "../core/routing/limits.ts";
import { planRoute } from "../core/routing/plan.ts";

export default definePlugin({
  name: "route",
  requires: ["caller", "inputTokens"],
  config: routeSettings,
  setup(config, { catalog, currency }) {
    const planner = { catalog, currency, limits: standardLimits(config), random: Math.random };
    return {
      onRoute({ body, headers, state: { caller, inputTokens } }) {
        return planRoute({ body, headers, caller, inputTokens }, planner);
      },
    };
  },
});
