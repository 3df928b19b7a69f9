/**
 * Checks the providers that were loaded, and connects them to their settings.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { reasonOf } from "./errors.ts";
import { isHeaderName, isHeaderValue } from "./header_syntax.ts";
import { declaredFactsSchema } from "./model.ts";
import type { LoadedModule } from "./load.ts";
import { noObject, problemsOf } from "./pipeline.ts";
import type { Provider } from "./provider.ts";
import { baseUrlSchema } from "./provider_settings.ts";
import type { Problem } from "./settings.ts";
import type { QueueLimits } from "./slots.ts";
import { Transport } from "./transport.ts";

const method = z.function().optional();
const texts = z.record(z.string(), z.string());
const headers = z.record(
  z.string().refine(isHeaderName, "cannot be the name of a header"),
  z.string().refine(isHeaderValue, "holds letters that no header can carry"),
);
const modelIds = z.string().regex(/^[^{}]*$/, "holds a brace without the one that belongs to it");
const uri = z.string().regex(/^[a-z]+:\/\/.*\{model\}/, "must be a URI that holds {model}");

const providerShape = z.strictObject(
  {
    name: z.string().regex(/^[a-z][a-z0-9-]*$/, "must be lower-case words with dashes"),
    baseUrl: baseUrlSchema.optional(),
    requiresTls: z.boolean().optional(),
    settings: z.custom<z.ZodType>((value) => value instanceof z.ZodType, "must be a zod schema")
      .optional(),
    models: z.record(modelIds, declaredFactsSchema).optional(),
    freeCache: z.boolean().optional(),
    cacheSeconds: method,
    signIn: z.array(
      z.union([z.string(), z.strictObject({ url: z.string(), json: texts })], {
        error: 'must be a string, or an object with "url" and "json"',
      }),
    ).optional(),
    headers: headers.optional(),
    modelUri: uri.optional(),
    renamed: texts.optional(),
    accepts: z.record(z.string(), z.array(z.string())).optional(),
    onAbort: z.enum(["drain", "cancel"]).optional(),
    missing: method,
    listed: method,
    listModels: method,
    balance: method,
    authorize: method,
    accounts: method,
    httpClient: method,
    chatUrl: method,
    prepare: method,
    encode: method,
    decoder: method,
    sendAgain: method,
    embeddings: z.strictObject({
      modelUri: uri.optional(),
      plain: z.boolean().optional(),
      single: z.boolean().optional(),
      encode: method,
      decode: method,
    }).optional(),
    countTokens: method,
    fault: method,
    files: z.strictObject({ purpose: z.string().optional(), contentType: method, deletion: method })
      .optional(),
    close: method,
    fetch: method,
  } satisfies Record<keyof Provider, z.ZodType>,
  noObject("provider", "defineProvider"),
);

/** A provider with what it was connected from. */
export interface ConnectedProvider {
  /** Its file. */
  readonly file: string;
  /** What its file exports. */
  readonly provider: Provider;
  /** Its section of the configuration file. */
  readonly section: unknown;
  /** The way to it. */
  readonly transport: Transport;
}

/**
 * Checks the providers' shape and reads their settings.
 *
 * @param modules The loaded files.
 * @param env The environment.
 * @param sections The configuration file's sections by provider name.
 * @param queue How long requests may wait for calls that a vendor lets run.
 * @param before Providers that are connected: one of which nothing has changed stays so.
 * @returns The transports, all names, and every problem at once with its file and cure.
 */
export function connectProviders(
  modules: readonly LoadedModule[],
  env: Readonly<Record<string, string | undefined>>,
  sections: Readonly<Record<string, unknown>>,
  queue?: QueueLimits,
  before: readonly ConnectedProvider[] = [],
): {
  providers: ConnectedProvider[];
  transports: Transport[];
  names: string[];
  problems: Problem[];
} {
  const problems: Problem[] = [];
  const providers: ConnectedProvider[] = [];
  const files = new Map<string, string>();
  const well = modules.filter((module) => {
    const wrong = problemsOf(module, providerShape);
    problems.push(...wrong);
    return wrong.length === 0;
  });
  for (const { path, value } of well) {
    const provider = value as Provider;
    const twin = files.get(provider.name) ?? namesakeOf(provider.name, well);
    if (twin !== undefined && twin !== path) {
      problems.push({
        at: path,
        message: `provider "${provider.name}" is already defined by ${twin}. Rename one of them`,
      });
      continue;
    }
    files.set(provider.name, path);
    const section = sections[provider.name];
    const same = before.find((each) =>
      each.provider === provider && each.file === path && isDeepStrictEqual(each.section, section)
    );
    if (same !== undefined) {
      providers.push(same);
      continue;
    }
    try {
      const connected = Transport.connect(provider, { env, file: section }, queue);
      const { transport } = connected;
      if (transport === undefined) problems.push(...connected.problems);
      else providers.push({ file: path, provider, section, transport });
    } catch (error) {
      problems.push({ at: path, message: reasonOf(error) });
    }
  }
  const transports = providers.map(({ transport }) => transport);
  return { providers, transports, names: [...files.keys()], problems };
}

/** The file that bears a provider's name, as it should: others that take the name are wrong. */
function namesakeOf(name: string, modules: readonly LoadedModule[]): string | undefined {
  const bearsIt = ({ file, value }: LoadedModule) =>
    (value as Provider).name === name && file.split(/[./]/)[0]!.replaceAll("_", "-") === name;
  return modules.find(bearsIt)?.path;
}
