/**
 * What is known of the process itself.
 *
 * @module
 */
import process from "node:process";
import { Counter, Gauge, type Registry } from "prom-client";

/**
 * Adds processor time, memory and start, under the names that every Prometheus client gives them.
 * OpenTelemetry gets the like from the runtime.
 */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry];
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Processor time of the process in seconds, user and system",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1_000_000);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process in bytes",
    registers,
    collect() {
      this.set(Deno.memoryUsage().rss);
    },
  });
  const startedAt = Date.now() / 1000 - process.uptime();
  new Gauge({
    name: "process_start_time_seconds",
    help: "When the process started, in seconds since 1970",
    registers,
  }).set(startedAt);
}
