/**
 * The settings that a provider has by convention.
 *
 * @module
 */
import { z } from "zod";
import type { Provider } from "./provider.ts";
import { secret } from "./settings.ts";

/** The variable of a provider: `OPENAI_API_KEY` for `openai` and `API_KEY`. */
export function variableOf(provider: string, suffix: string): string {
  return `${provider.toUpperCase().replaceAll("-", "_")}_${suffix}`;
}

/** A vendor's address. What is wrong with it is said without repeating it: it may hold a secret. */
export const baseUrlSchema: z.ZodType<string> = z.string().superRefine((text, { addIssue }) => {
  const url = URL.parse(text);
  if (!/^https?:$/.test(url?.protocol ?? "")) {
    addIssue("must be a URL such as https://api.example.com/v1");
  } else if (url!.username !== "" || url!.password !== "") {
    addIssue("must not hold a user or a password");
  } else if (/[?#]/.test(text)) {
    addIssue("must end with its path, without a query or a fragment: calls append to it");
  }
});

/** The address of a vendor that is sent secrets by TLS alone. */
export const tlsUrlSchema: z.ZodType<string> = baseUrlSchema.refine(
  (text) => URL.parse(text)?.protocol !== "http:",
  { error: "must begin with https://: secrets are sent to it" },
);

/** An address that secrets are sent to. */
export const secureUrl: z.ZodType<string> = z.string().superRefine((text, { addIssue }) => {
  const { protocol, hostname = "" } = URL.parse(text) ?? {};
  const isOwn = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  if (protocol === "https:" || protocol === "http:" && isOwn) return;
  addIssue("must be an address that begins with https://: secrets are sent to it");
});

/** The settings of a provider that declares none: its key, if it signs in with one. */
export function defaultSettings(provider: Provider): z.ZodType {
  if (provider.authorize !== undefined || provider.fetch !== undefined) return z.strictObject({});
  return z.strictObject({
    apiKey: secret(variableOf(provider.name, "API_KEY"), `The key for ${provider.name}`),
  });
}
