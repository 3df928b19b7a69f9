/**
 * All that is declared: what the settings, the configuration file and the files of both kinds say,
 * checked, and nothing opened yet.
 *
 * @module
 */
import { join } from "node:path";
import { Catalog } from "./catalog.ts";
import { type CodeLimits, codeLimits } from "./code_limits.ts";
import { type Config, ConfigError, programSettings, root, tryConfig } from "./config.ts";
import { type ConnectedProvider, connectProviders } from "./connect.ts";
import { loadModules } from "./load.ts";
import { type Misspelt, misspelt } from "./misspelt.ts";
import { type CheckedPlugin, checkPlugins } from "./pipeline.ts";
import { readRoutes } from "./routing/routes.ts";
import { type Problem, settingsOf } from "./settings.ts";

/** All that is declared, checked but not yet opened. */
export interface Assembly {
  /** Settings and configuration file. */
  readonly config: Config;
  /** The pipeline, in order. */
  readonly plugins: readonly CheckedPlugin[];
  /** The providers with what they were made of. */
  readonly providers: readonly ConnectedProvider[];
  /** The providers. */
  readonly catalog: Catalog;
}

/**
 * Reads the configuration and loads both folders of plugins and of providers.
 *
 * @param env The environment.
 * @param before What was declared before: providers of which nothing has changed stay connected.
 * @param limits How long files may take to be imported.
 * @throws {ConfigError} with every problem of every file and setting.
 */
export async function assemble(
  env: Readonly<Record<string, string | undefined>>,
  before?: Assembly,
  limits: CodeLimits = codeLimits,
): Promise<Assembly> {
  const { assembly, problems } = await tryAssemble(env, before, limits);
  if (problems.length === 0) return assembly;
  const opened = assembly.providers.filter((each) => !before?.providers.includes(each));
  await Promise.all(opened.map(({ transport }) => transport.close()));
  throw new ConfigError(problems);
}

/** As {@linkcode assemble}, but goes on with what is well, so that it can be looked at too. */
export async function tryAssemble(
  env: Readonly<Record<string, string | undefined>>,
  before?: Assembly,
  limits: CodeLimits = codeLimits,
): Promise<{ assembly: Assembly; problems: Problem[] }> {
  const { config, problems: settingProblems } = await tryConfig(env);
  const folders = foldersOf(config);
  const pluginFiles = await loadModules(folders.plugins, limits.load);
  const providerFiles = await loadModules(folders.providers, limits.load);
  const { plugins, problems } = checkPlugins(pluginFiles.modules, env, config.file.plugins);
  const { queueLength, queueSeconds } = config.settings;
  const queue = { length: queueLength, waitMs: queueSeconds * 1000 };
  const providers = connectProviders(
    providerFiles.modules,
    env,
    config.file.providers,
    queue,
    before?.providers,
  );
  const routes = readRoutes([
    { at: "configuration file", routes: config.file.routes },
    ...plugins.map(({ file, plugin }) => ({ at: file, routes: plugin.routes ?? {} })),
  ], providers.names);
  const catalog = new Catalog(providers.transports, config.file.models, routes.routes);
  return {
    assembly: { config, plugins, providers: providers.providers, catalog },
    problems: [
      ...settingProblems,
      ...pluginFiles.problems,
      ...providerFiles.problems,
      ...problems,
      ...providers.problems,
      ...routes.problems,
      ...unknownNames(config, plugins.map(({ plugin }) => plugin.name), providers.names),
    ],
  };
}

/** The schemas of all settings, each with its section of the configuration file. */
export function schemasOf({ config: { file }, plugins, catalog }: Assembly) {
  return [
    { schema: programSettings, section: undefined },
    ...plugins.map(({ plugin }) => ({ schema: plugin.config, section: file.plugins[plugin.name] })),
    ...[...catalog.providers.values()].map(({ schema, name }) => ({
      schema,
      section: file.providers[name],
    })),
  ].flatMap(({ schema, section }) => schema === undefined ? [] : [{ schema, section }]);
}

/** Variables of the environment that nobody reads because of a slip in their name. */
export function misspeltOf(assembly: Assembly): Misspelt[] {
  const variables = schemasOf(assembly).flatMap(({ schema }) =>
    [...settingsOf(schema).values()].flatMap(({ variable }) => variable ?? [])
  );
  return misspelt(assembly.config.env, ["XROUTER_CONFIG", ...variables]);
}

/** The project's own folders of plugins and of providers, and those outside it. */
export function foldersOf({ settings: { pluginsDir, providersDir } }: Config) {
  const both = (own: string, outside: string | undefined) =>
    outside === undefined ? [join(root, own)] : [join(root, own), outside];
  return { plugins: both("plugins", pluginsDir), providers: both("providers", providersDir) };
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

/** Closes the providers' HTTP clients. */
export async function closeProviders(catalog: Catalog): Promise<void> {
  await Promise.all([...catalog.providers.values()].map((transport) => transport.close()));
}
