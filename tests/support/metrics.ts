/**
 * The metrics plugin, set up, and exchanges to show it.
 *
 * @module
 */
import { Hono } from "hono";
import { Catalog } from "../../core/catalog.ts";
import { priceIn } from "../../core/ledger/charge.ts";
import type { ModelFacts, Target } from "../../core/model.ts";
import type { ErrorCode, RouterError } from "../../core/errors.ts";
import { createLog } from "../../core/log.ts";
import type { Attempt, Exchange, Host, Outcome, Usage } from "../../core/plugin.ts";
import { costOf } from "../../core/prices/price.ts";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import { Transport } from "../../core/transport.ts";
import plugin from "../../plugins/60_metrics/mod.ts";
import { Exposition } from "./exposition.ts";
import { routesOf } from "./routes.ts";

const price = { currency: "RUB", input: 65, output: 130, cached: 0 };

const alphasModels: Record<string, ModelFacts> = {
  priced: { price },
  dollars: { price: { ...price, currency: "USD" } },
  unpriced: {},
};

/** Two vendors: `alpha` with a table of models, and `beta`, whose models only the vendor lists. */
export function catalogOf(
  { models = alphasModels, overrides = {}, routes = {} }: {
    models?: Record<string, ModelFacts>;
    overrides?: Record<string, ModelFacts>;
    routes?: Record<string, string[]>;
  } = {},
): Catalog {
  const env = { ALPHA_API_KEY: "k", BETA_API_KEY: "k" };
  const transports = [{ name: "alpha", models }, { name: "beta" }].map((each) =>
    Transport.connect({ ...each, baseUrl: "http://127.0.0.1/v1" }, { env, file: {} }).transport!
  );
  return new Catalog(transports, overrides, routesOf(routes));
}

/** Sets the plugin up, with its page in an app. */
export async function startMetrics(catalog: Catalog = catalogOf()) {
  const log = createLog(() => {});
  const database = await openDatabase({ url: "file::memory:" });
  await migrate(database, migrationsFolder);
  const host: Host = { catalog, log, currency: "RUB", database };
  const hooks = await plugin.setup({}, host);
  const app = new Hono();
  hooks.routes!(app);
  const page = async () => await app.request("/metrics");
  return {
    hooks,
    page,
    scrape: async () => new Exposition(await (await page()).text()),
    /** Ends an exchange: by a whole answer, unless told otherwise. */
    finish(x: Exchange, rest: Partial<Outcome> = {}) {
      const price = priceIn("RUB", rest.target);
      const known = rest.usage !== undefined && price !== undefined;
      const cost = known ? { cost: costOf(rest.usage!, price) } : {};
      hooks.onFinish!(x, { state: "completed", status: 200, durationMs: 100, ...cost, ...rest });
    },
    database,
    [Symbol.dispose]() {
      void hooks.dispose!();
      database.close();
    },
  };
}

/** An exchange that was tried once, where it has a target. */
export function exchange(target?: Target, stream = false): Exchange {
  const body = { model: "asked", messages: [], stream };
  return {
    id: crypto.randomUUID(),
    startedAt: Date.now(),
    path: "/v1/chat/completions",
    dryRun: false,
    route: undefined,
    headers: new Headers(),
    body,
    parsedBody: body,
    signal: new AbortController().signal,
    replyHeaders: {},
    state: {},
    producedTokens: () => 0,
    attempts: target === undefined ? [] : [attempt(target)],
  };
}

/** One try. */
export function attempt(target: Target, error?: RouterError): Attempt {
  const body = { model: target.model, messages: [] };
  return { number: 1, target, body, headers: {}, ...(error && { error }) };
}

/** An outcome's error. */
export function fault(code: ErrorCode): { code: ErrorCode; message: string } {
  return { code, message: "It failed" };
}

/** What an answer used. */
export const usage: Usage = { input: 20, output: 3, cached: 5, estimated: false };

/** The labels that name a model. */
export function labelsOf(provider: string, model: string): Record<string, string> {
  return {
    gen_ai_operation_name: "chat",
    gen_ai_provider_name: provider,
    gen_ai_request_model: model,
  };
}
