/**
 * Calls the plugins' hooks: one array for each hook, built at boot, so that a plugin that lacks a hook
 * costs nothing there.
 *
 * @module
 */
import type { ChatReply } from "./chat.ts";
import type { Chunk } from "./chunk.ts";
import { RouterError, stackOf, toRouterError } from "./errors.ts";
import type { LiveExchange } from "./exchange.ts";
import {
  asEstimate,
  asReply,
  asRoute,
  isPromise,
  whatIsUnsendable,
  wrongReturn,
} from "./hook_returns.ts";
import type { Log } from "./log.ts";
import type { Attempt, Estimate, Hooks, Outcome, Route, State } from "./plugin.ts";

/** A plugin after its setup. */
export interface InstalledPlugin {
  /** The plugin's name. */
  readonly name: string;
  /** Its file, for messages. */
  readonly file: string;
  /** What a crash of one of its hooks means. */
  readonly onError: "reject" | "skip";
  /** What it writes into the exchange's state. */
  readonly provides?: readonly (keyof State)[];
  /** Its hooks. */
  readonly hooks: Hooks;
}

type Hook<Name extends keyof Hooks> = {
  readonly plugin: InstalledPlugin;
  readonly run: NonNullable<Hooks[Name]>;
};

/**
 * Waits for what a hook promises, as long as its exchange may take.
 *
 * @param what What is waited for, for the message.
 * @throws {RouterError} why the exchange has to end first; whatever the hook rejects with.
 */
export type Wait = <T>(work: PromiseLike<T>, what: string) => Promise<T>;

/** Calls hooks in the order of the pipeline, and knows what the failure of each means. */
export class HookRunner {
  readonly #log: Log;
  readonly #onRequest: Hook<"onRequest">[];
  /** How many of them it takes to know the caller; before that the body is not read. */
  readonly #strangers: number;
  readonly #onRoute: Hook<"onRoute">[];
  readonly #onAttempt: Hook<"onAttempt">[];
  readonly #onChunk: Hook<"onChunk">[];
  readonly #onFinish: Hook<"onFinish">[];
  readonly #estimate: Hook<"estimate">[];

  /**
   * @param plugins The pipeline, in order.
   * @param log Takes the crashes.
   */
  constructor(plugins: readonly InstalledPlugin[], log: Log) {
    this.#log = log;
    const hooks = <Name extends keyof Hooks>(name: Name) =>
      plugins.flatMap((plugin) => {
        const run = plugin.hooks[name];
        return run === undefined ? [] : [{ plugin, run: run.bind(plugin.hooks) as typeof run }];
      });
    this.#onRequest = hooks("onRequest");
    this.#strangers = 1 +
      this.#onRequest.findIndex(({ plugin }) => plugin.provides?.includes("caller"));
    this.#onRoute = hooks("onRoute");
    this.#onAttempt = hooks("onAttempt");
    this.#onChunk = hooks("onChunk");
    this.#onFinish = hooks("onFinish");
    this.#estimate = hooks("estimate");
  }

  /** Whether anybody looks at chunks. */
  get seesChunks(): boolean {
    return this.#onChunk.length > 0;
  }

  /**
   * `onRequest`, until one answers. The body is read once the caller is known, and at the end at the
   * latest: strangers may not fill the memory.
   *
   * @throws {RouterError} when one refuses, or takes too long.
   */
  async request(x: LiveExchange, wait: Wait): Promise<ChatReply | undefined> {
    let place = 0;
    for (const { plugin, run } of this.#onRequest) {
      if (place++ === this.#strangers) await x.readBody();
      try {
        const returned = run(x);
        const reply = isPromise(returned)
          ? await wait(returned, `plugin "${plugin.name}" onRequest`)
          : returned;
        if (reply) {
          await x.readBody();
          return asReply(reply, x.path);
        }
      } catch (error) {
        this.#failed(plugin, "onRequest", error, x);
      }
    }
    await x.readBody();
    return undefined;
  }

  /**
   * `onRoute`, until one names a route.
   *
   * @throws {RouterError} when one refuses, or takes too long.
   */
  async route(x: LiveExchange, wait: Wait = unlimited): Promise<Route | undefined> {
    for (const { plugin, run } of this.#onRoute) {
      try {
        const returned = run(x);
        const route = isPromise(returned)
          ? await wait(returned, `plugin "${plugin.name}" onRoute`)
          : returned;
        if (route) return asRoute(route);
      } catch (error) {
        this.#failed(plugin, "onRoute", error, x);
      }
    }
    return undefined;
  }

  /**
   * `onAttempt`.
   *
   * @param signal Once it fires the try is over, and no further hook begins: what it did would come
   * after `onFinish`.
   * @throws {RouterError} when one refuses; the signal's reason.
   */
  async attempt(x: LiveExchange, attempt: Attempt, signal: AbortSignal): Promise<void> {
    for (const { plugin, run } of this.#onAttempt) {
      signal.throwIfAborted();
      const before = { ...attempt.body };
      try {
        await run(x, attempt);
      } catch (error) {
        this.#failed(plugin, "onAttempt", error, x);
      }
      const wrong = whatIsUnsendable(attempt, before);
      // To skip the plugin would not take back what it did.
      if (wrong !== undefined) {
        throw new RouterError("internal", `${placeOf(plugin, "onAttempt")}: ${wrong}`);
      }
    }
  }

  /** `estimate`, of the first plugin that has one. @throws {RouterError} when it crashes. */
  async estimate(x: LiveExchange, attempt: Attempt): Promise<Estimate | undefined> {
    for (const { plugin, run } of this.#estimate) {
      try {
        const estimate = await run(x, attempt);
        return estimate ? asEstimate(estimate) : undefined;
      } catch (error) {
        this.#failed(plugin, "estimate", error, x);
      }
    }
    return undefined;
  }

  /** `onChunk`. @returns Whether the chunk is to leave. @throws {RouterError} when one refuses. */
  chunk(x: LiveExchange, chunk: Chunk): boolean {
    for (const { plugin, run } of this.#onChunk) {
      try {
        const returned = run(x, chunk);
        if (returned === false) return false;
        if (isPromise(returned)) throw wrongReturn("false or nothing, without waiting", returned);
      } catch (error) {
        this.#failed(plugin, "onChunk", error, x);
      }
    }
    return true;
  }

  /** `onFinish` of every plugin, whatever the others do. @returns What is still being recorded. */
  finish(x: LiveExchange, outcome: Outcome): Promise<unknown> | undefined {
    const recorded: Promise<void>[] = [];
    for (const { plugin, run } of this.#onFinish) {
      try {
        const result = run(x, outcome);
        if (isPromise(result)) {
          const crashed = (error: unknown) => this.#crashed(plugin, "onFinish", error, x);
          recorded.push(Promise.resolve(result).catch(crashed));
        }
      } catch (error) {
        this.#crashed(plugin, "onFinish", error, x);
      }
    }
    return recorded.length === 0 ? undefined : Promise.all(recorded);
  }

  /** A hook threw: a refusal and a crash that matters end the exchange, another crash is logged. */
  #failed(plugin: InstalledPlugin, hook: string, error: unknown, x: LiveExchange): void {
    if (error instanceof RouterError || plugin.onError === "reject") {
      throw toRouterError(error, placeOf(plugin, hook));
    }
    this.#crashed(plugin, hook, error, x);
  }

  #crashed(plugin: InstalledPlugin, hook: string, error: unknown, x: LiveExchange): void {
    this.#log.error(`plugin "${plugin.name}" crashed in ${hook}`, {
      file: plugin.file,
      requestId: x.id,
      error: stackOf(error),
    });
  }
}

const unlimited: Wait = async (work) => await work;

function placeOf({ name, file }: InstalledPlugin, hook: string): string {
  return `plugin "${name}" (${file}) ${hook}`;
}
