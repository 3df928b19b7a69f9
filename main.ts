/**
 * XRouter's command line: `deno task start`, or `xrouter start` as one binary.
 *
 * @module
 */
import { runCommand } from "./core/cli/command.ts";

// A stopped server ends here, whatever idle connections its clients still hold.
if (import.meta.main) Deno.exit(await runCommand(Deno.args));
