/**
 * Asks a route's targets in turn until one begins to answer.
 *
 * @module
 */
import type { Catalog } from "./catalog.ts";
import { Changes, type UnsupportedPolicy } from "./changes.ts";
import { type Body, isChat } from "./body.ts";
import { Deadline, wholeAnswer } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import type { LiveExchange } from "./exchange.ts";
import { clientClosed, type Flight } from "./flight.ts";
import type { HookRunner } from "./hooks.ts";
import type { Log } from "./log.ts";
import type { Attempt, Route, RoutedTarget } from "./plugin.ts";
import { retryWait } from "./retry.ts";
import type { Transport } from "./transport.ts";
import type { Upstream } from "./upstream.ts";

/** What asking needs. */
export interface AttemptsOptions {
  /** The providers. */
  catalog: Catalog;
  /** The plugins, for `onAttempt`. */
  hooks: HookRunner;
  /** Takes the failed tries. */
  log: Log;
  /** Milliseconds for which an answer is awaited after its client has gone. */
  drainMs: number;
  /** What to do with fields that a vendor cannot keep. */
  unsupported: UnsupportedPolicy;
}

/** An answer that has begun. */
export interface BegunAnswer {
  readonly upstream: Upstream;
  readonly deadline: Deadline;
  readonly attempt: Attempt;
}

/**
 * Asks the targets in turn, each again where its error allows it, within the route's budget.
 *
 * @throws {RouterError} What the last try failed with.
 */
export async function askTargets(
  flight: Flight,
  route: Route,
  options: AttemptsOptions,
): Promise<BegunAnswer> {
  const { x } = flight;
  const end = x.startedTick + route.time;
  let failure: RouterError | undefined;
  for (const [place, target] of route.targets.entries()) {
    const transport = options.catalog.providers.get(target.provider);
    if (transport === undefined) {
      const reason = `A route names the provider "${target.provider}", which does not exist`;
      throw new RouterError("internal", reason);
    }
    const others = route.targets.length - place - 1;
    for (let tries = 0; tries <= route.retries && x.attempts.length < route.attempts; tries++) {
      // Every target that is still to come keeps a try of the budget.
      if (tries > 0 && route.attempts - x.attempts.length <= others) break;
      if (tries > 0 && !await pause(flight, failure!, tries, end)) break;
      flight.checkWanted();
      const attempt: Attempt = {
        number: x.attempts.length + 1,
        target,
        body: bodyFor(x.body, target.model),
        headers: {},
      };
      const deadline = new Deadline(end);
      try {
        const limits = limitsOf(route, target, x.body.stream === true, others === 0);
        const upstream = await ask(flight, attempt, transport, deadline, limits, options);
        attempt.firstChunkMs = sinceCall(attempt);
        return { upstream, deadline, attempt };
      } catch (thrown) {
        deadline.stop();
        const error = toRouterError(thrown, `provider "${target.provider}"`);
        attemptFailed(x, attempt, error, options.log);
        // A target that cannot be paid is passed over: why the others failed says more.
        if (error.code !== "insufficient_credits" || failure === undefined) failure = error;
        if (flight.unwanted || performance.now() >= end) throw error;
        if (!error.retry) break;
      }
    }
    if (failure !== undefined && !failure.fallback) throw failure;
  }
  throw failure ?? new RouterError("internal", "A route allows no attempt");
}

/** How long a try may take to begin. */
interface Limits {
  readonly begin: number;
  /** What is waited for, for the message. */
  readonly waiting: string;
}

function limitsOf(
  route: Route,
  target: RoutedTarget,
  streamed: boolean,
  isLast: boolean,
): Limits {
  const { firstByte, last, whole } = { ...route.timeouts, ...target.timeouts };
  if (!streamed) return { begin: whole, waiting: wholeAnswer };
  return { begin: isLast ? last : firstByte, waiting: "the first byte" };
}

async function ask(
  flight: Flight,
  attempt: Attempt,
  transport: Transport,
  deadline: Deadline,
  limits: Limits,
  { hooks, drainMs, log, unsupported }: AttemptsOptions,
): Promise<Upstream> {
  const { x } = flight;
  flight.onStop = (reason) => deadline.abort(reason);
  flight.onGone = () => {
    if (transport.onAbort === "cancel") deadline.abort(clientClosed());
    else deadline.limit(drainMs);
  };
  deadline.expect(limits.begin, limits.waiting);
  await deadline.race(hooks.attempt(x, attempt, deadline.signal));
  if ((attempt.body.stream === true) !== (x.body.stream === true)) {
    const reason = 'A plugin changed "stream" of a try. It is the client\'s to choose';
    throw new RouterError("internal", reason);
  }
  flight.checkWanted();
  const { cannotKeep, changed } = new Changes(policyOf(x, unsupported), x.replyHeaders);
  const { body, headers } = attempt;
  const { signal } = deadline;
  let sent = false;
  const opening = transport.open({
    body,
    headers,
    account: attempt.account,
    signal,
    clientHeaders: x.headers,
    keyId: x.state.caller?.id,
    cannotKeep,
    changed,
    onWait: (waiting) => {
      x.waiting = waiting;
      x.replyHeaders["x-xrouter-queue"] = String(waiting.place);
      x.onWait?.();
      deadline.expect(Infinity, "a free call of the provider");
    },
    onCall: () => {
      x.waiting = undefined;
      if (x.attempts.at(-1) !== attempt) x.attempts.push(attempt);
      attempt.startedTick = performance.now();
      deadline.expect(limits.begin, limits.waiting);
    },
    onSend: () => sent = true,
    onRefusal: (account, error) => {
      sent = false;
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
    return await deadline.race(opening);
  } catch (error) {
    // What it has read, the vendor may want to be paid for, though nobody has its answer.
    flight.cutOff = sent && signal.aborted;
    // A provider that does not heed the signal may still open what nobody reads.
    opening.then((upstream) => upstream.cancel(), () => {});
    throw error;
  }
}

/** The key's own policy, then its owner's, then the server's. */
function policyOf({ state: { caller } }: LiveExchange, standard: UnsupportedPolicy) {
  return caller?.limits.unsupported ?? caller?.ownerLimits?.unsupported ?? standard;
}

/** Notes that a try is over. */
export function attemptEnded(attempt: Attempt): void {
  attempt.durationMs = sinceCall(attempt);
}

function sinceCall({ startedTick = performance.now() }: Attempt): number {
  return performance.now() - startedTick;
}

/** Notes why a try failed. A client that leaves is no fault of the provider's and not logged. */
export function attemptFailed(
  x: LiveExchange,
  attempt: Attempt,
  error: RouterError,
  log: Log,
): void {
  attemptEnded(attempt);
  attempt.error = error;
  if (error.code === "aborted") return;
  log.warn("attempt failed", {
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
async function pause(
  flight: Flight,
  failure: RouterError,
  tries: number,
  end: number,
): Promise<boolean> {
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

/** The body of one try: the vendor's model id, no list of models, and in a stream its usage. */
function bodyFor(body: Body, model: string): Body {
  const sent: Body = { ...body, model };
  delete sent.models;
  if (isChat(sent) && sent.stream === true) {
    sent.stream_options = { ...sent.stream_options, include_usage: true };
  }
  return sent;
}
