/**
 * The kernel: leads each exchange through the six moments and settles it once.
 *
 * @module
 */
import { logAccess } from "./access_log.ts";
import { askTargets, attemptEnded, attemptFailed, type BegunAnswer } from "./attempts.ts";
import { isChat, type Path } from "./body.ts";
import type { Catalog } from "./catalog.ts";
import type { UnsupportedPolicy } from "./changes.ts";
import { priceIn, withCost } from "./ledger/charge.ts";
import { Chunk } from "./chunk.ts";
import { Deadline } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import { clientClosed, Flight } from "./flight.ts";
import { waitingFrame } from "./frames.ts";
import { HookRunner, type InstalledPlugin } from "./hooks.ts";
import { defaultEncoding, inputOnly, inputTokens } from "./input_tokens.ts";
import type { Log } from "./log.ts";
import type { Outcome, Route, Usage } from "./plugin.ts";
import { costOf } from "./prices/price.ts";
import { Relay } from "./relay.ts";
import { checkReplyHeaders, errorResponse, streamResponse, wholeResponse } from "./response.ts";
import { Tally } from "./tally.ts";
import { Upstream } from "./upstream.ts";
import { toWire } from "./usage_report.ts";
import { waitingStream } from "./waiting_stream.ts";

/** Times and places that the kernel works with. */
export interface KernelOptions {
  /** The pipeline, in order. */
  plugins: readonly InstalledPlugin[];
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

/** Milliseconds in a provider's queue after which a stream gets its head and its place. */
const queuedMs = 1_000;

/** Milliseconds that hooks get at a stop to heed that their exchange was ended. */
const graceMs = 2_000;

/** How an exchange ended, as far as its steps know. */
type Ending = Omit<Outcome, "durationMs" | "target" | "cost">;

/** Leads exchanges through the plugins. */
export class Kernel {
  readonly #o: KernelOptions;
  readonly #hooks: HookRunner;
  readonly #flights = new Set<Flight>();
  #idle: (() => void) | undefined;

  /** @param options The pipeline and its surroundings. */
  constructor(options: KernelOptions) {
    this.#o = options;
    this.#hooks = new HookRunner(options.plugins, options.log);
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
   * @param source Its body, or why there is none.
   */
  async handle(
    request: Request,
    path: Path,
    source: Uint8Array | RouterError,
  ): Promise<Response> {
    const flight = new Flight(request, path, source);
    const { x } = flight;
    x.replyHeaders["x-request-id"] = x.id;
    this.#flights.add(flight);
    try {
      return await this.#answer(flight);
    } catch (thrown) {
      return errorResponse(x, this.#giveUp(flight, thrown));
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
        for (const flight of this.#flights) flight.stop(reason);
      }, limitMs);
      const giveUp = setTimeout(() => {
        for (const flight of this.#flights) this.#abandon(flight, reason);
        resolve();
      }, limitMs + graceMs);
      this.#idle = () => {
        clearTimeout(stop);
        clearTimeout(giveUp);
        resolve();
      };
    });
  }

  /** Records an exchange that nothing can end: one of its hooks, or its provider, hangs. */
  #abandon(flight: Flight, error: RouterError): void {
    this.#o.log.error("an exchange hangs in a plugin or a provider and is given up", {
      requestId: flight.x.id,
      provider: flight.x.attempts.at(-1)?.target.provider,
    });
    const state = flight.x.attempts.length > 0 ? "failed" : "refused";
    void this.#finish(flight, { state, status: error.status, error });
  }

  async #answer(flight: Flight): Promise<Response> {
    const { x } = flight;
    const reply = await this.#hooks.request(x);
    // Read here at the latest, so that a wrong body is refused before anybody is asked.
    const { model, stream } = x.body;
    if (reply !== undefined) {
      flight.checkWanted();
      const upstream = Upstream.whole(Chunk.fromJson(reply, true), stream === true);
      return await this.#relay(flight, { upstream, deadline: new Deadline(Infinity) });
    }
    const route = await this.#hooks.route(x);
    if (route === undefined || route.targets.length === 0) {
      throw new RouterError("no_route", `No plugin has a route for the model "${model}"`, {
        param: "model",
      });
    }
    const asked = askTargets(flight, route, { ...this.#o, hooks: this.#hooks })
      .then((answer) => this.#relay(flight, answer, route));
    return stream === true ? await this.#orWait(flight, asked) : await asked;
  }

  /**
   * The answer, or after some silence a stream that waits for it with comments. From then on the
   * status has gone out: what fails is an error frame, but other targets are still asked.
   */
  async #orWait(flight: Flight, asked: Promise<Response>): Promise<Response> {
    const { keepAliveMs } = this.#o;
    const { promise: silence, resolve } = Promise.withResolvers<void>();
    let timer = setTimeout(resolve, keepAliveMs);
    // A client that leaves is noticed for certain only once its stream has begun.
    flight.x.onWait = () => {
      clearTimeout(timer);
      timer = setTimeout(resolve, Math.min(queuedMs, keepAliveMs));
    };
    const response = await Promise.race([asked, silence]).finally(() => {
      clearTimeout(timer);
      flight.x.onWait = undefined;
    });
    if (response) return response;
    checkReplyHeaders(flight.x);
    const stream = waitingStream({
      answer: asked.then(({ body }) => body!),
      comment: () => waitingFrame(flight.x.waiting),
      keepAliveMs,
      onGone: () => flight.leave(),
      onFailure: (reason) => this.#giveUp(flight, reason, 200),
    });
    return streamResponse(flight.x, stream, false);
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
      // What the provider has read, it may want to be paid for.
      if (flight.cutOff) void this.#settle(flight, end, () => inputOnly(flight.x));
      else void this.#finish(flight, end);
    }
    return error;
  }

  /** Hands the answer to the client, and settles when it is over. */
  async #relay(
    flight: Flight,
    { upstream, deadline, attempt }: Omit<BegunAnswer, "attempt"> & Partial<BegunAnswer>,
    route?: Route,
  ): Promise<Response> {
    const { x } = flight;
    const { catalog, drainMs, keepAliveMs, log, currency } = this.#o;
    flight.onStop = (reason) => deadline.abort(reason);
    const streamed = x.body.stream === true;
    // Now, while nothing has begun.
    checkReplyHeaders(x);
    const target = attempt?.target;
    const encoding = target?.facts.encoding ?? defaultEncoding;
    // What a plugin answers by itself costs nothing.
    const price = target === undefined
      ? { currency, input: 0, output: 0 }
      : priceIn(currency, target);
    const tally = new Tally(encoding);
    x.produced = () => tally.soFar();
    const firstChunkMs = performance.now() - x.startedTick;
    const usage = () => tally.usage(() => inputTokens(x, encoding));
    const relay = new Relay({
      upstream,
      tally,
      deadline,
      onChunk: this.#hooks.seesChunks && isChat(x.body)
        ? (chunk) => this.#hooks.chunk(x, chunk)
        : undefined,
      usageWanted: x.body.stream_options?.include_usage === true,
      usage: async () => withCost(tally.reported ?? toWire(await usage(), isChat(x.body)), price),
      priced: (reported) => withCost(reported, price),
      onAbort: target === undefined ? "drain" : catalog.providers.get(target.provider)!.onAbort,
      idleMs: route?.timeouts.idle ?? Infinity,
      drainMs,
      keepAliveMs,
      settle: (end) => {
        if (attempt !== undefined) {
          if (end.error === undefined) attemptEnded(attempt);
          else attemptFailed(x, attempt, end.error, log);
        }
        const unsent = end.state === "aborted" && (unseen || !streamed);
        const status = unsent ? 499 : streamed ? 200 : end.error?.status ?? 200;
        const { model } = tally;
        const served = model !== undefined && { servedModel: model };
        void this.#settle(flight, { ...end, ...served, status, firstChunkMs }, usage);
      },
    });
    flight.relayed = true;
    flight.onGone = () => relay.clientGone();
    // The client may have left while the first chunk was awaited.
    const unseen = flight.gone;
    if (unseen) relay.clientGone();
    return streamed
      ? streamResponse(x, relay.stream(), true)
      : wholeResponse(x, await relay.whole());
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

  /** Tells every plugin how it ended: the one place where `onFinish` is called. */
  async #finish(flight: Flight, end: Ending): Promise<void> {
    if (flight.finished) return;
    flight.finished = true;
    const { x } = flight;
    if (end.error?.code === "internal") {
      this.#o.log.error(end.error.message, { requestId: x.id });
    }
    const target = x.attempts.at(-1)?.target;
    const price = priceIn(this.#o.currency, target);
    const outcome: Outcome = {
      ...end,
      ...(target !== undefined && { target }),
      ...(end.usage !== undefined && price !== undefined && { cost: costOf(end.usage, price) }),
      durationMs: performance.now() - x.startedTick,
    };
    logAccess(this.#o.log, x, outcome);
    await this.#hooks.finish(x, outcome);
    this.#flights.delete(flight);
    if (this.#flights.size === 0) this.#idle?.();
  }
}
