/**
 * `xrouter plugins`: the pipeline as the plugins' files and settings make it. Nothing is opened and
 * no plugin is set up.
 *
 * @module
 */
import { isAbsolute, relative } from "node:path";
import { type Config, readEnvironment } from "../config.ts";
import type { CheckedPlugin } from "../pipeline.ts";
import { assemble, closeProviders } from "../assembly.ts";
import { settingsOf } from "../settings.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { withoutUser } from "./redact.ts";
import { formatTable } from "./terminal.ts";

/** `xrouter plugins`. */
export const plugins = defineCommand({
  name: "plugins",
  about: "List the plugins in the order in which they run, and their settings",
  arguments: { json: jsonSwitch },
  async run({ json }) {
    const assembly = await assemble(readEnvironment());
    await closeProviders(assembly.catalog);
    const pipeline = assembly.plugins.map((each) => describe(each, assembly.config));
    if (json) console.log(JSON.stringify(pipeline, undefined, 2));
    else print(pipeline);
    return 0;
  },
});

interface PluginEntry {
  name: string;
  file: string;
  requires: readonly string[];
  provides: readonly string[];
  onError: "reject" | "skip";
  settings: SettingEntry[];
}

interface SettingEntry {
  field: string;
  /** The environment variable; null where only the configuration file has it. */
  variable: string | null;
  description: string | null;
  secret: boolean;
  /** As it was written; null for a secret, and for what is not set. */
  value: unknown;
  source: "environment" | "configuration file" | "default";
}

function describe({ plugin, file, config }: CheckedPlugin, all: Config): PluginEntry {
  const section = all.file.plugins[plugin.name] as Record<string, unknown> | undefined;
  const settings = plugin.config === undefined ? [] : [...settingsOf(plugin.config)];
  return {
    name: plugin.name,
    file,
    requires: plugin.requires ?? [],
    provides: plugin.provides ?? [],
    onError: plugin.onError ?? "reject",
    settings: settings.map(([field, { variable, description, secret = false }]): SettingEntry => {
      const fromEnv = variable && all.env[variable]?.trim();
      const [value, source] = fromEnv
        ? [fromEnv, "environment" as const]
        : section?.[field] !== undefined
        ? [section[field], "configuration file" as const]
        : [(config as Record<string, unknown>)[field], "default" as const];
      return {
        field,
        variable: variable ?? null,
        description: description ?? null,
        secret,
        value: secret ? null : typeof value === "string" ? withoutUser(value) : value ?? null,
        source,
      };
    }),
  };
}

function print(pipeline: readonly PluginEntry[]): void {
  const rows = pipeline.map(({ name, file, requires, provides, onError }, place) => [
    String(place + 1),
    name,
    requires.join(", "),
    provides.join(", "),
    onError,
    shortPath(file),
  ]);
  console.log(
    formatTable(rows, ["#", "PLUGIN", "REQUIRES", "PROVIDES", "ON ERROR", "FILE"]).join("\n"),
  );
  const settings = pipeline.flatMap(({ name, settings }) =>
    settings.map((each) => [
      each.variable ?? `${name}: ${each.field}`,
      show(each),
      each.source,
      each.description ?? "",
    ])
  );
  if (settings.length === 0) return;
  console.log(`\n${formatTable(settings, ["SETTING", "VALUE", "FROM", "MEANS"]).join("\n")}`);
}

function show({ value, secret, source }: SettingEntry): string {
  if (secret) return source === "default" ? "" : "(secret)";
  if (value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A path as seen from here, if it leads down. */
function shortPath(path: string): string {
  const from = relative(Deno.cwd(), path);
  return from.startsWith("..") || isAbsolute(from) ? path : from;
}
