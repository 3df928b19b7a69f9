/**
 * Names the targets of a request: the model it asks for, then its list of fallbacks, without those
 * that its key may not use.
 *
 * @module
 */
import { type Catalog, definePlugin, RouterError, setting, type Target } from "xrouter/plugin";
import { z } from "zod";
import type { ApiKey } from "../core/store/keys.ts";

const whole = (least: number) =>
  z.coerce.number({ error: "must be a number" }).int({ error: "must be a whole number" })
    .min(least, { error: `must be at least ${least}` });

export default definePlugin({
  name: "route",
  requires: ["caller"],
  config: z.strictObject({
    attempts: setting(
      "XROUTER_ATTEMPTS",
      whole(1).default(4),
      "Tries over all targets of a request together",
    ),
    retries: setting(
      "XROUTER_RETRIES",
      whole(0).default(1),
      "Further tries of one target, where the error allows it",
    ),
    firstByteMs: setting(
      "XROUTER_FIRST_BYTE_MS",
      whole(1).default(120_000),
      "Milliseconds until the first byte of an answer, connecting included",
    ),
    idleMs: setting(
      "XROUTER_IDLE_MS",
      whole(1).default(60_000),
      "Milliseconds of silence between two chunks",
    ),
    totalMs: setting(
      "XROUTER_TOTAL_MS",
      whole(1).default(600_000),
      "Milliseconds of a whole exchange, all tries together",
    ),
  }),
  setup({ attempts, retries, firstByteMs, idleMs, totalMs }, { catalog }) {
    const timeouts = { firstByte: firstByteMs, idle: idleMs, total: totalMs };
    return {
      async onRoute(x) {
        const { model, models } = x.body;
        const names = [model, ...models ?? []];
        const { caller } = x.state;
        const targets = caller.limits.models === null && !caller.ownerLimits?.models
          ? await catalog.resolve(names)
          : await resolveAllowed(catalog, names, caller);
        return { targets, attempts, retries, timeouts };
      },
    };
  },
});

/**
 * The targets that the key may use, and its owner too.
 *
 * @throws {RouterError} `forbidden` when some of the names have targets, but none of those; else
 * what the catalog throws.
 */
async function resolveAllowed(
  catalog: Catalog,
  names: readonly string[],
  { name: keyName, owner, limits, ownerLimits }: ApiKey,
): Promise<Target[]> {
  const lists = [
    { holder: `Key "${keyName}"`, models: limits.models },
    { holder: `Owner "${owner}"`, models: ownerLimits?.models ?? null },
  ].flatMap(({ holder, models }) => models === null ? [] : [{ holder, models }]);
  const allowed = new Map<string, Target>();
  let unknown: unknown;
  let forbidden: RouterError | undefined;
  for (const name of names) {
    try {
      for (const target of await catalog.resolve([name])) {
        const refusing = lists.find(({ models }) => !allows(catalog, models, name, target));
        if (refusing === undefined) allowed.set(`${target.provider}/${target.model}`, target);
        else forbidden ??= notAllowed(refusing.holder, name, refusing.models);
      }
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      unknown ??= error;
    }
  }
  if (allowed.size === 0) throw forbidden ?? unknown;
  return [...allowed.values()];
}

/** Whether a list has the target: as it was asked for, an alias included, or by any other name. */
function allows(
  { providers }: Catalog,
  models: readonly string[],
  asked: string,
  { provider, model }: Target,
): boolean {
  return models.some((entry) => {
    if (entry === asked || entry === `${provider}/${model}` || entry === `${provider}/*`) {
      return true;
    }
    // What begins with a provider's name is that provider's, though another has an id like it.
    return entry === model && !providers.has(entry.slice(0, Math.max(entry.indexOf("/"), 0)));
  });
}

function notAllowed(holder: string, asked: string, models: readonly string[]): RouterError {
  const names = models.map((model) => `"${model}"`).join(", ");
  const message = `${holder} may not use the model "${asked}". Allowed: ${names}`;
  return new RouterError("forbidden", message, { param: "model" });
}
