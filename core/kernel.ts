/**
 * The kernel: leads each exchange through the six moments and settles it once.
 *
 * @module
 */
import { logAccess } from "./access_log.ts";
import { Answer } from "./answer.ts";
import { Attempts } from "./attempts.ts";
import { type Path, pathOf } from "./body.ts";
import type { Catalog } from "./catalog.ts";
import type { UnsupportedPolicy } from "./changes.ts";
import { Chunk } from "./chunk.ts";
import { RouterError, stackOf, toRouterError } from "./errors.ts";
import { Departures } from "./departures.ts";
import { withEarlyHead } from "./early_head.ts";
import { LiveExchange, type ReadBody } from "./exchange.ts";
import { clientClosed, Flight } from "./flight.ts";
import { type Ending, handOver, type HandOverOptions, handOverOwn } from "./hand_over.ts";
import { explainRoute } from "./routing/explain.ts";
import type { ApiKey } from "./store/keys.ts";
import { Generation } from "./generation.ts";
import type { InstalledPlugin, Wait } from "./hooks.ts";
import type { Log } from "./log.ts";
import { outcomeOf } from "./outcome.ts";
import { ownAnswer } from "./own_answer.ts";
import type { Usage } from "./plugin.ts";
import { RetryBudget } from "./retry_budget.ts";
import { errorResponse } from "./response.ts";
import { Roster } from "./roster.ts";

/** Times and places that the kernel works with. */
export interface KernelOptions {
  /** The pipeline, in order. */
  plugins: readonly InstalledPlugin[];
  /** Milliseconds of an exchange until it has a route. */
  time: number;
  /** The providers. */
  catalog: Catalog;
  /** Takes what goes wrong inside. */
  log: Log;
  /** Milliseconds for which an answer is read on after its client has gone. */
  drainMs: number;
  /** Milliseconds of silence after which a stream gets a comment. */
  keepAliveMs: number;
  /** ISO 4217 code of the accounts. */
  currency: string;
  /** What to do with fields that a vendor cannot keep. */
  unsupported: UnsupportedPolicy;
}

/** Milliseconds that hooks get at a stop to heed that their exchange was ended. */
const graceMs = 2_000;

/** Leads exchanges through the plugins. */
export class Kernel {
  readonly #o: KernelOptions;
  #generation: Generation;
  readonly #flights = new Roster<Flight>();
  readonly #budget = new RetryBudget();
  readonly #departures = new Departures();
  readonly #handOver: HandOverOptions;
  #idle: (() => void) | undefined;

  /** @param options The pipeline and its surroundings. */
  constructor(options: KernelOptions) {
    this.#o = options;
    const { plugins, time, catalog, log } = options;
    this.#generation = new Generation(plugins, time, catalog, log);
    this.#handOver = {
      ...options,
      settle: (flight, end, usage) => void this.#settle(flight, end, usage),
    };
  }

  /**
   * From now on exchanges begin with these plugins, and with the providers that are there now.
   *
   * @param time Milliseconds of an exchange until it has a route.
   * @returns When those that began before are over.
   */
  async use(plugins: readonly InstalledPlugin[], time: number): Promise<void> {
    this.#generation = new Generation(plugins, time, this.#o.catalog, this.#o.log);
    const before = this.#flights.list();
    await Promise.all(before.map((each) => (each.over ??= Promise.withResolvers()).promise));
  }

  /** How many exchanges are under way. */
  get running(): number {
    return this.#flights.size;
  }

  /**
   * Answers one request of a chat or for embeddings. Never rejects: what goes wrong is an answer
   * with an error body.
   *
   * @param request The client's request.
   * @param path What is asked for.
   * @param read Reads its body; asked for once the caller is known.
   * @param from Tells the client's end of the connection.
   */
  async handle(
    request: Request,
    path: Path,
    read: ReadBody,
    from: () => Deno.Addr | undefined = () => undefined,
  ): Promise<Response> {
    const flight = new Flight(request, path, read, this.#generation);
    const { x } = flight;
    x.replyHeaders["x-request-id"] = x.id;
    let forget: (() => void) | undefined;
    const watch = () => {
      forget = this.#departures.watch(x, from);
    };
    x.onSlow = watch;
    this.#flights.add(flight);
    try {
      return await this.#answer(flight);
    } catch (thrown) {
      return this.#failed(flight, thrown);
    } finally {
      x.answered();
      forget?.();
    }
  }

  /**
   * Says where a request would go, and why, without asking anybody.
   *
   * @param source Its body, of a chat or for embeddings.
   * @param caller The key that asks.
   * @throws {RouterError} as the request itself would be refused before anybody is asked.
   */
  async explain(
    request: Request,
    source: Uint8Array | RouterError,
    caller: ApiKey | undefined,
  ): Promise<Record<string, unknown>> {
    const path = source instanceof Uint8Array ? pathOf(source) : "/v1/chat/completions";
    const x = new LiveExchange(request, path, () => Promise.resolve(source), () => {});
    x.dryRun = true;
    if (caller !== undefined) x.state.caller = caller;
    try {
      await x.readBody();
      return await explainRoute(x, { ...this.#o, hooks: this.#generation.hooks });
    } finally {
      x.answered();
    }
  }

  /**
   * Waits until every exchange is over and recorded.
   *
   * @param limitMs Milliseconds after which what still runs is ended with an error. A plugin that
   * hangs even then is waited for two seconds more, and named in the log.
   */
  async drain(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#flights.size === 0) return resolve();
      const text = "XRouter is restarting. Send the request again";
      const reason = new RouterError("unavailable", text, { retryAfterMs: 1000 });
      const stop = setTimeout(() => {
        this.#flights.forEach((flight) => flight.stop(reason));
      }, limitMs);
      const giveUp = setTimeout(() => {
        this.#flights.forEach((flight) => this.#abandon(flight, reason));
        resolve();
      }, limitMs + graceMs);
      const idle = () => {
        clearTimeout(stop);
        clearTimeout(giveUp);
        resolve();
      };
      this.#idle = idle;
    });
    await this.#departures.idle();
  }

  /** Records an exchange that nothing can end: one of its hooks, or its provider, hangs. */
  #abandon(flight: Flight, error: RouterError): void {
    this.#o.log.error("an exchange hangs in a plugin or a provider and is given up", {
      requestId: flight.x.id,
      provider: flight.x.attempts.at(-1)?.target.provider,
    });
    // What hangs is its end: there is nothing left to wait for.
    if (flight.finished) {
      this.#flights.delete(flight);
      return;
    }
    const state = flight.x.attempts.length > 0 ? "failed" : "refused";
    void this.#finish(flight, { state, status: error.status, error });
  }

  async #answer(flight: Flight): Promise<Response> {
    const { x, generation: { hooks } } = flight;
    const wait: Wait = (work, what) => flight.wait(work, what);
    const reply = await hooks.request(x, wait);
    // Read here at the latest, so that a wrong body is refused before anybody is asked.
    const { model, stream } = x.body;
    if (reply !== undefined) {
      flight.checkWanted();
      return await handOverOwn(flight, Chunk.fromJson(ownAnswer(reply, x), true), this.#handOver);
    }
    const route = await hooks.route(x, wait);
    if (route === undefined || route.targets.length === 0) {
      throw new RouterError("no_route", `No plugin has a route for the model "${model}"`, {
        param: "model",
      });
    }
    x.route = route;
    const options = { ...this.#o, budget: this.#budget };
    const attempts = new Attempts(flight, route, options);
    const stop = (reason: RouterError) => attempts.stop(reason);
    const leave = () => attempts.leave();
    flight.onStop = stop;
    flight.onGone = leave;
    const continues = route.onBreak === "continue" && stream === true;
    const asked = attempts.begin().then((begun) => {
      const { currency } = this.#o;
      const answer = new Answer(flight, begun, attempts, { currency, continues });
      return handOver(flight, answer, this.#handOver);
    });
    if (stream !== true) return await asked;
    return await withEarlyHead(x, asked, {
      keepAliveMs: this.#o.keepAliveMs,
      onGone: () => flight.leave(),
      onFailure: (reason) => this.#giveUp(flight, reason, 200),
    });
  }

  /** What the client reads of an exchange that failed before its answer began. */
  #failed(flight: Flight, thrown: unknown): Response {
    try {
      return errorResponse(flight.x, this.#giveUp(flight, thrown));
    } catch (unsaid) {
      // A plugin may throw what no JSON can hold.
      return errorResponse(flight.x, this.#giveUp(flight, toRouterError(unsaid, "kernel")));
    }
  }

  /** Ends an exchange that failed before its answer began. @returns What the client reads. */
  #giveUp(flight: Flight, thrown: unknown, status?: number): RouterError {
    const error = flight.gone ? clientClosed(thrown) : toRouterError(thrown, "kernel");
    flight.onStop?.(error);
    // An answer that had begun is settled by its relay, with what it used.
    if (!flight.relayed) {
      const failed = flight.x.attempts.length > 0 ? "failed" : "refused";
      const state = error.code === "aborted" ? "aborted" : failed;
      const end = { state, status: status ?? error.status, error } as const;
      const { usage, unanswered } = flight.x.attempts.at(-1) ?? {};
      void this.#finish(flight, {
        ...end,
        ...(usage !== undefined && { usage }),
        ...(unanswered && { unanswered }),
      });
    }
    return error;
  }

  async #settle(
    flight: Flight,
    end: Ending,
    usage: () => Usage | Promise<Usage>,
  ): Promise<void> {
    let used: Usage | undefined;
    try {
      const counted = usage();
      used = counted instanceof Promise ? await counted : counted;
    } catch (error) {
      this.#o.log.error("usage cannot be counted", {
        requestId: flight.x.id,
        error: String(error),
      });
    }
    await this.#finish(flight, { ...end, ...(used !== undefined && { usage: used }) });
  }

  /** Ends the exchange, whatever becomes of its record. */
  async #finish(flight: Flight, end: Ending): Promise<void> {
    if (flight.finished) return;
    flight.finished = true;
    try {
      await this.#record(flight, end);
    } catch (error) {
      this.#o.log.error("an exchange cannot be recorded", {
        requestId: flight.x.id,
        error: stackOf(error),
      });
    }
    this.#flights.delete(flight);
    flight.over?.resolve();
    if (this.#flights.size === 0) this.#idle?.();
  }

  /** Tells every plugin how it ended: the one place where `onFinish` is called. */
  async #record(flight: Flight, end: Ending): Promise<void> {
    const { x } = flight;
    if (end.error?.code === "internal") {
      const { message, cause } = end.error;
      this.#o.log.error(message, {
        requestId: x.id,
        ...cause !== undefined && { error: stackOf(cause) },
      });
    }
    if (flight.unsettled.length > 0) await Promise.allSettled(flight.unsettled);
    const outcome = outcomeOf(flight, end, this.#o.currency);
    logAccess(this.#o.log, x, outcome);
    await flight.generation.hooks.finish(x, outcome);
  }
}
