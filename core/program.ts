/**
 * The whole program: everything that is configured, loaded and opened, as one thing to serve and to
 * close.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { join } from "node:path";
import {
  assemble,
  type Assembly,
  closeProviders,
  foldersOf,
  misspeltOf,
  tryAssemble,
} from "./assembly.ts";
import type { Catalog } from "./catalog.ts";
import { type CodeLimits, codeLimits, inTime } from "./code_limits.ts";
import { type Config, ConfigError, root } from "./config.ts";
import type { InstalledPlugin } from "./hooks.ts";
import { Kernel } from "./kernel.ts";
import { FileWatcher } from "./file_watcher.ts";
import { createLog, type Log } from "./log.ts";
import type { Host } from "./plugin.ts";
import { disposePlugins, installPlugins } from "./pipeline.ts";
import { canLoadAnew } from "./module_versions.ts";
import { changesBetween, droppedBetween } from "./reload_changes.ts";
import { Reloader } from "./reloader.ts";
import { type Retired, Retirement } from "./retirement.ts";
import { standardLimitsOf } from "./routing/limits.ts";
import { Server } from "./server.ts";
import type { Problem } from "./settings.ts";
import { closeDatabase, databaseAlive, localFile, openDatabase } from "./store/database.ts";
import { migrate } from "./store/migrate.ts";
import { PriceStore } from "./prices/price_store.ts";

/** The folder of the migrations. */
export const migrationsFolder: string = join(root, "migrations");

/** A running XRouter without its socket. */
export class Program {
  /** Answers one HTTP request. */
  readonly fetch: Server["fetch"];
  /** The database, migrated. */
  readonly database: Client;
  /** The providers. */
  readonly catalog: Catalog;
  readonly #log: Log;
  readonly #kernel: Kernel;
  readonly #server: Server;
  readonly #reloader: Reloader;
  readonly #retirement: Retirement;
  readonly #limits: CodeLimits;
  #assembly: Assembly;
  #plugins: readonly InstalledPlugin[];
  #watcher: FileWatcher | undefined;
  /** Plugins that could not be closed until the stop began. */
  #failedBefore: number | undefined;

  private constructor(
    assembly: Assembly,
    database: Client,
    plugins: readonly InstalledPlugin[],
    log: Log,
    limits: CodeLimits,
  ) {
    const { settings } = assembly.config;
    this.#assembly = assembly;
    this.catalog = assembly.catalog;
    this.database = database;
    this.#plugins = plugins;
    this.#log = log;
    this.#limits = limits;
    this.#reloader = new Reloader(() => this.#reload(), log);
    this.#retirement = new Retirement(log, limits);
    this.#kernel = new Kernel({
      plugins,
      time: standardLimitsOf(assembly.plugins).time,
      catalog: this.catalog,
      log,
      drainMs: settings.drainSeconds * 1000,
      keepAliveMs: settings.keepAliveSeconds * 1000,
      currency: settings.currency,
      unsupported: settings.unsupported,
    });
    this.#server = new Server({
      kernel: this.#kernel,
      plugins,
      catalog: this.catalog,
      log,
      corsOrigins: settings.corsOrigins,
      bodyLimit: settings.bodyLimit,
      databaseAlive: () => databaseAlive(database),
      readyMs: limits.ready,
    });
    this.fetch = this.#server.fetch;
  }

  /**
   * Opens all that is declared: the database, its migrations, the plugins.
   *
   * @param env The environment.
   * @param log Takes every line.
   * @param limits How long the code of plugins and providers may take.
   * @param thread Writes to a local file run in a thread of their own: for what serves for long.
   * @throws {ConfigError} with every problem of settings and files, those that plugins find as they
   * are set up among them; or with what the database says.
   */
  static async open(
    env: Readonly<Record<string, string | undefined>>,
    log: Log,
    limits: CodeLimits = codeLimits,
    thread = false,
  ): Promise<Program> {
    const { assembly, problems } = await tryAssemble(env, undefined, limits);
    if (problems.length > 0) {
      const more = await setupProblems(assembly, limits);
      await closeProviders(assembly.catalog);
      throw new ConfigError([...problems, ...more]);
    }
    for (const { variable, meant } of misspeltOf(assembly)) {
      log.warn("a variable is set that nobody reads", { variable, meant });
    }
    const { settings } = assembly.config;
    let database: Client | undefined;
    let plugins: readonly InstalledPlugin[] = [];
    try {
      database = await openDatabase({
        url: settings.databaseUrl,
        ...(settings.databaseAuthToken !== undefined && { authToken: settings.databaseAuthToken }),
        thread,
      });
      await migrate(database, migrationsFolder);
      await openPrices(assembly.catalog, database, log);
      plugins = await installPlugins(
        assembly.plugins,
        hostsOf(assembly.catalog, database, settings.currency, log),
        undefined,
        limits,
      );
      return new Program(assembly, database, plugins, log, limits);
    } catch (error) {
      await disposePlugins(plugins, () => {}, limits);
      database?.close();
      await closeProviders(assembly.catalog);
      throw error;
    }
  }

  /** Settings and configuration file. */
  get config(): Config {
    return this.#assembly.config;
  }

  /**
   * From now on takes changes of files over, unless the settings say not to.
   *
   * @returns Whether it does: some systems watch no files.
   */
  watch(): boolean {
    const { settings, env } = this.config;
    if (!settings.watch || !canLoadAnew) return false;
    const { plugins, providers } = foldersOf(this.config);
    const file = env.XROUTER_CONFIG?.trim() || undefined;
    const database = localFile(settings.databaseUrl);
    this.#watcher = new FileWatcher(
      { folders: [...plugins, ...providers], file, database },
      () => void this.reload(),
    );
    // What has changed since it was read, which may be a while ago.
    void this.reload();
    return this.#watcher.watching;
  }

  /**
   * Takes over what has changed in the configuration file, the plugins and the providers. Exchanges
   * that run go on with what they began with.
   *
   * @returns When it is in force, or refused: the log says which.
   */
  async reload(): Promise<void> {
    await this.#reloader.request();
  }

  async #reload(): Promise<readonly string[]> {
    const before = this.#assembly;
    const next = await assemble(before.config.env, before, this.#limits);
    const changes = changesBetween(before, next);
    if (changes.length === 0) return changes;
    const inForce = new Map(before.plugins.map((each, i) => [each, this.#plugins[i]!]));
    let plugins = this.#plugins;
    let enter: () => Promise<void>;
    try {
      const { currency } = before.config.settings;
      const hosts = hostsOf(this.catalog, this.database, currency, this.#log);
      plugins = await installPlugins(next.plugins, hosts, inForce, this.#limits);
      enter = this.#server.prepare(plugins);
      await new PriceStore(this.database).recordDeclared(next.catalog.prices.declared);
      if (this.#reloader.stopped) throw new Error("XRouter stops");
    } catch (error) {
      await this.#retirement.close(replaced(next, before, plugins, this.#plugins));
      throw error;
    }
    // All in one step: no request sees one without the other.
    const old = replaced(before, next, this.#plugins, plugins);
    this.catalog.become(next.catalog);
    this.#assembly = { ...next, catalog: this.catalog };
    this.#plugins = plugins;
    const left = this.#kernel.use(plugins, standardLimitsOf(next.plugins).time);
    this.#retirement.closeAfter(Promise.all([left, enter()]), old);
    return changes;
  }

  /**
   * Lets running exchanges finish, and records them.
   *
   * @param limitMs Milliseconds after which they are ended; by default those of the settings.
   */
  async drain(limitMs: number = this.config.settings.stopSeconds * 1000): Promise<void> {
    this.#failedBefore ??= this.#retirement.failed;
    await this.#kernel.drain(limitMs);
  }

  /**
   * Closes everything; what is still to be written is written first.
   *
   * @returns Whether all plugins could be closed, from the first {@linkcode Program.drain} on: the log
   * tells of one that could not.
   */
  async close(): Promise<boolean> {
    const { failed } = this.#retirement;
    const before = this.#failedBefore ?? failed;
    await this.#reloader.stop(this.#limits.stop);
    await this.#retirement.closeAll();
    await this.#retirement.close({ plugins: this.#plugins, transports: [] });
    await this.catalog.prices.close();
    await closeProviders(this.catalog);
    await closeDatabase(this.database);
    // Last, since a file system that hangs may hold it up.
    await inTime(this.#watcher?.close(), this.#limits.stop).catch(() => {});
    return this.#retirement.failed === before;
  }
}

/**
 * What is wrong with plugins that only their set-ups find out: where a start fails, it tells that too.
 * They get an empty database in memory, since nothing may come of it.
 */
async function setupProblems(
  { plugins, catalog, config }: Assembly,
  limits: CodeLimits,
): Promise<readonly Problem[]> {
  const database = await openDatabase({ url: "file::memory:" });
  try {
    await migrate(database, migrationsFolder);
    const readable = plugins.filter(({ config }) => config !== undefined);
    const hosts = hostsOf(catalog, database, config.settings.currency, createLog(() => {}));
    const installed = await installPlugins(readable, hosts, undefined, limits);
    await disposePlugins(installed, () => {}, limits);
    return [];
  } catch (error) {
    // Whatever else it is must not hide what is wrong with the files.
    return error instanceof ConfigError ? error.problems : [];
  } finally {
    database.close();
  }
}

/** Makes the host that each plugin sees. */
function hostsOf(catalog: Catalog, database: Client, currency: string, log: Log) {
  return (plugin: string): Host => ({ catalog, database, currency, log: log.with({ plugin }) });
}

/** The plugins and the ways to providers that one state of the files has and another has not. */
function replaced(
  one: Assembly,
  other: Assembly,
  plugins: readonly InstalledPlugin[],
  others: readonly InstalledPlugin[],
): Retired {
  const providers = droppedBetween(one.providers, other.providers);
  const transports = providers.map(({ transport }) => transport);
  return { plugins: droppedBetween(plugins, others), transports };
}

/** Records what the files say of prices, and has those that are set by command count. */
async function openPrices({ prices }: Catalog, database: Client, log: Log): Promise<void> {
  const store = new PriceStore(database);
  await store.recordDeclared(prices.declared);
  await prices.follow(() => store.readSet(), log);
}
