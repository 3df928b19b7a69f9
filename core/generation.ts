/**
 * What an exchange keeps from its beginning to its end, whatever files change meanwhile.
 *
 * @module
 */
import type { Catalog } from "./catalog.ts";
import { HookRunner, type InstalledPlugin } from "./hooks.ts";
import type { Log } from "./log.ts";
import type { Transport } from "./transport.ts";

/** The plugins and the providers of one time. */
export class Generation {
  /** The plugins. */
  readonly hooks: HookRunner;
  /** Milliseconds of an exchange until it has a route, which has limits of its own. */
  readonly time: number;
  readonly #catalog: Catalog;
  readonly #providers: ReadonlyMap<string, Transport>;

  /**
   * @param plugins The pipeline, in order.
   * @param time Milliseconds of an exchange until it has a route.
   * @param catalog The providers that are there now.
   * @param log Takes what goes wrong in the plugins.
   */
  constructor(plugins: readonly InstalledPlugin[], time: number, catalog: Catalog, log: Log) {
    this.hooks = new HookRunner(plugins, log);
    this.time = time;
    this.#catalog = catalog;
    this.#providers = catalog.providers;
  }

  /** The provider of a name; one that came later, where there was none. */
  provider(name: string): Transport | undefined {
    return this.#providers.get(name) ?? this.#catalog.providers.get(name);
  }
}
