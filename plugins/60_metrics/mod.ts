/**
 * Measures every exchange, for Prometheus at `GET /metrics` and for OpenTelemetry.
 *
 * @module
 */
import { Registry } from "prom-client";
import { definePlugin, type Exchange } from "xrouter/plugin";
import { createInstruments } from "./instruments.ts";
import { Labels } from "./labels.ts";
import { addProcessMetrics, watchEventLoop } from "./process.ts";
import { Recorder } from "./recorder.ts";
import { Sinks } from "./sinks.ts";

export default definePlugin({
  name: "metrics",
  onError: "skip",
  setup(_config, { catalog, currency, database, log }) {
    const registry = new Registry();
    const sinks = new Sinks(registry);
    // A set and no count: what was refused before it came here is finished here all the same.
    const active = new Set<Exchange>();
    let lastLoss = 0;
    const loss = async () => {
      try {
        const { rows } = await database.execute(
          "SELECT coalesce(sum(cost - charged), 0) AS loss FROM usage_daily",
        );
        lastLoss = Number(rows[0]!.loss);
      } catch (error) {
        log.warn("the loss cannot be read; the last known is shown", { error: String(error) });
      }
      return lastLoss;
    };
    const instruments = createInstruments(sinks, { active: () => active.size, loss });
    const recorder = new Recorder(instruments, new Labels(catalog), currency);
    addProcessMetrics(registry);
    const unwatch = watchEventLoop(instruments.eventLoopDelay());
    return {
      onRequest(x) {
        active.add(x);
      },
      onFinish(x, outcome) {
        active.delete(x);
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
        sinks.close();
      },
    };
  },
});
