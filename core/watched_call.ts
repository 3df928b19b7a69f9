/**
 * A call to a provider, as far as it tells how the provider does: from its start to the last byte of
 * its answer.
 *
 * @module
 */
import { type BreakerCall, slowMs } from "./breaker.ts";
import type { RouterError } from "./errors.ts";
import { faultOf } from "./health.ts";

/** Tells a breaker how a call ended; what it is told first counts. */
export class WatchedCall {
  readonly #call: BreakerCall;
  /** Told of the end that the provider is answerable for: whether it answered to the end. */
  onEnd?: (answered: boolean) => void;
  #ended = false;
  #begun = false;
  #slow = false;

  /** @param call The breaker's side of it. */
  constructor(call: BreakerCall) {
    this.#call = call;
  }

  /**
   * The answer has begun.
   *
   * @param firstTokenMs Milliseconds from the call to the first token of a stream; absent for an
   * answer that comes at once, which takes as long as it is.
   */
  began(firstTokenMs: number | undefined): void {
    this.#begun = true;
    this.#slow = firstTokenMs !== undefined && firstTokenMs > slowMs;
  }

  /** The answer is complete. */
  answered(): void {
    this.#end(true);
    this.#call.end(performance.now(), { failed: false, slow: this.#slow });
  }

  /**
   * The call failed, or the answer broke off. What is not the provider's fault tells nothing, and
   * neither does a busy provider: it works.
   */
  failed(error: RouterError): void {
    const fault = faultOf(error, this.#begun);
    if (fault === undefined || fault === "upstream_busy") return this.dropped();
    this.#end(false);
    const slow = this.#slow || fault === "timeout";
    this.#call.end(performance.now(), { failed: true, slow, error });
  }

  /** Nobody waits for the end of it: it tells nothing. */
  dropped(): void {
    this.#ended = true;
    this.#call.end(performance.now(), undefined);
  }

  #end(answered: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onEnd?.(answered);
  }
}
