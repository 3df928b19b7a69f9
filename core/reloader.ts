/**
 * Takes changes over while the program runs: one after the other, the good ones only.
 *
 * @module
 */
import { inTime } from "./code_limits.ts";
import { ConfigError } from "./config.ts";
import type { Log } from "./log.ts";

/** Runs reloads, and tells of each in one line of the log. */
export class Reloader {
  readonly #apply: () => Promise<readonly string[]>;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #wanted = false;
  #stopped = false;

  /**
   * @param apply Brings into force what the files say now, and returns what has changed. When it
   * rejects, what was in force still is.
   * @param log Takes one line a reload; none where nothing has changed.
   */
  constructor(apply: () => Promise<readonly string[]>, log: Log) {
    this.#apply = apply;
    this.#log = log;
  }

  /**
   * Reloads. What is asked for while a reload runs is done once more after it, so that the last
   * change counts.
   *
   * @returns When all is done that was asked for; why a change was refused is in the log.
   */
  async request(): Promise<void> {
    if (this.#stopped) return;
    this.#wanted = true;
    await (this.#running ??= this.#run());
  }

  /** Whether it was stopped: nothing may come into force any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Begins no reload any more, and waits for the one that runs.
   *
   * @param limitMs Milliseconds after which it is left to itself, and no more is said of it.
   */
  async stop(limitMs: number): Promise<void> {
    this.#stopped = true;
    this.#wanted = false;
    await inTime(this.#running, limitMs).catch(() => {});
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      try {
        const changes = await this.#apply();
        if (changes.length > 0) this.#log.info("reloaded", { changes });
      } catch (error) {
        if (this.#stopped) break;
        const problems = error instanceof ConfigError
          ? error.problems.map(({ at, message }) => `${at}: ${message}`)
          : [String(error)];
        this.#log.error("a change is refused; what ran before goes on", { problems });
      }
    }
    // Here, and not when the promise settles: what is asked for in between would be forgotten.
    this.#running = undefined;
  }
}
