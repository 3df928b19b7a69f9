/**
 * The settings that a provider has by convention.
 *
 * @module
 */
import { z } from "zod";
import type { Provider } from "./provider.ts";
import { setting } from "./settings.ts";

/** The variable of a provider: `OPENAI_API_KEY` for `openai` and `API_KEY`. */
export function variableOf(provider: string, suffix: string): string {
  return `${provider.toUpperCase().replaceAll("-", "_")}_${suffix}`;
}

/** The settings of a provider that declares none: its key, if it signs in with one. */
export function defaultSettings(provider: Provider): z.ZodType {
  if (provider.authorize !== undefined || provider.fetch !== undefined) return z.strictObject({});
  return z.strictObject({
    apiKey: setting(
      variableOf(provider.name, "API_KEY"),
      z.string().optional(),
      `The key for ${provider.name}`,
      { secret: true },
    ),
  });
}
