/**
 * Signing calls in as a provider declares it: by texts that hold its settings, or by a token that
 * these get.
 *
 * @module
 */
import { z } from "zod";
import { bearerTokens, readGrant } from "./bearer_tokens.ts";
import type { Provider, SignIn, TokenRequest, Wire } from "./provider.ts";
import { settingsOf } from "./settings.ts";
import { fill, placesOf } from "./template.ts";

type Settings = Readonly<Record<string, unknown>>;

/** Makes the headers that sign a call in. @param rejected Those that were just answered with 401. */
export type Authorize = (
  wire: Wire,
  rejected?: Readonly<Record<string, string>>,
) => Record<string, string> | Promise<Record<string, string>>;

const standard: readonly SignIn[] = ["Bearer {apiKey}"];

/** What signs a provider's calls in: its own `authorize`, or the first way whose settings are set. */
export function authorizeOf(provider: Provider): Authorize {
  if (provider.authorize !== undefined) return provider.authorize.bind(provider);
  const ways = (provider.signIn ?? standard).map((way) => {
    const authorize: Authorize = typeof way === "string"
      ? ({ settings }) => ({ authorization: fill(way, settings) })
      : bearerTokens<Settings>((wire) => requestToken(provider.name, way, wire));
    return { needs: needsOf(way), authorize };
  });
  return (wire, rejected) => {
    const way = ways.find(({ needs }) => areSet(needs, wire.settings));
    return way?.authorize(wire, rejected) ?? {};
  };
}

/**
 * What must be set before a provider that does not say so itself can be used.
 *
 * @returns An instruction that names the variables; `undefined` when nothing is missing.
 * @throws {Error} where a text of the provider has a place for a setting that there is not.
 */
export function missingOf(
  { signIn, authorize, baseUrl, headers = {}, modelUri = "", embeddings = {} }: Provider,
  schema: z.ZodType,
  settings: Settings,
): string | undefined {
  const declared = settingsOf(schema);
  const hasKey = declared.has("apiKey") && authorize === undefined && baseUrl !== undefined;
  const ways = (signIn ?? (hasKey ? standard : [])).map(needsOf);
  const always = new Set(
    [...Object.values(headers), modelUri, embeddings.modelUri ?? ""].flatMap(placesOf)
      .filter((field) => field !== "model" && field !== "version"),
  );
  const variables = (fields: Iterable<string>) =>
    [...fields].flatMap((field) => {
      const found = declared.get(field);
      if (found === undefined) throw new Error(`"{${field}}" stands for none of its settings`);
      const { variable = field, schema } = found;
      return schema.safeParse(undefined).data === undefined ? [variable] : [];
    }).join(" and ");
  const shared = variables(always);
  const either = ways.map(variables);
  if (
    areSet(always, settings) && (ways.length === 0 || ways.some((way) => areSet(way, settings)))
  ) {
    return undefined;
  }
  const choice = either.join(either.some((way) => way.includes(" ")) ? ", or " : " or ");
  return `Set ${[shared, choice].filter((text) => text !== "").join(", and ")}`;
}

/** The settings that stand in the headers of a provider's calls. */
export function settingsInHeaders({ headers = {}, signIn = standard }: Provider): string[] {
  return [...Object.values(headers), ...signIn.filter((way) => typeof way === "string")]
    .flatMap(placesOf);
}

function needsOf(way: SignIn): string[] {
  return (typeof way === "string" ? [way] : [way.url, ...Object.values(way.json)])
    .flatMap(placesOf);
}

function areSet(fields: Iterable<string>, settings: Settings): boolean {
  return [...fields].every((field) => Boolean(settings[field]));
}

async function requestToken(
  provider: string,
  { url, json }: TokenRequest,
  { fetch, settings }: Wire<Settings>,
) {
  const filled = Object.entries(json).map(([field, text]) => [field, fill(text, settings)]);
  const response = await fetch(fill(url, settings), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(Object.fromEntries(filled)),
  });
  return await readGrant(response, provider);
}
