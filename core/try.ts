/**
 * One try: what is sent to one target, until its answer begins.
 *
 * @module
 */
import { type Body, isChat } from "./body.ts";
import { CircuitRefusal } from "./breakers.ts";
import type { Catalog } from "./catalog.ts";
import { Changes, type UnsupportedPolicy } from "./changes.ts";
import type { ChatReply } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import { conversationOf } from "./conversation.ts";
import { Deadline, wholeAnswer } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import type { LiveExchange } from "./exchange.ts";
import { clientClosed, type Flight } from "./flight.ts";
import { defaultEncoding } from "./input_tokens.ts";
import type { Log } from "./log.ts";
import type { Attempt, RoutedTarget, Timeouts } from "./plugin.ts";
import { Tally } from "./tally.ts";
import type { Transport } from "./transport.ts";
import type { Upstream } from "./upstream.ts";

/** What tries need. */
export interface TryOptions {
  /** Where the traffic is noted. */
  readonly catalog: Catalog;
  /** Takes the failed tries. */
  readonly log: Log;
  /** Milliseconds for which an answer is awaited after its client has gone. */
  readonly drainMs: number;
  /** What to do with fields that a vendor cannot keep. */
  readonly unsupported: UnsupportedPolicy;
}

/** An answer that has begun: the part of it that one target gives. */
export interface BegunAnswer {
  readonly upstream: Upstream;
  readonly deadline: Deadline;
  readonly attempt: Attempt;
  /** Collects what it produces. */
  readonly tally: Tally;
  /** Milliseconds of silence between two chunks. */
  readonly idleMs: number;
  /** What to do when the client goes away. */
  readonly onAbort: "drain" | "cancel";
  /** Notes that it is over, and why, unless it is complete. */
  readonly over: (error?: RouterError) => void;
}

/** What one try is made of. */
export interface TryPlan {
  readonly target: RoutedTarget;
  /** What is sent, the vendor's model id aside. */
  readonly body: Body;
  /** Input tokens that the body has beside the request's own. */
  readonly prefilled?: number | undefined;
  /** 1 for the first of the exchange. */
  readonly number: number;
  /** When the whole exchange must be over, by `performance.now()`. */
  readonly end: number;
  readonly timeouts: Timeouts;
  /** Nobody else is left to be asked. */
  readonly isLast: boolean;
}

/** A call to one target that has not begun to answer. */
export class Try {
  readonly attempt: Attempt;
  readonly #flight: Flight;
  readonly #plan: TryPlan;
  readonly #options: TryOptions;
  readonly #transport: Transport;
  readonly #deadline: Deadline;
  readonly #tally: Tally;
  #sent = false;
  #answered = false;
  #isOver = false;
  #spent: ChatReply | undefined;
  /** Notes that the vendor has read the request. */
  #noteRead: (() => void) | undefined;
  #leaveTraffic: (() => void) | undefined;

  /** @throws {RouterError} `internal` when there is no such provider. */
  constructor(flight: Flight, plan: TryPlan, options: TryOptions) {
    const { target } = plan;
    const transport = flight.generation.provider(target.provider);
    if (transport === undefined) {
      const reason = `A route names the provider "${target.provider}", which does not exist`;
      throw new RouterError("internal", reason);
    }
    this.#flight = flight;
    this.#plan = plan;
    this.#options = options;
    this.#transport = transport;
    this.#deadline = new Deadline(plan.end);
    const body = bodyFor(plan.body, target.model);
    const { number, prefilled } = plan;
    this.#tally = new Tally(target.facts.encoding ?? defaultEncoding);
    this.attempt = { number, target, body, headers: {}, ...prefilled && { prefilled } };
  }

  /** The vendor was called. */
  get called(): boolean {
    return this.attempt.startedTick !== undefined;
  }

  /** Ends it, for a reason that lies outside. */
  stop(reason: RouterError): void {
    this.#deadline.abort(reason);
  }

  /** The client has gone: ends it, or waits for what it used, as the provider wants it. */
  leave(): void {
    // Nobody calls a vendor for one who has gone.
    if (!this.#sent || this.#transport.onAbort === "cancel") this.stop(clientClosed());
    else this.#deadline.limit(this.#options.drainMs);
  }

  /**
   * Asks, and waits until the answer says something.
   *
   * @throws {RouterError} Why there is no answer. By then it is logged, and `attempt` has what was
   * used.
   */
  async open(): Promise<BegunAnswer> {
    const { attempt } = this;
    const { x } = this.#flight;
    const { timeouts, target } = this.#plan;
    try {
      const upstream = await this.#open();
      attempt.firstChunkMs = sinceCall(attempt);
      if (x.body.stream === true) {
        this.#options.catalog.traffic.note(target, attempt.firstChunkMs);
      }
      return {
        upstream,
        attempt,
        deadline: this.#deadline,
        tally: this.#tally,
        idleMs: timeouts.idle,
        onAbort: this.#transport.onAbort,
        over: (error) => this.#over(error),
      };
    } catch (thrown) {
      this.#deadline.stop();
      const error = toRouterError(thrown, `provider "${target.provider}"`);
      this.#over(error);
      await this.#noteUsage(error);
      throw error;
    }
  }

  async #open(): Promise<Upstream> {
    const flight = this.#flight;
    const { x } = flight;
    const { attempt } = this;
    const { unsupported, catalog, log } = this.#options;
    const { hooks } = flight.generation;
    const { signal } = this.#deadline;
    this.#expectBeginning();
    await this.#deadline.race(hooks.attempt(x, attempt, signal));
    x.produces(attempt, this.#tally);
    flight.checkWanted();
    const { cannotKeep, changed } = new Changes(policyOf(x, unsupported), x.replyHeaders);
    const { body, headers } = attempt;
    const opening = this.#transport.open({
      body,
      headers,
      account: attempt.account,
      parallel: attempt.target.facts.parallel,
      signal,
      clientHeaders: x.headers,
      keyId: x.state.caller?.id,
      cannotKeep,
      changed,
      onWait: (waiting) => {
        x.waiting = waiting;
        x.replyHeaders["x-xrouter-queue"] = String(waiting.place);
        x.onScarce?.();
        this.#deadline.expect(Infinity, "a free call of the provider");
      },
      onCall: (isScarce) => {
        x.waiting = undefined;
        if (isScarce) x.onScarce?.();
        if (!this.called) {
          x.attempts.push(attempt);
          this.#leaveTraffic = catalog.traffic.begin(attempt.target);
        }
        attempt.startedTick = performance.now();
        const { timeouts } = this.#plan;
        this.#deadline.endIn(body.stream === true ? timeouts.total : timeouts.whole);
        this.#expectBeginning();
      },
      onSend: (account) => {
        this.#sent = true;
        this.#noteRead = this.#askCache(account);
      },
      onAnswer: () => this.#answered = true,
      onByte: () => this.#expectToken(),
      onChunk: (chunk) => this.#tally.add(chunk),
      onSpent: (reply) => this.#spent = reply,
      onRefusal: (account, error) => {
        this.#sent = false;
        // No further account is called for one who has gone.
        if (flight.unwanted) this.stop(clientClosed());
        log.warn("an account refused; the call is made again", {
          requestId: x.id,
          provider: attempt.target.provider,
          account,
          code: error.code,
          error: error.message,
          detail: error.detail,
        });
      },
    });
    try {
      const upstream = await this.#deadline.race(opening);
      this.#noteRead?.();
      return upstream;
    } catch (error) {
      // A provider that does not heed the signal may still open what nobody reads.
      opening.then((upstream) => upstream.cancel(), () => {});
      throw error;
    }
  }

  /** Says what an account's cache is taken to hold. @returns Notes what the vendor has read now. */
  #askCache(account: string): (() => void) | undefined {
    const { x } = this.#flight;
    const { attempt } = this;
    const { body } = x;
    const cache = this.#transport.promptCache;
    if (cache === undefined || !isChat(body)) return undefined;
    const asking = { clientHeaders: x.headers, keyId: x.state.caller?.id };
    const conversation = `${account} ${attempt.target.model} ${conversationOf(body, asking)}`;
    const now = performance.now();
    attempt.cached = cache.held(conversation, body, now);
    return () => {
      const note = (tokens: number) => cache.note(conversation, body, tokens, now);
      this.#flight.inputOf(attempt).then(note, () => {});
    };
  }

  /** Notes how it ended; what it is told first counts. */
  #over(error?: RouterError): void {
    const { attempt } = this;
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leaveTraffic?.();
    attempt.durationMs = sinceCall(attempt);
    if (error === undefined) return;
    attempt.error = error;
    // A client that leaves is no fault of the provider's; nor is a provider that was not asked.
    if (error.code === "aborted" || error instanceof CircuitRefusal) return;
    this.#options.log.warn("attempt failed", {
      requestId: this.#flight.x.id,
      attempt: attempt.number,
      provider: attempt.target.provider,
      model: attempt.target.model,
      code: error.code,
      error: error.message,
      detail: error.detail,
    });
  }

  #expectBeginning(): void {
    const { timeouts, isLast } = this.#plan;
    if (this.attempt.body.stream !== true) {
      return this.#deadline.expect(timeouts.whole, wholeAnswer);
    }
    this.#deadline.expect(isLast ? timeouts.last : timeouts.firstByte, "the first byte");
  }

  #expectToken(): void {
    const { timeouts, isLast } = this.#plan;
    if (this.attempt.body.stream !== true) return;
    const limit = isLast ? timeouts.last : timeouts.firstToken;
    this.#deadline.expect(limit - sinceCall(this.attempt), "the first token");
  }

  /** Notes what a vendor wants to be paid for, though nobody has its answer. */
  async #noteUsage(error: RouterError): Promise<void> {
    const { attempt } = this;
    const tally = this.#tally;
    const { spent } = error;
    if (spent !== undefined) tally.note(spent);
    if (this.#spent !== undefined) {
      tally.add(Chunk.fromJson({ ...this.#spent, ...spent && { usage: spent } }, true));
    }
    const { gone } = this.#flight;
    const isEnded = this.#sent && this.#deadline.signal.aborted;
    if (!isEnded && !this.#answered && tally.reported === undefined) return;
    const usage = await tally.usage(() => this.#flight.inputOf(attempt), attempt.cached);
    attempt.usage = usage;
    // The vendor may want to be paid for an answer that nobody could read, and of a list of vectors
    // nobody has a use for a part. Whoever leaves pays for what it asked for.
    const isUnread = this.#spent === undefined && usage.estimated && !(gone && usage.output > 0);
    const isPart = !isChat(attempt.body) && error.fallback && !gone;
    const isLost = isEnded ? error.code === "timeout" && !gone : isUnread || isPart;
    if (isLost) attempt.unanswered = true;
  }
}

/** The key's own policy, then its owner's, then the server's. */
function policyOf({ state: { caller } }: LiveExchange, standard: UnsupportedPolicy) {
  return caller?.limits.unsupported ?? caller?.ownerLimits?.unsupported ?? standard;
}

/** The body of one try: the vendor's model id, no list of models, and in a stream its usage. */
function bodyFor(body: Body, model: string): Body {
  const sent: Body = { ...body, model };
  delete sent.models;
  delete sent.provider;
  if (isChat(sent) && sent.stream === true) {
    sent.stream_options = { ...sent.stream_options, include_usage: true };
  }
  return sent;
}

function sinceCall({ startedTick = performance.now() }: Attempt): number {
  return performance.now() - startedTick;
}
