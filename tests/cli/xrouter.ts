/**
 * The command line as people use it: a process of its own, in a folder of its own, with nothing in
 * its environment but what a test gives it.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };

const { tasks } = config;
const main = `${import.meta.dirname}/../../main.ts`;

/** Variables without which Deno itself would not run here, or would not count what was covered. */
const kept = ["PATH", "HOME", "DENO_DIR", "XDG_CACHE_HOME", "DENO_COVERAGE_DIR"];

/** What a command left behind. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A folder that exists while a test runs; commands that run there keep their database in it. */
export async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-cli-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Starts `xrouter` with these arguments. */
export function spawnXrouter(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  return spawn(folder, ["run", "--quiet", "-A", main, ...args], env);
}

/** Starts a task as `deno task` does, as the leader of a process group of its own. */
export function spawnTask(
  folder: string,
  task: keyof typeof tasks,
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  const command = tasks[task].command.replace("main.ts", main);
  return spawn(folder, ["task", "--quiet", "--eval", command], env, true);
}

function spawn(
  folder: string,
  args: string[],
  env: Readonly<Record<string, string>>,
  detached = false,
): Deno.ChildProcess {
  const base = kept.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  });
  return new Deno.Command(Deno.execPath(), {
    args,
    detached,
    cwd: folder,
    clearEnv: true,
    env: { ...Object.fromEntries(base), ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs `xrouter` to its end. */
export async function xrouter(
  folder: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const { code, stdout, stderr } = await spawnXrouter(folder, args, env).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
