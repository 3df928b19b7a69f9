/**
 * The kernel: leads each exchange through the six moments and settles it once.
 *
 * @module
 */
import type { Catalog } from "./catalog.ts";
import type { ChatBody, ChatReply, WireUsage } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import { Deadline } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import { LiveExchange } from "./exchange.ts";
import type { Log } from "./log.ts";
import type { Attempt, Hooks, Outcome, Route, Usage } from "./plugin.ts";
import { Relay, type RelayEnd } from "./relay.ts";
import { retryWait } from "./retry.ts";
import { Tally } from "./tally.ts";
import { countInput, type Encoding, loadTokenizer } from "./tokens.ts";
import { Upstream } from "./upstream.ts";

/** A plugin after its setup. */
export interface InstalledPlugin {
  /** The plugin's name. */
  readonly name: string;
  /** Its file, for messages. */
  readonly file: string;
  /** What a crash of one of its hooks means. */
  readonly onError: "reject" | "skip";
  /** Its hooks. */
  readonly hooks: Hooks;
}

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
}

type Hook<Name extends keyof Hooks> = {
  readonly plugin: InstalledPlugin;
  readonly run: NonNullable<Hooks[Name]>;
};

/** The encoding for models of which nobody has said which one they use. */
const defaultEncoding: Encoding = "o200k_base";

/** What is running for one exchange, so that it can be ended from outside. */
interface Flight {
  readonly x: LiveExchange;
  /** The client has gone. */
  gone: boolean;
  /** What the running step does when the client goes. */
  onGone?: () => void;
  /** Ends the running step, for a reason that lies outside. */
  onStop?: (reason: RouterError) => void;
  /** Its answer has begun: the relay settles it. */
  relayed: boolean;
  finished: boolean;
}

/** Leads exchanges through the plugins. */
export class Kernel {
  readonly #o: KernelOptions;
  readonly #onRequest: Hook<"onRequest">[];
  readonly #onRoute: Hook<"onRoute">[];
  readonly #onAttempt: Hook<"onAttempt">[];
  readonly #onChunk: Hook<"onChunk">[];
  readonly #onFinish: Hook<"onFinish">[];
  readonly #flights = new Set<Flight>();
  readonly #finishing = new Set<Promise<void>>();
  #idle: (() => void) | undefined;
  #stopped: RouterError | undefined;

  /** @param options The pipeline and its surroundings. */
  constructor(options: KernelOptions) {
    this.#o = options;
    const hooks = <Name extends keyof Hooks>(name: Name) =>
      options.plugins.flatMap((plugin) => {
        const run = plugin.hooks[name];
        return run === undefined ? [] : [{ plugin, run: run.bind(plugin.hooks) as typeof run }];
      });
    this.#onRequest = hooks("onRequest");
    this.#onRoute = hooks("onRoute");
    this.#onAttempt = hooks("onAttempt");
    this.#onChunk = hooks("onChunk");
    this.#onFinish = hooks("onFinish");
  }

  /** How many exchanges are under way. */
  get running(): number {
    return this.#flights.size;
  }

  /**
   * Answers one chat request. Never rejects: what goes wrong is an answer with an error body.
   *
   * @param request The client's request.
   * @param source Its body, or why there is none.
   */
  async handle(request: Request, source: Uint8Array | RouterError): Promise<Response> {
    const x = new LiveExchange(request, source, () => this.#clientGone(flight));
    x.replyHeaders["x-request-id"] = x.id;
    const flight: Flight = { x, gone: false, relayed: false, finished: false };
    this.#flights.add(flight);
    try {
      return await this.#answer(flight);
    } catch (thrown) {
      const error = flight.gone ? clientClosed(thrown) : toRouterError(thrown, "kernel");
      flight.onStop?.(error);
      // An answer that had begun is settled by its relay, with what it used.
      if (!flight.relayed) {
        const failed = x.attempts.length > 0 ? "failed" : "refused";
        const state = error.code === "aborted" ? "aborted" : failed;
        void this.#finish(flight, { state, status: error.status, error });
      }
      return this.#errorResponse(x, error);
    } finally {
      x.answered();
    }
  }

  /**
   * Waits until every exchange is over and recorded.
   *
   * @param limitMs Milliseconds after which what still runs is ended with an error.
   */
  async drain(limitMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
      if (this.#flights.size === 0) resolve();
    });
    const timer = setTimeout(() => {
      const reason = new RouterError(
        "unavailable",
        "XRouter is restarting. Send the request again",
      );
      this.#stopped = reason;
      for (const flight of this.#flights) flight.onStop?.(reason);
    }, limitMs);
    await idle;
    clearTimeout(timer);
    await Promise.all(this.#finishing);
  }

  async #answer(flight: Flight): Promise<Response> {
    const { x } = flight;
    for (const { plugin, run } of this.#onRequest) {
      let reply: ChatReply | void = undefined;
      try {
        const returned = run(x);
        reply = returned instanceof Promise ? await returned : returned;
      } catch (error) {
        this.#failed(plugin, "onRequest", error, x);
      }
      if (reply) {
        const upstream = Upstream.whole(Chunk.fromJson(reply, true), x.body.stream === true);
        return await this.#relay(flight, upstream, new Deadline(Infinity), undefined, undefined);
      }
    }
    // Read here at the latest, so that a wrong body is refused before anybody is asked.
    const { model } = x.body;
    let route: Route | undefined;
    for (const { plugin, run } of this.#onRoute) {
      try {
        route = await run(x) || undefined;
      } catch (error) {
        this.#failed(plugin, "onRoute", error, x);
      }
      if (route) break;
    }
    if (route === undefined || route.targets.length === 0) {
      throw new RouterError("no_route", `No plugin has a route for the model "${model}"`, {
        param: "model",
      });
    }
    const { upstream, deadline, attempt } = await this.#attempt(flight, route);
    return await this.#relay(flight, upstream, deadline, attempt, route);
  }

  /** Asks the targets in turn until one begins to answer. */
  async #attempt(
    flight: Flight,
    route: Route,
  ): Promise<{ upstream: Upstream; deadline: Deadline; attempt: Attempt }> {
    const { x } = flight;
    const end = x.startedTick + route.timeouts.total;
    let failure: RouterError | undefined;
    for (const target of route.targets) {
      const transport = this.#o.catalog.providers.get(target.provider);
      if (transport === undefined) {
        throw new RouterError(
          "internal",
          `A route names the provider "${target.provider}", which does not exist`,
        );
      }
      for (let tries = 0; tries <= route.retries && x.attempts.length < route.attempts; tries++) {
        if (tries > 0 && !await this.#pause(flight, failure!, tries, end)) break;
        this.#checkWanted(flight);
        const attempt: Attempt = {
          number: x.attempts.length + 1,
          target,
          body: bodyFor(x.body, target.model),
          headers: {},
        };
        x.attempts.push(attempt);
        const deadline = new Deadline(end);
        flight.onStop = (reason) => deadline.abort(reason);
        flight.onGone = () => {
          if (transport.onAbort === "cancel") deadline.abort(clientClosed());
          else deadline.limit(this.#o.drainMs);
        };
        try {
          for (const { plugin, run } of this.#onAttempt) {
            try {
              await run(x, attempt);
            } catch (error) {
              this.#failed(plugin, "onAttempt", error, x);
            }
          }
          this.#checkWanted(flight);
          deadline.expect(route.timeouts.firstByte, "the first byte");
          const upstream = await transport.open({
            body: attempt.body,
            headers: attempt.headers,
            signal: deadline.signal,
          });
          return { upstream, deadline, attempt };
        } catch (thrown) {
          deadline.stop();
          failure = toRouterError(thrown, `provider "${target.provider}"`);
          this.#attemptFailed(x, attempt, failure);
          if (flight.gone || this.#stopped || performance.now() >= end) throw failure;
          if (!failure.retry) break;
        }
      }
      if (failure !== undefined && !failure.fallback) throw failure;
    }
    throw failure ?? new RouterError("internal", "A route allows no attempt");
  }

  /** @throws {RouterError} when nobody waits for another call to a provider. */
  #checkWanted(flight: Flight): void {
    if (flight.gone) throw clientClosed();
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  #attemptFailed(x: LiveExchange, attempt: Attempt, error: RouterError): void {
    attempt.error = error;
    // A client that leaves is no fault of the provider's.
    if (error.code === "aborted") return;
    this.#o.log.warn("attempt failed", {
      requestId: x.id,
      attempt: attempt.number,
      provider: attempt.target.provider,
      model: attempt.target.model,
      code: error.code,
      error: error.message,
      detail: error.detail,
    });
  }

  /** Waits before the same target is asked again. @returns Whether it should be. */
  async #pause(flight: Flight, failure: RouterError, tries: number, end: number): Promise<boolean> {
    const wait = retryWait(tries, failure.retryAfterMs);
    if (wait === undefined || performance.now() + wait >= end) return false;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(wake, wait);
      flight.onGone = wake;
      flight.onStop = wake;
    });
    return true;
  }

  /** Hands the answer to the client, and settles when it is over. */
  async #relay(
    flight: Flight,
    upstream: Upstream,
    deadline: Deadline,
    attempt: Attempt | undefined,
    route: Route | undefined,
  ): Promise<Response> {
    const { x } = flight;
    flight.onStop = (reason) => deadline.abort(reason);
    const streamed = x.body.stream === true;
    // Now: what a plugin set may be no header, and nothing has begun yet.
    checkHeaders(x.replyHeaders);
    const headers = {
      ...x.replyHeaders,
      ...this.#attemptHeaders(x),
      ...(streamed ? streamHeaders : wholeHeaders),
    };
    const encoding = attempt?.target.facts.encoding ?? defaultEncoding;
    const tally = new Tally(encoding);
    const firstChunkMs = performance.now() - x.startedTick;
    const usage = () => tally.usage(() => inputTokens(x, encoding));
    const relay = new Relay({
      upstream,
      tally,
      deadline,
      onChunk: this.#onChunk.length === 0 ? undefined : (chunk) => this.#showChunk(x, chunk),
      usageWanted: x.body.stream_options?.include_usage === true,
      usage: async () => toWire(tally.reported, await usage()),
      onAbort: attempt === undefined
        ? "drain"
        : this.#o.catalog.providers.get(attempt.target.provider)!.onAbort,
      idleMs: route?.timeouts.idle ?? Infinity,
      drainMs: this.#o.drainMs,
      keepAliveMs: this.#o.keepAliveMs,
      settle: (end) => {
        if (attempt !== undefined && end.error !== undefined) {
          this.#attemptFailed(x, attempt, end.error);
        }
        const unsent = end.state === "aborted" && (unseen || !streamed);
        const status = unsent ? 499 : streamed ? 200 : end.error?.status ?? 200;
        void this.#settle(flight, end, status, tally, usage, firstChunkMs);
      },
    });
    flight.relayed = true;
    flight.onGone = () => relay.clientGone();
    // The client may have left while the first chunk was awaited.
    const unseen = flight.gone;
    if (unseen) relay.clientGone();
    return new Response(streamed ? relay.stream() : await relay.whole(), { headers });
  }

  /** An answer that is an error. 499 is a mark for records: no client is left to read it. */
  #errorResponse(x: LiveExchange, error: RouterError): Response {
    const body = JSON.stringify(error.body());
    const status = error.code === "aborted" ? 503 : error.status;
    const own = { "x-request-id": x.id, "content-type": "application/json" };
    try {
      const headers = {
        ...x.replyHeaders,
        ...this.#attemptHeaders(x),
        ...error.answerHeaders(),
        ...own,
      };
      return new Response(body, { status, headers });
    } catch {
      // What a plugin set is no header; the error itself still has to arrive.
      return new Response(body, { status, headers: own });
    }
  }

  #attemptHeaders(x: LiveExchange): Record<string, string> {
    const last = x.attempts.at(-1);
    return last === undefined ? {} : {
      "x-xrouter-provider": last.target.provider,
      "x-xrouter-attempts": String(x.attempts.length),
    };
  }

  async #settle(
    flight: Flight,
    { state, error }: RelayEnd,
    status: number,
    tally: Tally,
    usage: () => Usage | Promise<Usage>,
    firstChunkMs: number,
  ): Promise<void> {
    const { model } = tally;
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
    await this.#finish(flight, {
      state,
      status,
      ...(error !== undefined && { error }),
      ...(model !== undefined && { servedModel: model }),
      ...(used !== undefined && { usage: used }),
      firstChunkMs,
    });
  }

  /** Tells every plugin how it ended: the one place where `onFinish` is called. */
  async #finish(flight: Flight, end: Omit<Outcome, "durationMs" | "target">): Promise<void> {
    if (flight.finished) return;
    flight.finished = true;
    const { x } = flight;
    if (end.error?.code === "internal") {
      this.#o.log.error(end.error.message, { requestId: x.id });
    }
    const target = x.attempts.at(-1)?.target;
    const outcome: Outcome = {
      ...end,
      ...(target !== undefined && { target }),
      durationMs: performance.now() - x.startedTick,
    };
    this.#logAccess(x, outcome);
    const recorded: Promise<void>[] = [];
    for (const { plugin, run } of this.#onFinish) {
      try {
        const result = run(x, outcome);
        if (result) {
          recorded.push(result.catch((error) => this.#crashed(plugin, "onFinish", error, x)));
        }
      } catch (error) {
        this.#crashed(plugin, "onFinish", error, x);
      }
    }
    if (recorded.length > 0) {
      const all = Promise.all(recorded).then(() => {});
      this.#finishing.add(all);
      await all;
      this.#finishing.delete(all);
    }
    this.#flights.delete(flight);
    if (this.#flights.size === 0) this.#idle?.();
  }

  /** The access log's line: who asked what of whom, and how it went. No body and no secret. */
  #logAccess(x: LiveExchange, outcome: Outcome): void {
    const body = x.parsedBody;
    this.#o.log.info("access", {
      requestId: x.id,
      method: "POST",
      path: "/v1/chat/completions",
      status: outcome.status,
      state: outcome.state,
      durationMs: Math.round(outcome.durationMs),
      key: x.state.caller?.id,
      model: body?.model,
      stream: body?.stream === true,
      provider: outcome.target?.provider,
      attempts: x.attempts.length,
      error: outcome.error?.code,
    });
  }

  #clientGone(flight: Flight): void {
    if (flight.finished) return;
    flight.gone = true;
    flight.onGone?.();
  }

  /** A hook threw: a refusal and a crash that matters end the exchange, another crash is logged. */
  #failed(plugin: InstalledPlugin, hook: string, error: unknown, x: LiveExchange): void {
    if (error instanceof RouterError || plugin.onError === "reject") {
      throw toRouterError(error, `plugin "${plugin.name}" (${plugin.file}) ${hook}`);
    }
    this.#crashed(plugin, hook, error, x);
  }

  #showChunk(x: LiveExchange, chunk: Chunk): boolean {
    for (const { plugin, run } of this.#onChunk) {
      try {
        if (run(x, chunk) === false) return false;
      } catch (error) {
        this.#failed(plugin, "onChunk", error, x);
      }
    }
    return true;
  }

  #crashed(plugin: InstalledPlugin, hook: string, error: unknown, x?: LiveExchange): void {
    this.#o.log.error(`plugin "${plugin.name}" crashed in ${hook}`, {
      file: plugin.file,
      requestId: x?.id,
      error: error instanceof Error ? error.stack ?? error.message : String(error),
    });
  }
}

const wholeHeaders = { "content-type": "application/json" };

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Says to nginx: pass on each event as it comes.
  "x-accel-buffering": "no",
};

/** @throws {RouterError} `internal` for what cannot be sent as a header (RFC 9110 §5). */
function checkHeaders(headers: Readonly<Record<string, string>>): void {
  for (const name in headers) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(headers[name]!)) {
      throw new RouterError(
        "internal",
        `A plugin set the header "${name}" to what no header can be`,
      );
    }
  }
}

function clientClosed(cause?: unknown): RouterError {
  return new RouterError("aborted", "The client closed the connection", { cause });
}

/** The body of one try: the vendor's model id, no list of models, and in a stream its usage. */
function bodyFor(body: ChatBody, model: string): ChatBody {
  const { models: _models, ...rest } = body;
  return body.stream === true
    ? { ...rest, model, stream_options: { ...body.stream_options, include_usage: true } }
    : { ...rest, model };
}

async function inputTokens(x: LiveExchange, encoding: Encoding): Promise<number> {
  return x.state.inputTokens ?? countInput(x.body, await loadTokenizer(encoding));
}

/** Usage in OpenAI's shape: the provider's own where there is one. */
function toWire(reported: WireUsage | undefined, usage: Usage): WireUsage {
  return reported ?? {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cached },
  };
}
