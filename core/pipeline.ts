/**
 * Makes the pipeline: checks the plugins that were loaded, and sets them up.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { Hono } from "hono";
import { z } from "zod";
import { type CodeLimits, codeLimits, inTime } from "./code_limits.ts";
import { ConfigError } from "./config.ts";
import type { InstalledPlugin } from "./hooks.ts";
import { naming, reasonOf } from "./errors.ts";
import { type Issue, readValue } from "./issues.ts";
import type { LoadedModule } from "./load.ts";
import type { Hooks, Host, Plugin, State } from "./plugin.ts";
import { routesSchema } from "./routing/routes.ts";
import { type Problem, readSettings } from "./settings.ts";

const name = z.string().regex(/^[a-z][a-z0-9-]*$/, "must be lower-case words with dashes");
const words = { caller: "caller", inputTokens: "inputTokens" } satisfies {
  [Word in keyof State]: Word;
};
const word = z.enum(words);
const hook = z.function().optional();
const schema = z.custom<z.ZodType>((value) => value instanceof z.ZodType, "must be a zod schema");

/** What to say where a file's default export is not even an object. */
export function noObject(kind: string, define: string): { error: z.core.$ZodErrorMap } {
  const message = `exports no ${kind} by default. Write "export default ${define}({ … })"`;
  return { error: ({ code }) => code === "invalid_type" ? message : undefined };
}

const pluginShape = z.strictObject({
  name,
  requires: z.array(word).optional(),
  provides: z.array(word).optional(),
  onError: z.enum(["reject", "skip"]).optional(),
  config: schema.optional(),
  routes: routesSchema.optional(),
  setup: z.function(),
}, noObject("plugin", "definePlugin"));

const hooksShape = z.strictObject(
  {
    onRequest: hook,
    onRoute: hook,
    onAttempt: hook,
    onChunk: hook,
    onFinish: hook,
    estimate: hook,
    routes: hook,
    ready: hook,
    dispose: hook,
  } satisfies Record<keyof Hooks, z.ZodType>,
);

/** A plugin that passed the checks. */
export interface CheckedPlugin {
  /** Its file. */
  readonly file: string;
  /** The plugin. */
  readonly plugin: Plugin<keyof State>;
  /** Its settings, read. */
  readonly config: unknown;
  /** Its section of the configuration file. */
  readonly section: unknown;
}

/** What is wrong with what a file exports, also where that throws as it is looked at. */
export function problemsOf({ path, value }: LoadedModule, shape: z.ZodType): Problem[] {
  try {
    return readValue(shape, value).issues.map((issue) => ({ at: path, message: say(issue) }));
  } catch (error) {
    const message = `a field of its default export throws: ${reasonOf(error)}. ` +
      "Let none be a getter or a proxy that throws";
    return [{ at: path, message }];
  }
}

function say({ path, message }: Issue): string {
  return path.length === 0 ? message : `"${path.join(".")}": ${message}`;
}

/**
 * Checks the plugins: their shape, their order and their settings.
 *
 * @param modules The loaded files, in order.
 * @param env The environment.
 * @param sections The configuration file's sections by plugin name.
 * @returns The pipeline, or every problem at once with its file and cure.
 */
export function checkPlugins(
  modules: readonly LoadedModule[],
  env: Readonly<Record<string, string | undefined>>,
  sections: Readonly<Record<string, unknown>>,
): { plugins: CheckedPlugin[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const plugins: CheckedPlugin[] = [];
  for (const module of modules) {
    const { file, path, value } = module;
    if (!/^\d+_/.test(file)) {
      problems.push({
        at: path,
        message:
          `has no number. Its number is its place in the pipeline: rename it to "45_${file}", say`,
      });
    }
    const wrong = problemsOf(module, pluginShape);
    if (wrong.length > 0) {
      problems.push(...wrong);
      continue;
    }
    const plugin = value as Plugin<keyof State>;
    const twin = plugins.find((each) => each.plugin.name === plugin.name);
    if (twin !== undefined) {
      problems.push({
        at: path,
        message: `plugin "${plugin.name}" is already defined by ${twin.file}. Rename one of them`,
      });
    }
    const section = sections[plugin.name];
    const at = `plugins["${plugin.name}"]`;
    try {
      const read = naming(
        "config",
        () => readSettings(plugin.config ?? z.strictObject({}), { env, file: section, at }),
      );
      problems.push(...read.problems);
      plugins.push({ file: path, plugin, config: read.value, section });
    } catch (error) {
      problems.push({ at: path, message: reasonOf(error) });
    }
  }
  problems.push(...checkOwners(plugins), ...checkOrder(plugins));
  return { plugins, problems };
}

/** State has one owner: of two nobody could say whose word a later plugin reads. */
function checkOwners(plugins: readonly CheckedPlugin[]): Problem[] {
  return plugins.flatMap(({ plugin, file }, place) =>
    (plugin.provides ?? []).flatMap((word) => {
      const owner = plugins.slice(0, place).find((each) => each.plugin.provides?.includes(word));
      if (owner === undefined) return [];
      const message = `plugin "${plugin.name}" provides state.${word}, and so does ` +
        `"${owner.plugin.name}" in ${owner.file}. Take it out of the "provides" of one of them, ` +
        "or begin the name of one file with _";
      return [{ at: file, message }];
    })
  );
}

/** `requires` and `provides` check the order that the file names give; they never change it. */
function checkOrder(plugins: readonly CheckedPlugin[]): Problem[] {
  return plugins.flatMap(({ plugin, file }, place) =>
    (plugin.requires ?? []).flatMap((word) => {
      const provides = (each: CheckedPlugin) => each.plugin.provides?.includes(word);
      if (plugins.slice(0, place).some(provides)) return [];
      const later = plugins.slice(place).find(provides);
      const message = later === undefined
        ? `plugin "${plugin.name}" needs state.${word}, but no plugin provides it. Add one that does`
        : `plugin "${plugin.name}" needs state.${word}, but "${later.plugin.name}", which provides it, runs later. Give it a higher number than ${later.file}`;
      return [{ at: file, message }];
    })
  );
}

/** Whether a plugin is the same as before: its file, what that exports, and its settings. */
export function isSamePlugin(one: CheckedPlugin, other: CheckedPlugin): boolean {
  return one.plugin === other.plugin && one.file === other.file &&
    isDeepStrictEqual(one.section, other.section);
}

/**
 * Sets the plugins up, in order, and tries their routes. When some fail, the others are closed again,
 * and one that is late as soon as it is set up.
 *
 * @param hostFor Makes the host that a plugin sees.
 * @param before Plugins that are set up: one of which nothing has changed stays so.
 * @param limits How long each may take to be set up, and to be closed again.
 * @returns As many as there are plugins.
 * @throws {ConfigError} naming every plugin that failed, its file and what went wrong.
 */
export async function installPlugins(
  plugins: readonly CheckedPlugin[],
  hostFor: (plugin: string) => Host,
  before: ReadonlyMap<CheckedPlugin, InstalledPlugin> = new Map(),
  limits: CodeLimits = codeLimits,
): Promise<InstalledPlugin[]> {
  const installed: InstalledPlugin[] = [];
  const opened: InstalledPlugin[] = [];
  const problems: Problem[] = [];
  for (const checked of plugins) {
    const { plugin, file, config } = checked;
    const same = before.entries().find(([each]) => isSamePlugin(each, checked));
    if (same !== undefined) {
      installed.push(same[1]);
      continue;
    }
    let setup: ReturnType<typeof plugin.setup> | undefined;
    try {
      setup = plugin.setup(config, hostFor(plugin.name));
      const hooks = await inTime(setup, limits.setup, endlessSetup) as Hooks;
      const { issues } = readValue(hooksShape, hooks);
      const { name, onError = "reject", provides = [] } = plugin;
      const made = { name, file, onError, provides, hooks };
      if (hooks) opened.push(made);
      if (issues.length === 0) {
        installed.push(made);
        // For nothing but what is wrong with them: the server adds them once all is well.
        problems.push(...addRoutes(made, new Hono()));
      } else {
        const reasons = issues.map(say).join("; ");
        const message = `setup of plugin "${plugin.name}" must return hooks: ${reasons}`;
        problems.push({ at: file, message });
      }
    } catch (error) {
      const message = `plugin "${plugin.name}" cannot be set up: ${reasonOf(error)}`;
      problems.push({ at: file, message });
      void Promise.resolve(setup).then((late) => late?.dispose?.()).catch(() => {});
    }
  }
  if (problems.length === 0) return installed;
  await disposePlugins(opened, () => {}, limits);
  throw new ConfigError(problems);
}

/** Adds the routes of a plugin. @returns What was wrong with that. */
export function addRoutes({ name, file, hooks }: InstalledPlugin, app: Hono): Problem[] {
  try {
    hooks.routes?.(app);
    return [];
  } catch (error) {
    const message = `plugin "${name}" cannot add its routes: ${reasonOf(error)}`;
    return [{ at: file, message }];
  }
}

const endlessSetup = "Let its setup() return, and what may take long go on behind it";

/**
 * Closes plugins in reverse order; one that fails, or hangs, does not keep the others open.
 *
 * @param failed Told which plugin failed and why.
 * @param limits How long each may take.
 */
export async function disposePlugins(
  plugins: readonly InstalledPlugin[],
  failed: (plugin: InstalledPlugin, error: unknown) => void,
  limits: CodeLimits = codeLimits,
): Promise<void> {
  for (const plugin of plugins.toReversed()) {
    try {
      await inTime(plugin.hooks.dispose?.(), limits.dispose);
    } catch (error) {
      failed(plugin, error);
    }
  }
}
