/**
 * Measures every exchange, for Prometheus at `GET /metrics` and for OpenTelemetry.
 *
 * @module
 */
import { Registry } from "prom-client";
import { definePlugin, type Exchange } from "xrouter/plugin";
import { watchEventLoop } from "../../core/event_loop.ts";
import { createInstruments } from "./instruments.ts";
import { Labels } from "./labels.ts";
import { addProcessMetrics } from "./process.ts";
import { Recorder } from "./recorder.ts";
import { Sinks } from "./sinks.ts";

/** The numbers of the states in the gauge. */
const levels = { closed: 0, "half-open": 1, open: 2 } as const;

export default definePlugin({
  name: "metrics",
  onError: "skip",
  setup(_config, { catalog, currency, database, log }) {
    const registry = new Registry();
    const sinks = new Sinks(registry);
    // Not a count alone: what was refused before it came here is finished here all the same.
    const begun = new WeakSet<Exchange>();
    let active = 0;
    /** A number of the database; while it cannot be read, the last that was. */
    const stored = (name: string, sql: string) => {
      let last = 0;
      return async () => {
        try {
          const { rows } = await database.execute(sql);
          last = Number(rows[0]![0]);
        } catch (error) {
          const reason = { error: String(error) };
          log.warn(`the ${name} cannot be read; the last known is shown`, reason);
        }
        return last;
      };
    };
    const instruments = createInstruments(sinks, {
      active: () => active,
      loss: stored("loss", "SELECT coalesce(sum(cost - charged), 0) FROM usage_daily"),
      overLimit: stored(
        "excess over limits",
        "SELECT coalesce(sum(max(0, used - limit_amount)), 0) FROM account_room",
      ),
      *circuits() {
        for (const transport of catalog.providers.values()) {
          const models = new Set(transport.circuits().map(({ model }) => model));
          for (const model of models) {
            // Only what the configuration names: the circuits of others are in the log.
            if (!catalog.isListed({ provider: transport.name, model, facts: {} })) continue;
            const value = levels[transport.circuit(model).state];
            yield { labels: [transport.name, model], value } as const;
          }
        }
      },
    });
    const labels = new Labels(catalog);
    const recorder = new Recorder(instruments, labels, currency);
    const unsubscribe = catalog.circuits.subscribe(({ provider, model, state, before }) => {
      if (state !== "open" || before !== "closed") return;
      const target = { provider, model, facts: {} };
      instruments.circuitOpenings(labels.provider(target), labels.model(target))(1);
    });
    addProcessMetrics(registry);
    const unwatch = watchEventLoop(instruments.eventLoopDelay());
    return {
      onRequest(x) {
        begun.add(x);
        active++;
      },
      onFinish(x, outcome) {
        if (begun.delete(x)) active--;
        recorder.record(x, outcome);
      },
      routes(app) {
        app.get(
          "/metrics",
          async (c) =>
            c.body(await registry.metrics(), 200, { "content-type": registry.contentType }),
        );
      },
      dispose() {
        unwatch();
        unsubscribe();
        sinks.close();
      },
    };
  },
});
