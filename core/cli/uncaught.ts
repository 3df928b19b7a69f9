/**
 * Errors that nobody waits for: of a promise that was left alone, or of a timer.
 *
 * @module
 */
import type { Log } from "../log.ts";

const hint = "A plugin or a provider leaves a promise, or a timer, to itself. " +
  "Let it await each promise, or catch its errors; the stack names the file";

/**
 * From now on, and until the process ends, logs such errors instead of ending the process, and with
 * it every answer that runs.
 *
 * @param log Takes a line each.
 */
export function logUncaught(log: Log): void {
  const say = (message: string, event: Event, thrown: unknown) => {
    event.preventDefault();
    const error = thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
    log.error(message, { error, hint });
  };
  globalThis.addEventListener(
    "unhandledrejection",
    (event) => say("a promise failed that nobody waits for", event, event.reason),
  );
  globalThis.addEventListener(
    "error",
    (event) => say("an error was thrown that nobody catches", event, event.error),
  );
}
