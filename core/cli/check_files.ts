/**
 * `xrouter check`: whether a start, or a reload, would take what the files say now.
 *
 * @module
 */
import { readEnvironment } from "../config.ts";
import { createLog } from "../log.ts";
import { closeProviders, tryAssemble } from "../assembly.ts";
import { Program } from "../program.ts";
import { defineCommand } from "./arguments.ts";

/** `xrouter check`. */
export const checkFiles = defineCommand({
  name: "check",
  about: "Say whether the configuration, the plugins and the providers are well, before they run",
  arguments: {},
  async run() {
    const env = readEnvironment();
    const { assembly: { plugins, catalog }, problems } = await tryAssemble(env);
    await closeProviders(catalog);
    // With a wrong setting a start ends before it opens its database, and tells all of them.
    if (problems.length > 0) await Program.open(env, createLog(() => {}));
    await setUp(env);
    console.log(`${plugins.length} plugins and ${catalog.providers.size} providers are well`);
    return 0;
  },
});

/** Sets everything up as a start does, on a database of its own. Nobody is called. */
async function setUp(env: Readonly<Record<string, string>>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-check-" });
  try {
    const own = { ...env, DATABASE_URL: `file:${folder}/xrouter.db` };
    const program = await Program.open(own, createLog(() => {}));
    await program.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
