/**
 * The page everyone reads: what a plugin is, when it is called, and what it may touch.
 *
 * A request passes six moments. Each is a hook; a plugin implements those it needs.
 *
 * | hook | called | may |
 * | --- | --- | --- |
 * | `onRequest` | in order, once | answer now, or refuse by throwing a {@linkcode RouterError} |
 * | `onRoute` | until the first answer | name the targets, best first |
 * | `onAttempt` | in order, before each try | edit that try's body and headers |
 * | `onChunk` | in order, for each chunk of a chat's answer, synchronously | read, replace or withhold the chunk |
 * | `onFinish` | every plugin, exactly once, whatever happened | record |
 * | `dispose` | at shutdown, in reverse order, or after a change of its file | close what `setup` opened |
 *
 * @module
 */
import type { Client } from "@libsql/client";
import type { Hono } from "hono";
import type { z } from "zod";
import type { Catalog } from "./catalog.ts";
import type { Body, Path } from "./body.ts";
import type { ChatReply } from "./chat.ts";
import type { Chunk } from "./chunk.ts";
import type { ErrorCode, RouterError } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Target } from "./model.ts";
import type { Route } from "./routing/route.ts";
import type { DeclaredRoute } from "./routing/routes.ts";
import type { ApiKey } from "./store/keys.ts";

export type { Catalog } from "./catalog.ts";
export { type Body, isChat } from "./body.ts";
export type { ChatBody, ChatReply } from "./chat.ts";
export type { EmbeddingsBody } from "./embeddings.ts";
export { Chunk } from "./chunk.ts";
export { RouterError } from "./errors.ts";
export type { Log } from "./log.ts";
export type { ModelFacts, Target } from "./model.ts";
export type { Price } from "./prices/price.ts";
export type { Conditions } from "./routing/conditions.ts";
export type { DeclaredRoute, DeclaredTarget, RouteOptions } from "./routing/routes.ts";
export {
  breakPolicies,
  type BreakPolicy,
  type Route,
  type RoutedTarget,
  type RouteReason,
  type Timeouts,
} from "./routing/route.ts";
export { readSettings, setting } from "./settings.ts";

/**
 * What plugins hand to each other: a small vocabulary, each word with one owner. A plugin's own
 * notes about an exchange belong into a `WeakMap<Exchange, …>` of its own.
 */
export interface State {
  /** The key that asks. Provided by `auth`. */
  caller: ApiKey;
  /** Tokens of the request, counted before the call. Provided by `token-count`. */
  inputTokens: number;
  /** `inputTokens` is an estimate: not all of so long a text was counted. Provided by `token-count`. */
  extrapolated?: true;
}

/**
 * What `auth` tells the routes under `/v1`, by `c.get("caller")`: the key that asks. Absent where
 * another plugin has taken its place.
 */
export interface CallerEnv {
  /** As Hono wants them. */
  Variables: { caller?: ApiKey };
}

/** One request and all that happens to it. */
export interface Exchange<Known extends keyof State = never> {
  /** Unique; the client reads it in `x-request-id`. */
  readonly id: string;
  /** Milliseconds since 1970 when the request came. */
  readonly startedAt: number;
  /** What is asked for: a chat, or embeddings. */
  readonly path: Path;
  /** The client's headers. */
  readonly headers: Headers;
  /**
   * The request's body, parsed and checked when it is first read; there once the caller is known. A hook before the first attempt
   * may edit it. Only a chat has `messages`; {@linkcode isChat} tells it from a request for
   * embeddings.
   *
   * @throws {RouterError} `invalid_request` and its kin when the body is wrong.
   */
  readonly body: Body;
  /** The body if it was read and is right; for `onFinish`, after whatever happened. */
  readonly parsedBody: Body | undefined;
  /** Aborted when the client has gone. Pass it to whatever an async hook waits for. */
  readonly signal: AbortSignal;
  /** Headers of the answer, in lower case; a plugin adds its own until the answer begins. */
  readonly replyHeaders: Record<string, string>;
  /** What earlier plugins found out. */
  readonly state: Partial<State> & Pick<State, Known>;
  /** Nobody will be asked: somebody wants to know where it would go. Nothing is to be counted. */
  readonly dryRun: boolean;
  /** Where it may go, once that is known. */
  readonly route: Route | undefined;
  /** The calls to providers so far, in the order in which they went out. */
  readonly attempts: readonly Attempt[];
  /**
   * Tokens of the answer so far, counted: an estimate of an answer that is still under way.
   *
   * @param except Tries whose tokens are not wanted.
   */
  producedTokens(except?: ReadonlySet<Attempt>): number | Promise<number>;
}

/** One try to get an answer from one target. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  /** Who is asked. */
  readonly target: Target;
  /** What is sent: this try's own copy, one level deep. Its `stream` stays as the client set it. */
  body: Body;
  /** The request's input tokens by the count of the provider that is asked, where that was asked for. */
  exactInput?: number;
  /** Input tokens beside the request's own: the words of its answer from which this try goes on. */
  readonly prefilled?: number;
  /** Those of the request's input tokens that the provider's cache is taken to hold; see `Provider`. */
  cached?: number;
  /** Headers for the provider beside those that authorize the call. */
  readonly headers: Record<string, string>;
  /** When the provider was called last, by `performance.now()`; time in a queue comes before. */
  startedTick?: number;
  /** Milliseconds from the call to the first chunk, once there is one. */
  firstChunkMs?: number;
  /** Milliseconds from the call to its end, once it has ended, well or badly. */
  durationMs?: number;
  /** The name of the provider's account that must be asked, such as the one that has a file. */
  account?: string;
  /** Why it failed, once it has. */
  error?: RouterError;
  /**
   * What the provider used for it although its answer was of no use: it came too late, broke off,
   * or could not be read. Absent where nothing was used. Where the exchange ends with such a try, the
   * outcome has the same usage.
   */
  usage?: Usage;
  /** Nothing of use came, or not within its time: what it may have used is the operator's to pay. */
  unanswered?: true;
}

/** Tokens of an exchange. */
export interface Usage {
  /** All tokens of the prompt, cached ones included. */
  input: number;
  /** Tokens of the answer. */
  output: number;
  /** Those of `input` that came from the provider's cache. */
  cached: number;
  /** Counted by XRouter because the provider did not say. */
  estimated: boolean;
}

/** How an exchange ended. */
export interface Outcome {
  /**
   * `completed`: the client has the whole answer. `refused`: no provider was asked.
   * `failed`: no provider answered, or an answer broke off. `aborted`: the client went away.
   */
  readonly state: "completed" | "refused" | "failed" | "aborted";
  /** HTTP status that the client got; 499 when it left before one was sent. */
  readonly status: number;
  /** Why it was not completed. */
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** Who answered, the last to be asked otherwise. */
  readonly target?: Target;
  /** The try that it ended with. */
  readonly attempt?: Attempt;
  /** The model's name in the provider's answer. */
  readonly servedModel?: string;
  /**
   * What was used; absent when no provider began to answer. Where the client left while one was
   * asked, it is the counted input.
   */
  readonly usage?: Usage;
  /** No answer came within its time: what it may have used is the operator's to pay. */
  readonly unanswered?: true;
  /**
   * What that costs, in millionths of the accounting currency; absent where no price is known, or
   * nothing was used.
   */
  readonly cost?: number;
  /** Milliseconds from the request to the last byte. */
  readonly durationMs: number;
  /** Milliseconds from the request to the first chunk. */
  readonly firstChunkMs?: number;
}

/** What a try would cost at most. */
export interface Estimate {
  /** What would be held, in millionths of the accounting currency; absent where no price is known. */
  readonly held?: number | undefined;
  /** Output tokens that its answer would be cut to. */
  readonly maxTokens?: number | undefined;
  /** Why it would be refused. */
  readonly refusal?: RouterError | undefined;
}

type MaybePromise<T> = T | Promise<T>;

/** The moments of an exchange; each is optional. */
export interface Hooks<Known extends keyof State = never> {
  /**
   * Looks at the request before anything is done with it.
   *
   * @returns A whole answer to answer now, streamed if the client asked for a stream.
   * @throws {RouterError} to refuse.
   */
  onRequest?(x: Exchange<Known>): MaybePromise<ChatReply | void>;
  /** Names the targets; the first plugin that returns a route decides. */
  onRoute?(x: Exchange<Known>): MaybePromise<Route | void>;
  /** Edits one try before it is sent. */
  onAttempt?(x: Exchange<Known>, attempt: Attempt): MaybePromise<void>;
  /** Sees each chunk of the answer; no waiting here. `false` withholds the chunk. */
  onChunk?(x: Exchange<Known>, chunk: Chunk): void | false;
  /**
   * Learns how it ended: exactly once, also after a refusal, an abort or a crash elsewhere, so that
   * nothing in `x.state` is certain.
   */
  onFinish?(x: Exchange, outcome: Outcome): MaybePromise<void>;
  /**
   * Adds routes to the server: at start, and to a new one whenever a plugin changes. After each
   * set-up it is tried on one that serves nobody, so that what it throws is told with all other
   * problems. Middleware on `/v1/*` guards every route of later plugins and the model list; chat
   * completions pass the six moments instead.
   */
  routes?(app: Hono): void;
  /**
   * Says what a try would cost at most, for `POST /v1/route/explain`. Nothing is held, and nobody is
   * asked; `onRequest` was not called.
   */
  estimate?(x: Exchange<Known>, attempt: Attempt): MaybePromise<Estimate | void>;
  /** Says at `GET /ready` whether the plugin can work. @throws with the reason. */
  ready?(): MaybePromise<void>;
  /**
   * Closes what `setup` opened: at shutdown, or when the plugin was replaced and the last exchange
   * that began with it is over. Safe to call twice.
   */
  dispose?(): MaybePromise<void>;
}

/** What a plugin gets from the program at start. */
export interface Host {
  /** The providers and their models now. Ask it each time: they change with their files. */
  readonly catalog: Catalog;
  /** The database, migrated. */
  readonly database: Client;
  /** Writes log lines that name the plugin. */
  readonly log: Log;
  /** ISO 4217 code of the accounting currency. */
  readonly currency: string;
}

/** A plugin: what it needs, what it gives, and its hooks. */
export interface Plugin<
  Needs extends keyof State = never,
  Config extends z.ZodType = z.ZodType,
> {
  /** Lower-case words with dashes, unique. */
  readonly name: string;
  /** State that an earlier plugin must provide; non-optional in this plugin's hooks. */
  readonly requires?: readonly Needs[];
  /** State that this plugin, and no other, sets in `onRequest` for every request it lets pass. */
  readonly provides?: readonly (keyof State)[];
  /**
   * What a crash of a hook means: `reject` (the default) fails the request, `skip` goes on without.
   * A thrown {@linkcode RouterError} always refuses.
   */
  readonly onError?: "reject" | "skip";
  /** The schema of this plugin's settings: a strict object whose fields have a description. */
  readonly config?: Config;
  /** Routes by the names that clients ask for, beside those of the configuration file. */
  readonly routes?: Readonly<Record<string, DeclaredRoute>>;
  /**
   * Called at start, and again when the plugin's file, what that imports, or its section of the
   * configuration file changes. The one before may still finish its exchanges meanwhile.
   */
  setup(config: z.output<Config>, host: Host): MaybePromise<Hooks<Needs>>;
}

/**
 * Types a plugin; a plugin file's default export is its result.
 *
 * @example A plugin that counts answers
 * ```ts
 * import { definePlugin } from "xrouter/plugin";
 * import { assertEquals } from "@std/assert";
 *
 * const counter = definePlugin({
 *   name: "answer-counter",
 *   onError: "skip",
 *   setup(_config, host) {
 *     let answers = 0;
 *     return {
 *       onFinish() {
 *         host.log.info("answered", { answers: ++answers });
 *       },
 *     };
 *   },
 * });
 * assertEquals(counter.name, "answer-counter");
 * ```
 */
export function definePlugin<
  const Needs extends keyof State = never,
  Config extends z.ZodType = z.ZodType,
>(plugin: Plugin<Needs, Config>): Plugin<Needs, Config> {
  return plugin;
}

/**
 * Makes a plugin of nothing but routes: what a team drops in as one file, such as `42_team.ts`.
 *
 * @param name The plugin's name.
 * @param routes Routes by the names that clients ask for, as in the configuration file.
 *
 * @example A model with a fallback in one country
 * ```ts
 * import { defineRoutes } from "xrouter/plugin";
 * import { assertEquals } from "@std/assert";
 *
 * const plugin = defineRoutes("support-team", {
 *   "support": { targets: ["gigachat/GigaChat-2-Pro", "yandex/yandexgpt"], region: "ru" },
 * });
 * assertEquals(plugin.name, "support-team");
 * ```
 */
export function defineRoutes(
  name: string,
  routes: Readonly<Record<string, DeclaredRoute>>,
): Plugin {
  return definePlugin({ name, routes, setup: () => ({}) });
}
