/**
 * Asks providers that nobody asks for their list of models, which costs nothing, to see whether they
 * answer.
 *
 * @module
 */
import { RouterError } from "xrouter/plugin";
import { faultOf } from "../../core/health.ts";
import type { Transport } from "../../core/transport.ts";

/** Milliseconds that a list may take. */
const timeoutMs = 5_000;

/** Failures in a row that make a provider bad: one may be the network's mood. */
const enough = 2;

/** The last probe of a provider. */
export interface ProbeResult {
  /** When it ended, in milliseconds since 1970. */
  readonly at: number;
  readonly ok: boolean;
  /** Milliseconds that it took. */
  readonly ms: number;
  /** Why it failed; `undefined` where that says nothing of the provider. */
  readonly error: RouterError | undefined;
}

/** The probes of one provider. */
export class Probe {
  readonly #transport: Transport;
  readonly #idleMs: number;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  #lastTick = performance.now();
  #wait: number;
  /** There has been a list before: only then a refusal says more than that there is none. */
  #hasListed = false;
  #failures = 0;
  #result: ProbeResult | undefined;

  /**
   * @param transport The way to the provider.
   * @param idleMs Milliseconds without traffic after which it is asked; up to half as much is added,
   * so that several processes do not ask together.
   */
  constructor(transport: Transport, idleMs: number) {
    this.#transport = transport;
    this.#idleMs = idleMs;
    this.#wait = this.#nextWait();
  }

  /** The last result. */
  get result(): ProbeResult | undefined {
    return this.#result;
  }

  /** When the last one ended, by `performance.now()`. */
  get lastTick(): number {
    return this.#lastTick;
  }

  /** What the probes tell. */
  get verdict(): "up" | "down" | undefined {
    if (this.#result?.ok) return "up";
    return this.#failures >= enough ? "down" : undefined;
  }

  /** The provider answered a request: failures before that do not count any more. */
  answered(): void {
    this.#failures = 0;
  }

  /**
   * Asks, if it is time to; one question at a time.
   *
   * @param busyTick When the last try of a request ended, by `performance.now()`.
   * @param done Called with the result.
   */
  ask(now: number, busyTick: number, done: (result: ProbeResult) => void): void {
    if (this.#running !== undefined || this.#closed.signal.aborted) return;
    if (now < Math.max(this.#lastTick, busyTick) + this.#wait) return;
    this.#running = this.#ask().then((result) => {
      this.#running = undefined;
      this.#lastTick = performance.now();
      this.#wait = this.#nextWait();
      if (this.#closed.signal.aborted) return;
      this.#result = result;
      if (result.ok) this.#failures = 0;
      else if (result.error !== undefined) this.#failures++;
      done(result);
    });
  }

  /** Ends a question that is under way. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  async #ask(): Promise<ProbeResult> {
    const started = performance.now();
    const timeout = AbortSignal.timeout(timeoutMs);
    let failure: RouterError | undefined;
    let ok = false;
    try {
      await this.#transport.listModels(AbortSignal.any([this.#closed.signal, timeout]));
      ok = this.#hasListed = true;
    } catch (error) {
      failure = this.#blame(toFailure(error));
    }
    return { at: Date.now(), ok, ms: performance.now() - started, error: failure };
  }

  /** The failure, where it is one of the provider. A busy one is alive. */
  #blame(error: RouterError): RouterError | undefined {
    const fault = faultOf(error, false);
    if (fault === undefined || fault === "upstream_busy") return undefined;
    const isRefusal = fault === "upstream_rejected" || fault === "insufficient_quota";
    return isRefusal && !this.#hasListed ? undefined : error;
  }

  #nextWait(): number {
    return this.#idleMs * (1 + Math.random() / 2);
  }
}

/** What kept a list from coming: a refusal, silence, or no connection. */
function toFailure(error: unknown): RouterError {
  if (error instanceof RouterError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return error instanceof DOMException && error.name === "TimeoutError"
    ? new RouterError("timeout", "The list of models did not come in time", { detail })
    : new RouterError("upstream_unavailable", "The list of models cannot be had", { detail });
}
