/**
 * How XRouter runs: whatever is measured runs alike.
 *
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const { command } = config.tasks.start;
const [, ...flags] = command.slice(0, command.indexOf(" main.ts")).split(" ");

/** The command that runs a program as `deno task start` runs XRouter. */
export function runAsStarted(script: string, ...more: string[]): string[] {
  return [Deno.execPath(), ...flags, "--quiet", ...more, script];
}
