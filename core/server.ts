/**
 * The HTTP surface: which paths there are, and what each answers.
 *
 * @module
 */
import { type Env, Hono } from "hono";
import { cors } from "hono/cors";
import { getPath } from "hono/utils/url";
import { isPath, parsers, type Path } from "./body.ts";
import type { Catalog } from "./catalog.ts";
import { inTime } from "./code_limits.ts";
import { ConfigError } from "./config.ts";
import { RouterError, toRouterError } from "./errors.ts";
import type { InstalledPlugin } from "./hooks.ts";
import type { Kernel } from "./kernel.ts";
import type { Log } from "./log.ts";
import { addRoutes } from "./pipeline.ts";
import { modelRoutes } from "./model_routes.ts";
import type { CallerEnv } from "./plugin.ts";
import { readBody } from "./request_body.ts";

/** What the surface is made of. */
export interface ServerOptions {
  /** Answers chat requests. */
  kernel: Kernel;
  /** The pipeline at the start, whose routes are added. */
  plugins: readonly InstalledPlugin[];
  /** The models to list. */
  catalog: Catalog;
  /** Takes the access log. */
  log: Log;
  /** Origins that may call from a page. */
  corsOrigins: readonly string[];
  /** Bytes that a body may have. */
  bodyLimit: number;
  /** Rejects when the database does not answer. */
  databaseAlive: () => Promise<void>;
  /** Milliseconds that the database and each plugin may take to say whether they can work. */
  readyMs: number;
}

/** What is known of how a request came. */
export interface Served {
  /** Settles when its answer has gone out. */
  readonly completed?: Promise<void>;
  /** The client's end of the connection. */
  readonly remoteAddr?: Deno.Addr;
}

const chatPath = "/v1/chat/completions";

/** Headers that a page may read. */
const exposedHeaders = [
  "x-request-id",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
  "x-ratelimit-limit-tokens",
  "x-ratelimit-remaining-tokens",
  "x-ratelimit-reset-tokens",
  "retry-after",
  "x-xrouter-provider",
  "x-xrouter-attempts",
  "x-xrouter-attempts-limit",
  "x-xrouter-changed",
  "x-xrouter-max-tokens",
  "x-xrouter-next",
  "x-xrouter-queue",
  "x-xrouter-time-limit",
];

/** Answers requests. What the plugins add can be exchanged while it does. */
export class Server {
  readonly #o: ServerOptions;
  readonly #asked: Hono<{ Bindings: Served }>;
  #other: Hono;
  /** Those that are inside, but for those that ask a provider: the kernel knows these. */
  readonly #inside = new Set<Promise<void>>();

  /** @throws {ConfigError} naming the plugins that cannot add their routes. */
  constructor(options: ServerOptions) {
    this.#o = options;
    this.#asked = createAskingApp(options);
    this.#other = createOtherApp(options, options.plugins);
  }

  /** Answers one request. */
  readonly fetch = async (request: Request, served: Served = {}): Promise<Response> => {
    if (request.method === "POST" && isPath(getPath(request))) {
      return await this.#asked.fetch(request, served);
    }
    const { promise: over, resolve } = Promise.withResolvers<void>();
    this.#inside.add(over);
    try {
      return await serve(this.#other, request, this.#o.log);
    } finally {
      void Promise.resolve(served.completed).catch(() => {}).finally(() => {
        this.#inside.delete(over);
        resolve();
      });
    }
  };

  /**
   * Prepares the surface that these plugins make.
   *
   * @returns What brings it into force for the requests to come; that settles when those that came
   * before are over.
   * @throws {ConfigError} naming the plugins that cannot add their routes.
   */
  prepare(plugins: readonly InstalledPlugin[]): () => Promise<void> {
    const other = createOtherApp(this.#o, plugins);
    return async () => {
      this.#other = other;
      await Promise.all(this.#inside);
    };
  }
}

/** What asks a provider passes the six moments; no plugin's middleware stands in its way. */
function createAskingApp(
  { kernel, bodyLimit, corsOrigins }: ServerOptions,
): Hono<{ Bindings: Served }> {
  const app = new Hono<{ Bindings: Served }>();
  allowOrigins(app, corsOrigins);
  for (const path of Object.keys(parsers) as Path[]) {
    app.post(path, async (c) => {
      const request = c.req.raw;
      const read = () => readBody(request, bodyLimit);
      return await kernel.handle(request, path, read, () => c.env.remoteAddr);
    });
  }
  return app;
}

function allowOrigins<E extends Env>(app: Hono<E>, corsOrigins: readonly string[]): void {
  if (corsOrigins.length === 0) return;
  const origin = corsOrigins.includes("*") ? "*" : [...corsOrigins];
  app.use(cors({ origin, exposeHeaders: exposedHeaders, maxAge: 600 }));
}

/** Everything but chat, with what the plugins add. */
function createOtherApp(options: ServerOptions, plugins: readonly InstalledPlugin[]): Hono {
  const { catalog, log } = options;
  const app = new Hono();
  app.onError((thrown) => errorResponse(toRouterError(thrown, "route"), log));
  app.notFound((c) =>
    errorResponse(
      new RouterError(
        "not_found",
        `There is nothing at ${c.req.path}. Chat requests go to ${chatPath}`,
      ),
      log,
    )
  );
  allowOrigins(app, options.corsOrigins);
  app.get("/health", (c) => c.json({ status: "alive" }));
  app.get("/ready", async (c) => {
    const failed = await notReady(options, plugins);
    return failed.length === 0
      ? c.json({ status: "ready" })
      : c.json({ status: "not ready", failed }, 503);
  });
  const problems = plugins.flatMap((plugin) => addRoutes(plugin, app));
  if (problems.length > 0) throw new ConfigError(problems);
  app.route("/", modelRoutes(catalog));
  app.route("/", explainRoutes(options));
  refuseOtherMethods(app);
  return app;
}

/** `POST /v1/route/explain`: where a request would go, and why. */
function explainRoutes({ kernel, bodyLimit }: ServerOptions): Hono<CallerEnv> {
  const routes = new Hono<CallerEnv>();
  routes.post("/v1/route/explain", async (c) => {
    const body = await readBody(c.req.raw, bodyLimit);
    return c.json(await kernel.explain(c.req.raw, body, c.get("caller")));
  });
  return routes;
}

/** Answers a request with its id and its access line; for chat the kernel does both. */
async function serve(app: Hono, request: Request, log: Log): Promise<Response> {
  const started = performance.now();
  let response = await app.fetch(request);
  const requestId = crypto.randomUUID();
  try {
    response.headers.set("x-request-id", requestId);
  } catch {
    // Nobody may change the headers of a redirect, or of an answer that a plugin fetched.
    response = new Response(response.body, response);
    response.headers.set("x-request-id", requestId);
  }
  log.info("access", {
    requestId,
    method: request.method,
    // As the routes see it: with a wrong host header the address is no URL.
    path: getPath(request),
    status: response.status,
    durationMs: Math.round(performance.now() - started),
  });
  return response;
}

/** A path that exists answers 405 to the methods that it does not have. */
function refuseOtherMethods(app: Hono): void {
  const methods = new Map<string, Set<string>>(
    Object.keys(parsers).map((path) => [path, new Set(["POST"])]),
  );
  for (const { method, path } of app.routes) {
    if (method === "ALL") continue;
    methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, allowed] of methods) {
    if (allowed.has("GET")) allowed.add("HEAD");
    const allow = [...allowed].join(", ");
    app.all(path, (c) => {
      throw new RouterError(
        "method_not_allowed",
        `${c.req.path} takes ${allow}, not ${c.req.method}`,
        {
          headers: { allow },
        },
      );
    });
  }
}

/** The names of what cannot work. Why is in the log: anybody may ask, and addresses are no answer. */
async function notReady(
  { databaseAlive, readyMs, log }: ServerOptions,
  plugins: readonly InstalledPlugin[],
): Promise<string[]> {
  const checks = [
    { name: "database", check: databaseAlive },
    ...plugins.map(({ name, hooks }) => ({ name, check: async () => await hooks.ready?.() })),
  ];
  const results = await Promise.allSettled(checks.map(({ check }) => inTime(check(), readyMs)));
  return results.flatMap((result, i) => {
    if (result.status === "fulfilled") return [];
    const { name } = checks[i]!;
    log.warn("not ready", { failed: name, error: String(result.reason) });
    return [name];
  });
}

function errorResponse(error: RouterError, log: Log): Response {
  if (error.code === "internal") log.error(error.message, { error: String(error.cause) });
  return new Response(JSON.stringify(error.body()), {
    status: error.status,
    headers: { ...error.answerHeaders(), "content-type": "application/json" },
  });
}
