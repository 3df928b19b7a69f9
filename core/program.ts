/**
 * The whole program: everything that is configured, loaded and opened, as one thing to serve and to
 * close.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { join } from "node:path";
import { Catalog } from "./catalog.ts";
import { type Config, ConfigError, tryConfig } from "./config.ts";
import type { InstalledPlugin } from "./hooks.ts";
import { Kernel } from "./kernel.ts";
import { loadModules } from "./load.ts";
import type { Log } from "./log.ts";
import { type CheckedPlugin, checkPlugins, disposePlugins, installPlugins } from "./pipeline.ts";
import { connectProviders } from "./connect.ts";
import { readRoutes } from "./routing/routes.ts";
import { createServer } from "./server.ts";
import type { Problem } from "./settings.ts";
import { databaseAlive, openDatabase } from "./store/database.ts";
import { migrate } from "./store/migrate.ts";
import { PriceStore } from "./prices/price_store.ts";

/** The project's folder, also inside a compiled binary. */
const root = join(import.meta.dirname!, "..");

/** The folder of the migrations. */
export const migrationsFolder: string = join(root, "migrations");

/** All that is declared, checked but not yet opened. */
export interface Assembly {
  /** Settings and configuration file. */
  readonly config: Config;
  /** The pipeline, in order. */
  readonly plugins: readonly CheckedPlugin[];
  /** The providers. */
  readonly catalog: Catalog;
}

/**
 * Reads the configuration and loads both folders of plugins and of providers.
 *
 * @param env The environment.
 * @throws {ConfigError} with every problem of every file and setting.
 */
export async function assemble(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Assembly> {
  const { config, problems: settingProblems } = await tryConfig(env);
  const { pluginsDir, providersDir } = config.settings;
  const folders = (own: string, outside: string | undefined) =>
    outside === undefined ? [join(root, own)] : [join(root, own), outside];
  const pluginFiles = await loadModules(folders("plugins", pluginsDir));
  const providerFiles = await loadModules(folders("providers", providersDir));
  const { plugins, problems } = checkPlugins(pluginFiles.modules, env, config.file.plugins);
  const { queueLength, queueSeconds } = config.settings;
  const queue = { length: queueLength, waitMs: queueSeconds * 1000 };
  const providers = connectProviders(providerFiles.modules, env, config.file.providers, queue);
  const routes = readRoutes([
    { at: "configuration file", routes: config.file.routes },
    ...plugins.map(({ file, plugin }) => ({ at: file, routes: plugin.routes ?? {} })),
  ], providers.names);
  const all = [
    ...settingProblems,
    ...pluginFiles.problems,
    ...providerFiles.problems,
    ...problems,
    ...providers.problems,
    ...routes.problems,
    ...unknownNames(config, plugins.map(({ plugin }) => plugin.name), providers.names),
  ];
  if (all.length > 0) {
    await Promise.all(providers.transports.map((transport) => transport.close()));
    throw new ConfigError(all);
  }
  const catalog = new Catalog(providers.transports, config.file.models, routes.routes);
  return { config, plugins, catalog };
}

/** Sections of the configuration file that belong to nobody. */
function unknownNames(
  { file }: Config,
  plugins: readonly string[],
  providers: readonly string[],
): Problem[] {
  const check = (section: string, used: readonly string[], known: readonly string[]) =>
    used.filter((name) => !known.includes(name)).map((name) => ({
      at: `configuration file, ${section}["${name}"]`,
      message: `there is no ${section.slice(0, -1)} "${name}". There are: ${known.join(", ")}`,
    }));
  return [
    ...check("plugins", Object.keys(file.plugins), plugins),
    ...check("providers", Object.keys(file.providers), providers),
    ...Object.keys(file.models)
      .filter((name) => !providers.includes(name.slice(0, name.indexOf("/"))))
      .map((name) => ({
        at: `configuration file, models["${name}"]`,
        message: `there is no such provider. There are: ${providers.join(", ")}`,
      })),
  ];
}

/** A running XRouter without its socket. */
export class Program {
  /** Answers one HTTP request. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** The database, migrated. */
  readonly database: Client;
  /** Settings and configuration file. */
  readonly config: Config;
  /** The providers. */
  readonly catalog: Catalog;
  readonly #kernel: Kernel;
  readonly #plugins: readonly InstalledPlugin[];
  readonly #log: Log;

  private constructor(
    assembly: Assembly,
    database: Client,
    plugins: readonly InstalledPlugin[],
    log: Log,
  ) {
    const { settings } = assembly.config;
    this.config = assembly.config;
    this.catalog = assembly.catalog;
    this.database = database;
    this.#plugins = plugins;
    this.#log = log;
    this.#kernel = new Kernel({
      plugins,
      catalog: this.catalog,
      log,
      drainMs: settings.drainSeconds * 1000,
      keepAliveMs: settings.keepAliveSeconds * 1000,
      currency: settings.currency,
      unsupported: settings.unsupported,
    });
    this.fetch = createServer({
      kernel: this.#kernel,
      plugins,
      catalog: this.catalog,
      log,
      corsOrigins: settings.corsOrigins,
      bodyLimit: settings.bodyLimit,
      databaseAlive: () => databaseAlive(database),
    });
  }

  /**
   * Opens all that is declared: the database, its migrations, the plugins.
   *
   * @param env The environment.
   * @param log Takes every line.
   * @throws {ConfigError} with every problem of the configuration, and what the database says.
   */
  static async open(
    env: Readonly<Record<string, string | undefined>>,
    log: Log,
  ): Promise<Program> {
    const assembly = await assemble(env);
    const { settings } = assembly.config;
    let database: Client | undefined;
    let plugins: readonly InstalledPlugin[] = [];
    try {
      database = await openDatabase({
        url: settings.databaseUrl,
        ...(settings.databaseAuthToken !== undefined && { authToken: settings.databaseAuthToken }),
      });
      await migrate(database, migrationsFolder);
      await openPrices(assembly.catalog, database, log);
      const host = { catalog: assembly.catalog, database, currency: settings.currency };
      plugins = await installPlugins(
        assembly.plugins,
        (plugin) => ({ ...host, log: log.with({ plugin }) }),
      );
      return new Program(assembly, database, plugins, log);
    } catch (error) {
      await disposePlugins(plugins, () => {});
      database?.close();
      await closeProviders(assembly.catalog);
      throw error;
    }
  }

  /** Lets running exchanges finish within the configured time, and records them. */
  async drain(): Promise<void> {
    await this.#kernel.drain(this.config.settings.stopSeconds * 1000);
  }

  /** Closes everything; what is still to be written is written first. */
  async close(): Promise<void> {
    await disposePlugins(this.#plugins, (plugin, error) => {
      this.#log.error(`plugin "${plugin.name}" could not be closed`, { error: String(error) });
    });
    await this.catalog.prices.close();
    await closeProviders(this.catalog);
    this.database.close();
  }
}

/** Records what the files say of prices, and has those that are set by command count. */
async function openPrices({ prices }: Catalog, database: Client, log: Log): Promise<void> {
  const store = new PriceStore(database);
  await store.recordDeclared(prices.declared);
  await prices.follow(() => store.readSet(), log);
}

/** Closes the providers' HTTP clients. */
export async function closeProviders(catalog: Catalog): Promise<void> {
  await Promise.all([...catalog.providers.values()].map((transport) => transport.close()));
}
