/**
 * Asks a route's targets in turn until one answers, within one budget of tries and of time.
 *
 * @module
 */
import type { Body } from "./body.ts";
import { anotherAnswer } from "./continuation.ts";
import { RouterError } from "./errors.ts";
import type { Flight } from "./flight.ts";
import type { Route, RoutedTarget } from "./plugin.ts";
import { readAhead } from "./read_ahead.ts";
import { retryWait } from "./retry.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { Alarm } from "./ticker.ts";
import { toldError } from "./told_error.ts";
import { type BegunAnswer, Try, type TryOptions } from "./try.ts";

/** What asking needs. */
export interface AttemptsOptions extends TryOptions {
  /** What further tries are taken from. */
  readonly budget: RetryBudget;
}

/** What is sent for the rest of an answer. */
export interface RestRequest {
  readonly body: Body;
  /** Input tokens that it has beside the request's own. */
  readonly prefilled?: number;
}

/** The tries of one exchange. */
export class Attempts {
  readonly #flight: Flight;
  readonly #route: Route;
  readonly #options: AttemptsOptions;
  readonly #end: number;
  readonly #running = new Set<Try>();
  /** The target that is asked, and how often it was. */
  #place = 0;
  #tries = 0;
  /** What the last try failed with, and what the client is told. */
  #last: RouterError | undefined;
  #failure: RouterError | undefined;
  #wake: (() => void) | undefined;
  /** The last target's answer broke off: to ask it again would be paid once more. */
  #brokeOff = false;

  /** @param flight The exchange. From now on what ends it ends its running tries. */
  constructor(flight: Flight, route: Route, options: AttemptsOptions) {
    this.#flight = flight;
    this.#route = route;
    this.#options = options;
    this.#end = flight.x.startedTick + route.time;
    flight.x.replyHeaders["x-xrouter-attempts-limit"] = String(route.attempts);
    flight.x.replyHeaders["x-xrouter-time-limit"] = String(route.time / 1000);
    options.budget.request(performance.now());
  }

  /** The client has gone. */
  leave(): void {
    for (const each of this.#running) each.leave();
    this.#wake?.();
  }

  /** Ends what runs, for a reason that lies outside. */
  stop(reason: RouterError): void {
    for (const each of this.#running) each.stop(reason);
    this.#wake?.();
  }

  /**
   * Asks the targets in turn, each again where its error allows it.
   *
   * @throws {RouterError} What {@linkcode toldError} takes of all that the tries failed with.
   */
  async begin(): Promise<BegunAnswer> {
    for (;;) {
      const target = await this.#choose();
      try {
        return await this.#ask(target, this.#flight.x.body);
      } catch (thrown) {
        this.#note(thrown as RouterError);
      }
    }
  }

  /**
   * Asks for the rest of an answer that broke off: the targets that are left, or the last one again.
   * What they fail with concerns nobody: the answer had begun well.
   *
   * @param requests What may be sent to a target, the first choice first; the next one where the
   * target refuses the request as such.
   * @returns The rest, and what it answers; `undefined` when there is none.
   */
  async goOn(
    error: RouterError,
    requests: (target: RoutedTarget) => Promise<readonly RestRequest[]>,
  ): Promise<{ begun: BegunAnswer; body: Body } | undefined> {
    this.#note(error);
    const { targets, attempts, retries } = this.#route;
    if (this.#used >= attempts) return undefined;
    // What the same target would only do again.
    const isFinal = error.detail === anotherAnswer || error.code === "provider_failed";
    if (this.#place < targets.length - 1) this.#advance();
    else if (isFinal || this.#tries > retries) return undefined;
    else if (!await this.#backOff(error, 0)) return undefined;
    for (; this.#place < targets.length; this.#advance()) {
      const target = targets[this.#place]!;
      for (const { body, prefilled } of await requests(target)) {
        if (this.#used >= attempts || this.#flight.unwanted || performance.now() >= this.#end) {
          return undefined;
        }
        this.#tries++;
        try {
          return { begun: await this.#run(this.#start(target, body, prefilled)), body };
        } catch (thrown) {
          if ((thrown as RouterError).code !== "invalid_request") break;
        }
      }
    }
    return undefined;
  }

  /** Who is asked next. @throws {RouterError} What the client is told when nobody is. */
  async #choose(): Promise<RoutedTarget> {
    const { targets, attempts } = this.#route;
    const last = this.#last;
    if (last !== undefined) {
      const isOver = this.#flight.unwanted || performance.now() >= this.#end;
      if (isOver || !last.fallback) throw this.#failure!;
      if (!await this.#mayRetry(last)) this.#advance();
    }
    this.#flight.checkWanted();
    const target = targets[this.#place];
    if (target === undefined || this.#used >= attempts) {
      throw this.#failure ?? new RouterError("internal", "A route allows no attempt");
    }
    return target;
  }

  /** Waits before the same target is asked again. @returns Whether it should be. */
  async #mayRetry(error: RouterError): Promise<boolean> {
    const { targets, retries, attempts } = this.#route;
    const others = targets.length - this.#place - 1;
    // Every target that is still to come keeps a try of the budget.
    if (!error.retry || this.#tries > retries || attempts - this.#used <= others) return false;
    if (this.#brokeOff && others > 0) return false;
    return await this.#backOff(error, others);
  }

  /** Waits as retries have to. @returns Whether there may be one then. */
  async #backOff({ retryAfterMs }: RouterError, others: number): Promise<boolean> {
    const wait = retryWait(this.#tries, retryAfterMs, others > 0);
    const now = performance.now();
    if (wait === undefined || now + wait >= this.#end) return false;
    if (!this.#options.budget.take(now)) return false;
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(wake, wait);
      this.#wake = wake;
    });
    return true;
  }

  #advance(): void {
    this.#place++;
    this.#tries = 0;
    this.#brokeOff = false;
  }

  #note(error: RouterError): void {
    this.#last = error;
    this.#failure = toldError(this.#failure, error);
  }

  /** Tries that were made or are under way. */
  get #used(): number {
    let used = this.#flight.x.attempts.length;
    for (const { called } of this.#running) if (!called) used++;
    return used;
  }

  /** Asks a target; where it takes longer than usual and the route wants it, the next one too. */
  async #ask(target: RoutedTarget, body: Body): Promise<BegunAnswer> {
    const { targets, hedgeAfter, attempts } = this.#route;
    this.#tries++;
    const first = this.#start(target, body);
    const next = targets[this.#place + 1];
    if (hedgeAfter === undefined || next === undefined) return await this.#run(first);
    const begun = Promise.withResolvers<void>();
    const opening = this.#run(first, begun.resolve);
    if (!await takesLonger(Promise.race([begun.promise, opening]), hedgeAfter)) {
      return await opening;
    }
    const mayHedge = this.#used < attempts && !this.#flight.unwanted &&
      this.#options.budget.take(performance.now());
    if (!mayHedge) return await opening;
    this.#advance();
    this.#tries++;
    let second: Try;
    try {
      second = this.#start(next, body);
    } catch {
      // It cannot be asked at all. If the first one fails, the next choice says so.
      return await opening;
    }
    return await this.#faster([first, second], opening);
  }

  /** The one of two that answers first; the other is ended. @throws {RouterError} What both failed with. */
  async #faster(both: readonly [Try, Try], first: Promise<BegunAnswer>): Promise<BegunAnswer> {
    const openings = [first, this.#run(both[1])];
    // What nobody else would have been asked after decides, too; the second one's reasons are its own.
    const decisive = openings.map((opening, place) =>
      opening.catch((error: RouterError) => {
        const isFinal = place === 0 ? !error.fallback : error.code === "content_filter";
        if (!isFinal) throw error;
        return error;
      })
    );
    try {
      const end = await Promise.any(decisive);
      const winner = end instanceof RouterError ? undefined : end.attempt;
      const reason = new RouterError("aborted", "Another target answered first");
      for (const [place, loser] of both.entries()) {
        if (loser.attempt === winner) continue;
        loser.stop(reason);
        const ended = openings[place]!.then((late) => this.#discard(late, reason), () => {});
        this.#flight.unsettled.push(ended);
      }
      if (end instanceof RouterError) throw end;
      return end;
    } catch (thrown) {
      if (thrown instanceof RouterError) throw thrown;
      const [failed, last] = (thrown as AggregateError).errors as RouterError[];
      this.#note(failed!);
      throw last;
    }
  }

  /** Ends an answer that another one was faster than. */
  async #discard({ upstream, tally, over, attempt }: BegunAnswer, reason: RouterError) {
    over(reason);
    // A provider may be slow to heed it: nobody waits for that.
    void upstream.cancel();
    attempt.usage = await tally.usage(() => this.#flight.inputOf(attempt), attempt.cached);
  }

  #start(target: RoutedTarget, body: Body, prefilled?: number): Try {
    const { timeouts, targets } = this.#route;
    return new Try(this.#flight, {
      target,
      body,
      prefilled,
      number: this.#used + 1,
      end: this.#end,
      timeouts: { ...timeouts, ...target.timeouts },
      isLast: this.#place >= targets.length - 1,
    }, this.#options);
  }

  /**
   * @param onBegun Told when the answer says something, though it may have to be whole.
   * @throws {RouterError} Why there is no answer.
   */
  async #run(one: Try, onBegun?: () => void): Promise<BegunAnswer> {
    this.#running.add(one);
    try {
      const answer = await one.open();
      onBegun?.();
      if (this.#route.onBreak !== "whole" || !this.#flight.streamed) return answer;
      this.#brokeOff = true;
      return await readAhead(answer, this.#flight);
    } finally {
      this.#running.delete(one);
    }
  }
}

/** Whether a promise takes longer than some time; how it ends does not matter. */
async function takesLonger(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const alarm = new Alarm(ms, () => resolve(true));
  const ended = promise.then(() => false, () => false);
  return await Promise.race([ended, late]).finally(() => alarm.stop());
}
