/**
 * Which models a key may use: those of its own list and of its owner's, where there are such lists.
 *
 * @module
 */
import type { Catalog, CatalogModel } from "./catalog.ts";
import { RouterError } from "./errors.ts";
import type { Target } from "./model.ts";
import type { ApiKey } from "./store/keys.ts";

/** A list of models. */
export interface ModelList {
  /** Whose it is: `Key "name"`. */
  readonly holder: string;
  /** `provider/model`, `provider/*`, bare ids and routes. */
  readonly models: readonly string[];
}

/** A route that a key may use. */
export interface AllowedRoute {
  /** Its name. */
  readonly id: string;
  /** Its first target that the key may use; absent where none can be used now. */
  readonly target?: Target | undefined;
}

/**
 * The targets of some names that a key may use.
 *
 * @param names The first choice first.
 * @param key Nobody, and an admin key, is not limited.
 * @throws {RouterError} `forbidden` when some of the names have targets, but none of those; else
 * what {@linkcode Catalog.resolve} throws.
 */
export async function resolveAllowed(
  catalog: Catalog,
  names: readonly string[],
  key: ApiKey | undefined,
): Promise<Target[]> {
  const lists = listsOf(key);
  if (lists.length === 0) return await catalog.resolve(names);
  const allowed = new Map<string, Target>();
  let unknown: unknown;
  let forbidden: RouterError | undefined;
  for (const name of names) {
    try {
      for (const target of await catalog.resolve([name])) {
        const refusing = refusingOf(lists, catalog, name, target);
        if (refusing === undefined) allowed.set(`${target.provider}/${target.model}`, target);
        else forbidden ??= notAllowed(refusing, name);
      }
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      unknown ??= error;
    }
  }
  if (allowed.size === 0) throw forbidden ?? unknown;
  return [...allowed.values()];
}

/**
 * Every route and every listed model that a key may use, by {@linkcode resolveAllowed}.
 *
 * @param key Nobody, and an admin key, is not limited.
 */
export async function listAllowed(
  catalog: Catalog,
  key: ApiKey | undefined,
): Promise<{ routes: AllowedRoute[]; models: CatalogModel[] }> {
  const models = await catalog.models();
  const lists = listsOf(key);
  const routes: AllowedRoute[] = [];
  for (const id of catalog.routes.keys()) {
    try {
      const [target] = await resolveAllowed(catalog, [id], key);
      routes.push({ id, target });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      if (lists.length === 0) routes.push({ id });
    }
  }
  return {
    routes,
    models: models.filter((model) => !refusingOf(lists, catalog, model.id, model)),
  };
}

/** The lists that limit a key; an admin key, and nobody, has none. */
export function listsOf(key: ApiKey | undefined): ModelList[] {
  if (key === undefined || key.admin) return [];
  const { name, owner, limits, ownerLimits } = key;
  return [
    ...limits.models ? [{ holder: `Key "${name}"`, models: limits.models }] : [],
    ...ownerLimits?.models ? [{ holder: `Owner "${owner}"`, models: ownerLimits.models }] : [],
  ];
}

/** The list that lacks the target: as it was asked for, a route included, and by any other name. */
export function refusingOf(
  lists: readonly ModelList[],
  { providers }: Catalog,
  asked: string,
  { provider, model }: Target,
): ModelList | undefined {
  const names = [asked, `${provider}/${model}`, `${provider}/*`];
  return lists.find(({ models }) =>
    !models.some((entry) =>
      names.includes(entry) ||
      // What begins with a provider's name is that provider's, though another has an id like it.
      (entry === model && !providers.has(entry.slice(0, Math.max(entry.indexOf("/"), 0))))
    )
  );
}

/** Says what a list refuses. */
export function notAllowed({ holder, models }: ModelList, asked: string): RouterError {
  const names = models.map((model) => `"${model}"`).join(", ");
  const message = `${holder} may not use the model "${asked}". Allowed: ${names}`;
  return new RouterError("forbidden", message, { param: "model" });
}
