/**
 * `xrouter check`: whether a start, or a reload, would take what the files say now.
 *
 * @module
 */
import { ConfigError, readEnvironment } from "../config.ts";
import { createLog } from "../log.ts";
import { closeProviders, tryAssemble } from "../assembly.ts";
import { Program } from "../program.ts";
import type { Problem } from "../settings.ts";
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
    const all = [...problems, ...await setUpProblems(env)];
    if (all.length > 0) {
      const each = new Map(all.map((problem) => [`${problem.at}: ${problem.message}`, problem]));
      throw new ConfigError([...each.values()]);
    }
    console.log(`${plugins.length} plugins and ${catalog.providers.size} providers are well`);
    return 0;
  },
});

/** Sets everything up as a start does, on a database of its own, and tells what is wrong. Nobody is called. */
async function setUpProblems(env: Readonly<Record<string, string>>): Promise<readonly Problem[]> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-check-" });
  try {
    const own = { ...env, DATABASE_URL: `file:${folder}/xrouter.db` };
    const program = await Program.open(own, createLog(() => {}));
    await program.close();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
