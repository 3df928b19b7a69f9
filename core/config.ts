/**
 * The program's own settings, and where the configuration file is.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { z } from "zod";
import { unsupportedPolicies } from "./changes.ts";
import { type ConfigFile, emptyConfigFile, parseConfigFile } from "./config_file.ts";
import { commaList, type Problem, readSettings, setting, wholeNumber } from "./settings.ts";

/** The project's folder, also inside a compiled binary. */
export const root: string = join(import.meta.dirname!, "..");

function isOrigin(text: string): boolean {
  return text === "*" || URL.parse(text)?.origin === text;
}

/** A folder beside the project's own one of that name. */
const folderBeside = (own: string) =>
  z.string().superRefine((path, { addIssue }) => {
    if (resolve(path) === join(root, own)) {
      addIssue("is the project's own folder, which is loaded anyway. Name another, or none");
    } else if (!isFolder(path)) {
      addIssue(`"${path}" cannot be read as a folder. Create it or correct its name`);
    }
  });

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** The settings of the program itself; plugins and providers declare their own. */
export const programSettings = z.strictObject({
  port: setting(
    "PORT",
    wholeNumber(0, 65535).default(8000),
    "Port to listen on; 0 takes a free one",
  ),
  host: setting(
    "XROUTER_HOST",
    // In the brackets of a URL an IPv6 address is the same.
    z.string().transform((host) => host.replace(/^\[(.*)\]$/, "$1")).default("127.0.0.1"),
    "Address to listen on; 0.0.0.0 listens on all",
  ),
  databaseUrl: setting(
    "DATABASE_URL",
    z.string().regex(/^(file|libsql|https?|wss?):/i, {
      error: "must begin with file:, libsql:, https:, http:, wss: or ws:",
    }).default("file:data/xrouter.db"),
    "libSQL database: a file, or a server",
  ),
  databaseAuthToken: setting(
    "DATABASE_AUTH_TOKEN",
    z.string().optional(),
    "Token of a libSQL server",
    { secret: true },
  ),
  corsOrigins: setting(
    "API_CORS_ORIGINS",
    commaList.pipe(z.array(
      // Browsers send it so, however it is written.
      z.string().toLowerCase().refine(isOrigin, {
        error: ({ input }) =>
          `must be origins such as https://app.example.com, or *; "${input}" is none`,
      }),
    )).default([]),
    "Origins whose pages may call, with commas between; * allows all",
  ),
  pluginsDir: setting(
    "XROUTER_PLUGINS_DIR",
    folderBeside("plugins").optional(),
    "A second folder of plugins, outside the project",
  ),
  providersDir: setting(
    "XROUTER_PROVIDERS_DIR",
    folderBeside("providers").optional(),
    "A second folder of providers, outside the project",
  ),
  currency: setting(
    "XROUTER_CURRENCY",
    z.string().regex(/^[A-Z]{3}$/, { error: "must be an ISO 4217 code such as RUB" }).default(
      "RUB",
    ),
    "Currency of the accounts",
  ),
  bodyLimit: setting(
    "XROUTER_BODY_LIMIT",
    wholeNumber(1024, 1024 ** 3).default(10 * 1024 * 1024),
    "Bytes that a request's body may have",
  ),
  stopSeconds: setting(
    "XROUTER_STOP_SECONDS",
    wholeNumber(0, 3600).default(30),
    "Seconds that running answers get to finish at a stop",
  ),
  drainSeconds: setting(
    "XROUTER_DRAIN_SECONDS",
    wholeNumber(0, 3600).default(30),
    "Seconds for which an answer is read on after its client has gone, to learn its usage",
  ),
  keepAliveSeconds: setting(
    "XROUTER_KEEP_ALIVE_SECONDS",
    wholeNumber(1, 3600).default(15),
    "Seconds of silence after which a stream gets a comment",
  ),
  queueLength: setting(
    "XROUTER_QUEUE_LENGTH",
    wholeNumber(0, 100_000).default(100),
    "Requests that may wait for a provider that lets only some run at a time",
  ),
  queueSeconds: setting(
    "XROUTER_QUEUE_SECONDS",
    wholeNumber(1, 3600).default(60),
    "Seconds that a request may wait there",
  ),
  watch: setting(
    "XROUTER_WATCH",
    z.union([z.boolean(), z.stringbool({ truthy: ["true"], falsy: ["false"] })], {
      error: 'must be "true" or "false"',
    }).default(true),
    "Takes over changes of the configuration file, plugins and providers while it runs",
  ),
  unsupported: setting(
    "XROUTER_UNSUPPORTED",
    z.enum(unsupportedPolicies, { error: 'must be "refuse", "warn" or "drop"' }).default("refuse"),
    "Fields that a vendor cannot keep: refuse the request, leave them out and say so in x-xrouter-changed, or leave them out",
  ),
});

/** The settings of the program itself. */
export type ProgramSettings = z.output<typeof programSettings>;

/** All that is configured. */
export interface Config {
  /** The environment, with what `.env` adds. */
  env: Readonly<Record<string, string | undefined>>;
  /** The program's own settings. */
  settings: ProgramSettings;
  /** The configuration file's sections. */
  file: ConfigFile;
}

/** Several things are wrong with how XRouter is set up; the message lists them all. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** What is wrong, each with its place. */
  readonly problems: readonly Problem[];

  /** @param problems What is wrong. */
  constructor(problems: readonly Problem[]) {
    const lines = problems.map(({ at, message }) => `  ${at}: ${message}`);
    super(`XRouter cannot start:\n${lines.join("\n")}`);
    this.problems = problems;
  }
}

/** The environment, with the variables of a `.env` file that it does not set itself. */
export function readEnvironment(folder: string = Deno.cwd()): Record<string, string> {
  let file: Record<string, string | undefined> = {};
  const path = `${folder}/.env`;
  try {
    file = parseEnv(withoutMark(Deno.readTextFileSync(path)));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new ConfigError([{
        at: path,
        message: "cannot be read. Make it a file, or remove it",
      }]);
    }
  }
  const set = Object.entries(Deno.env.toObject()).filter(([, value]) => value.trim() !== "");
  return { ...file as Record<string, string>, ...Object.fromEntries(set) };
}

/** A text without the byte order mark that some editors put before it. */
function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, "");
}

/**
 * Reads the program's settings and the configuration file that `XROUTER_CONFIG` names.
 *
 * @throws {ConfigError} with every problem; a variable is named, a secret's value never.
 */
export async function readConfig(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Config> {
  const { config, problems } = await tryConfig(env);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/**
 * As {@linkcode readConfig}, but goes on with the default of what is wrong, so that what else is wrong
 * can be said too.
 */
export async function tryConfig(
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ config: Config; problems: Problem[] }> {
  const problems: Problem[] = [];
  const path = env.XROUTER_CONFIG?.trim();
  let file = emptyConfigFile();
  if (path) {
    try {
      const parsed = parseConfigFile(path, await Deno.readTextFile(path));
      problems.push(...parsed.problems);
      file = parsed.file ?? file;
    } catch {
      const message = "cannot be read. XROUTER_CONFIG must name a JSON file";
      problems.push({ at: path, message });
    }
  }
  const read = (env: Config["env"]) =>
    readSettings(programSettings, { env, file: {}, at: "settings" });
  const { value, problems: wrong } = read(env);
  problems.push(...wrong);
  const unset = Object.fromEntries(wrong.map(({ at }) => [at, undefined]));
  return { config: { env, settings: value ?? read({ ...env, ...unset }).value!, file }, problems };
}
