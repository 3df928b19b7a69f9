/**
 * How a provider's file declares it.
 *
 * @module
 */
import { z } from "zod";
import { expandIds } from "./model_id.ts";
import type { Provider } from "./provider.ts";

/** A provider as its file declares it. */
export type ProviderDeclaration<Settings extends z.ZodType | z.ZodRawShape, Prepared> =
  & Omit<Provider<SchemaOf<Settings>, Prepared>, "settings">
  & {
    /** The settings by their names, or a schema where they depend on each other. */
    readonly settings?: Settings;
  };

/** The schema of a provider's settings. */
export type SchemaOf<Settings> = Settings extends z.ZodType ? Settings
  : Settings extends z.ZodRawShape ? z.ZodObject<Settings, z.core.$strict>
  : never;

/**
 * Makes a provider; a provider file's default export is its result. Ids of models that share their
 * facts may stand in one key, with braces as in a shell: `gpt-5{,-mini}`.
 *
 * @example A vendor that speaks OpenAI
 * ```ts
 * import { defineProvider } from "xrouter/provider";
 * import { assertEquals } from "@std/assert";
 *
 * const provider = defineProvider({
 *   name: "deepseek",
 *   baseUrl: "https://api.deepseek.com/v1",
 *   models: { "deepseek-v4-{flash,pro}": { context: 1_000_000 } },
 * });
 * assertEquals(Object.keys(provider.models!), ["deepseek-v4-flash", "deepseek-v4-pro"]);
 * ```
 */
export function defineProvider<
  Settings extends z.ZodType | z.ZodRawShape = z.ZodType<{ apiKey?: string }>,
  Prepared = unknown,
>(
  { settings, models, ...rest }: ProviderDeclaration<Settings, Prepared>,
): Provider<SchemaOf<Settings>, Prepared> {
  const schema = settings === undefined || settings instanceof z.ZodType
    ? settings
    : z.strictObject(settings);
  const byId = models && Object.fromEntries(
    Object.entries(models).flatMap(([ids, facts]) => expandIds(ids).map((id) => [id, facts])),
  );
  return {
    ...rest,
    ...schema && { settings: schema },
    ...byId && { models: byId },
  } as Provider<SchemaOf<Settings>, Prepared>;
}
