import { setTimeout as delay } from "node:timers/promises";

/** How a child is run. */
export interface ChildOptions {
  /** Program and arguments. */
  command: readonly string[];
  /** Working directory; this process's own where absent. */
  cwd?: string;
  /** Variables besides {@linkcode INHERITED}. */
  env?: Readonly<Record<string, string>>;
  /** Keeps this process's whole environment: a package manager needs its proxy and certificates. */
  wholeEnv?: boolean;
}

/**
 * What children keep of this process's environment. The rest, such as a developer's own settings
 * for XRouter or a proxy, must not change what is measured.
 */
const INHERITED = ["PATH", "HOME", "TMPDIR", "DENO_DIR", "XDG_CACHE_HOME"];

const RUN_WITHIN_MS = 120_000;
const PATIENCE_MS = 5_000;

/** The processes that the benchmark started, so that none outlives it. */
export class Children {
  readonly #running = new Map<number, Deno.ChildProcess>();
  #stopped = false;

  /**
   * Starts a child whose standard output and error go to a file: a pipe would make this process
   * read every line of a server's log while it measures.
   */
  start({ command, ...options }: ChildOptions, log: string): Deno.ChildProcess {
    // The shell becomes the command, so that the child's process id is the server's.
    const shell = ["sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, ...command];
    return this.#spawn({ command: shell, ...options }, "null");
  }

  /**
   * Runs a child to its end.
   *
   * @returns Its standard output.
   * @throws {Error} It failed or took longer than two minutes.
   */
  async run(options: ChildOptions): Promise<string> {
    const child = this.#spawn(options, "piped");
    const limit = setTimeout(() => this.stop(child), RUN_WITHIN_MS);
    const { success, code, stdout, stderr } = await child.output();
    clearTimeout(limit);
    const decoder = new TextDecoder();
    if (success) return decoder.decode(stdout);
    const why = tail(`${decoder.decode(stdout)}\n${decoder.decode(stderr)}`);
    throw new Error(`"${options.command.join(" ")}" ended with code ${code}. ${why}`);
  }

  /** Ends a child: asks, and after five seconds insists. */
  async stop(child: Deno.ChildProcess): Promise<void> {
    if (!this.#running.has(child.pid)) return;
    child.kill("SIGTERM");
    const patience = new AbortController();
    const given = delay(PATIENCE_MS, false, { signal: patience.signal }).catch(() => false);
    const ended = await Promise.race([child.status.then(() => true), given]);
    patience.abort();
    if (!ended) child.kill("SIGKILL");
    await child.status;
  }

  /** Ends all children; no further one can be started. */
  async stopAll(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#running.values()].map((child) => this.stop(child)));
  }

  #spawn(
    { command, cwd, env, wholeEnv = false }: ChildOptions,
    output: "null" | "piped",
  ): Deno.ChildProcess {
    if (this.#stopped) throw new Error("The benchmark is ending");
    const [program = "", ...args] = command;
    const inherited = INHERITED.map((name) => [name, Deno.env.get(name)])
      .filter(([, value]) => value !== undefined);
    const child = new Deno.Command(program, {
      args,
      clearEnv: !wholeEnv,
      env: { ...Object.fromEntries(inherited), ...env },
      stdin: "null",
      stdout: output,
      stderr: output,
      ...(cwd === undefined ? {} : { cwd }),
    }).spawn();
    this.#running.set(child.pid, child);
    child.status.then(() => this.#running.delete(child.pid));
    return child;
  }
}

/** The last lines of a program's output, for a message. */
export function tail(output: string): string {
  return output.trim().split("\n").slice(-8).join("\n");
}
