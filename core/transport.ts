/**
 * The way to one provider: its settings, its accounts, and the choice among them.
 *
 * @module
 */
import { z } from "zod";
import { askAccounts, type AskOptions } from "./ask_accounts.ts";
import { type Body, isChat } from "./body.ts";
import type { Circuit, CircuitListener } from "./breakers.ts";
import { Connection } from "./connection.ts";
import { naming, RouterError } from "./errors.ts";
import type { DeclaredFacts } from "./model.ts";
import { namedModel } from "./model_id.ts";
import { askForOffer, type Offer } from "./offer.ts";
import type { Price } from "./prices/price.ts";
import { PromptCache } from "./prompt_cache.ts";
import type { Account, FileApi, OfferedModel, Provider } from "./provider.ts";
import { baseUrlSchema, defaultSettings, tlsUrlSchema, variableOf } from "./provider_settings.ts";
import { type Problem, readSettings } from "./settings.ts";
import { missingOf, settingsInHeaders } from "./sign_in.ts";
import { type QueueLimits, Slots } from "./slots.ts";
import { unlessAborted } from "./unless_aborted.ts";
import type { Upstream } from "./upstream.ts";
import { VendorModule } from "./vendor_module.ts";

/** How long requests wait where nobody says otherwise. */
const defaultQueue: QueueLimits = { length: 100, waitMs: 30_000 };

/** What one attempt sends, and who is told of its way. */
export interface OpenOptions extends AskOptions {
  /** The name of the account that must be asked; by default any. */
  readonly account?: string | undefined;
}

/** One provider, ready to be called. */
export class Transport {
  readonly #provider: Provider;
  readonly #settings: Record<string, unknown>;
  readonly #module: VendorModule;
  readonly #connections: readonly Connection[];
  readonly #slots: Slots;
  #turn = 0;
  /** The address in force, without a slash at its end; empty where it has yet to be set. */
  readonly baseUrl: string;
  /** What must be set before the provider can be used; `undefined` when it can. */
  readonly missing: string | undefined;
  /** What the vendor's cache holds; `undefined` where that is not known. */
  readonly promptCache: PromptCache | undefined;

  private constructor(
    provider: Provider,
    settings: Record<string, unknown>,
    baseUrl: string,
    queue: QueueLimits,
  ) {
    this.#provider = provider;
    this.#settings = settings;
    this.#module = new VendorModule(provider);
    this.baseUrl = withoutSlash(baseUrl);
    this.missing = baseUrl === ""
      ? `Set ${variableOf(provider.name, "BASE_URL")}`
      : provider.missing !== undefined
      ? naming("missing", () => provider.missing!(settings))
      : missingOf(provider, this.schema, settings);
    const accounts: readonly Account[] =
      naming("accounts", () => provider.accounts?.(settings) as readonly Account[] | undefined) ??
        [{ name: "", settings }];
    this.#connections = accounts.map((account) => {
      const address = withoutSlash(account.baseUrl ?? this.baseUrl);
      return naming("httpClient", () => new Connection(provider, account, address));
    });
    this.#slots = new Slots(provider.name, this.#connections, queue);
    const seconds = naming("cacheSeconds", () => provider.cacheSeconds?.(settings));
    this.promptCache = seconds === undefined ? undefined : new PromptCache(1000 * seconds);
  }

  /**
   * Reads a provider's settings and opens its HTTP client.
   *
   * @param provider The provider as its file declares it.
   * @param sources The environment, and the provider's section of the configuration file.
   * @param queue How long requests may wait for a call that the vendor lets run.
   * @returns The transport, or every problem of its settings.
   * @throws {Error} naming what of the provider throws.
   */
  static connect(
    provider: Provider,
    sources: { env: Readonly<Record<string, string | undefined>>; file: unknown },
    queue: QueueLimits = defaultQueue,
  ): { transport: Transport; problems: [] } | { transport?: undefined; problems: Problem[] } {
    const variable = variableOf(provider.name, "BASE_URL");
    const set = sources.env[variable]?.trim();
    const schema = provider.requiresTls ? tlsUrlSchema : baseUrlSchema;
    const wrong = set ? schema.safeParse(set).error?.issues ?? [] : [];
    const problems: Problem[] = wrong.map(({ message }) => ({ at: variable, message }));
    const read = naming(
      "settings",
      () =>
        readSettings(provider.settings ?? defaultSettings(provider), {
          ...sources,
          at: `providers["${provider.name}"]`,
          inHeaders: settingsInHeaders(provider),
        }),
    );
    problems.push(...read.problems);
    if (read.value === undefined || problems.length > 0) return { problems };
    const settings = read.value as Record<string, unknown>;
    const address = set || (provider.baseUrl ?? "");
    return { transport: new Transport(provider, settings, address, queue), problems: [] };
  }

  /** The provider's name. */
  get name(): string {
    return this.#provider.name;
  }

  /** What the provider's file says of its models. */
  get models(): Readonly<Record<string, DeclaredFacts>> {
    return this.#provider.models ?? {};
  }

  /** The model that a client names; `undefined` for what names none. */
  named(model: string): OfferedModel | undefined {
    return namedModel(model, this.#provider, this.#settings);
  }

  /** A price of its models; what that leaves out is as the vendor bills it. */
  priced<Any extends Price>(price: Any): Any {
    return price.cached === undefined && this.#provider.freeCache ? { ...price, cached: 0 } : price;
  }

  /** How the vendor keeps files; `undefined` where it keeps none. */
  get files(): FileApi | undefined {
    return this.#provider.files;
  }

  /** The schema of its settings. */
  get schema(): z.ZodType {
    return this.#provider.settings ?? defaultSettings(this.#provider);
  }

  /** It answers inside this process, without a vendor. */
  get local(): boolean {
    return this.#provider.fetch !== undefined;
  }

  /** What to do with a call whose client has gone. */
  get onAbort(): "drain" | "cancel" {
    return this.#provider.onAbort ?? "drain";
  }

  /** The vendor's accounts, each by itself. */
  get accounts(): readonly Connection[] {
    return this.#connections;
  }

  /** The circuits of those accounts and models that were asked lately. */
  circuits(): Circuit[] {
    return this.#slots.breakers.list();
  }

  /** How a model's circuit stands, over all accounts, and how long until it may be asked. */
  circuit(model: string): Pick<Circuit, "state" | "retryAfterMs"> {
    return this.#slots.breakers.circuit(model);
  }

  /** Why the model is not asked now, whatever the account; `undefined` where it may be. */
  refusal(model: string): RouterError | undefined {
    return this.#slots.breakers.refusal(this.#connections, model);
  }

  /** Has a listener told when a circuit opens, is tried or closes. @returns Ends that. */
  onCircuitChange(listener: CircuitListener): () => void {
    return this.#slots.breakers.subscribe(listener);
  }

  /**
   * Calls the vendor's address without signing in; any answer shows that it can be reached.
   *
   * @returns The answer's headers.
   * @throws {TypeError} when name, connection or certificate fails; the signal's reason.
   */
  async reach(signal: AbortSignal): Promise<Headers> {
    const response = await this.#connections[0]!.wire.fetch(this.baseUrl, {
      redirect: "manual",
      signal,
    });
    await response.body?.cancel();
    return response.headers;
  }

  /**
   * The models that the vendor offers now, to any of its accounts.
   *
   * @throws The first account's reason when none can be asked; the signal's reason, once it fires.
   */
  async offered(signal: AbortSignal): Promise<Offer> {
    if (this.#provider.listModels === undefined && this.#provider.fetch !== undefined) {
      return { models: new Map(Object.keys(this.models).map((id) => [id, { id }])), whole: true };
    }
    return await askForOffer(this.#connections, signal);
  }

  /** The ids of {@linkcode Transport.offered}. */
  async listModels(signal: AbortSignal): Promise<string[]> {
    return [...(await this.offered(signal)).models.keys()];
  }

  /**
   * Input tokens of a request by the vendor's own count; `undefined` where it cannot say, or where an
   * account that counts this among its calls would have to be waited for.
   *
   * @throws What the vendor's refusal means; the signal's reason, once it fires.
   */
  async countTokens(body: Body, signal: AbortSignal): Promise<number | undefined> {
    if (this.#provider.countTokens === undefined) return undefined;
    let failure: unknown;
    for (const connection of this.#connections) {
      const release = this.#slots.takeFree(connection, "count");
      if (release === undefined) continue;
      try {
        return await unlessAborted(this.#provider.countTokens(body, connection.wire), signal);
      } catch (error) {
        signal.throwIfAborted();
        failure ??= error;
      } finally {
        // Also where the vendor still counts: a chat that finds it busy asks again.
        release();
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /**
   * Asks the vendor and waits for the first chunk of the answer. A chat is prepared first, where the
   * provider wants that; an account that refuses or cannot be reached is followed by the next.
   *
   * @throws {RouterError} What the provider's refusal or failure means; the signal's reason when it
   * was aborted.
   */
  async open({ account, ...options }: OpenOptions): Promise<Upstream> {
    const only = account === undefined ? undefined : this.#named(account);
    const get = isChat(options.body) ? this.#module.prepare(options.body) : undefined;
    const sent = get ? { ...options, prepared: await this.#prepare(options, get) } : options;
    return await askAccounts(this.#connections, this.#slots, sent, only);
  }

  /** Gets what a chat needs, for no more of them than can have their turn. */
  async #prepare(
    { body: { model }, parallel, signal }: OpenOptions,
    get: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<unknown> {
    const circuitOpen = this.refusal(model);
    if (circuitOpen !== undefined) throw circuitOpen;
    const leave = this.#slots.expect({ model, parallel });
    try {
      return await get(signal);
    } finally {
      leave();
    }
  }

  /**
   * Calls a path of the vendor's, signed in.
   *
   * @param account The account's name; without it, one after the other.
   * @returns The answer, whatever its status, the account's name, and what strikes its secrets out
   * of the vendor's words.
   * @throws {RouterError} `upstream_rejected` where the account is no more; `upstream_unavailable`
   * when nobody answers.
   */
  async send(
    path: string,
    init: RequestInit & { signal: AbortSignal },
    account?: string,
  ): Promise<{ response: Response; account: string; redact: (text: string) => string }> {
    const connection = account !== undefined
      ? this.#named(account)
      : this.#connections[this.#turn++ % this.#connections.length]!;
    const response = await connection.send(path, init);
    return { response, account: connection.name, redact: connection.redact };
  }

  #named(account: string): Connection {
    const found = this.#connections.find(({ name }) => name === account);
    if (found !== undefined) return found;
    throw new RouterError(
      "upstream_rejected",
      `Provider "${this.name}" has no account "${account}" any more`,
    );
  }

  /** Lets the provider tidy its accounts up, and closes the HTTP clients. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#connections.map((connection) => connection.close()));
  }
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
