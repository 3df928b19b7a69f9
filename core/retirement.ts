/**
 * Closes what a change has replaced.
 *
 * @module
 */
import type { CodeLimits } from "./code_limits.ts";
import type { InstalledPlugin } from "./hooks.ts";
import type { Log } from "./log.ts";
import { disposePlugins } from "./pipeline.ts";
import type { Transport } from "./transport.ts";

/** What belongs together and is closed together. */
export interface Retired {
  readonly plugins: readonly InstalledPlugin[];
  readonly transports: readonly Transport[];
}

/** Closes plugins and providers, each once. */
export class Retirement {
  readonly #log: Log;
  readonly #limits: CodeLimits;
  /** Closes what is still in use now. */
  readonly #waiting = new Set<() => Promise<void>>();
  /** Plugins that could not be closed, and may have lost what they kept. */
  failed = 0;

  /**
   * @param log Told of a plugin that cannot be closed.
   * @param limits How long a plugin may take.
   */
  constructor(log: Log, limits: CodeLimits) {
    this.#log = log;
    this.#limits = limits;
  }

  /** Closes it as soon as nobody uses it any more. @param left When that is so. */
  closeAfter(left: Promise<unknown>, retired: Retired): void {
    let closed: Promise<void> | undefined;
    const close = () => closed ??= this.close(retired).finally(() => this.#waiting.delete(close));
    this.#waiting.add(close);
    void left.then(close);
  }

  /** Closes it now. */
  async close({ plugins, transports }: Retired): Promise<void> {
    await disposePlugins(plugins, (plugin, error) => {
      this.failed++;
      this.#log.error(`plugin "${plugin.name}" could not be closed`, { error: String(error) });
    }, this.#limits);
    await Promise.all(transports.map((transport) => transport.close()));
  }

  /** Closes now what is still in use. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.#waiting].map((close) => close()));
  }
}
