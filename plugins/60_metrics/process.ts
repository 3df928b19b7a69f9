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

/** Milliseconds between two looks at the event loop. */
const period = 100;

/**
 * Measures how late the event loop is, ten times a second.
 *
 * @param record Takes the delay in seconds.
 * @returns Ends it.
 */
export function watchEventLoop(record: (seconds: number) => void): () => void {
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    record(Math.max(0, now - last - period) / 1000);
    last = now;
  }, period);
  Deno.unrefTimer(timer);
  return () => clearInterval(timer);
}
