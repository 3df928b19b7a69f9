/**
 * The circuit breakers of all providers, for those who look on.
 *
 * @module
 */
import type { CircuitChange, CircuitListener } from "./breakers.ts";
import type { Transport } from "./transport.ts";

export type { CallCounts } from "./breaker.ts";
export type { Circuit, CircuitChange, CircuitListener } from "./breakers.ts";

/** Tells of every circuit that opens, is tried or closes. */
export class Circuits {
  #transports: readonly Transport[];
  readonly #listeners = new Set<CircuitListener>();
  /** Ends what the providers tell; nothing while nobody listens. */
  #ends: readonly (() => void)[] = [];

  /** @param transports The providers. */
  constructor(transports: readonly Transport[]) {
    this.#transports = transports;
  }

  /** Has a listener told of every change. @returns Ends that. */
  subscribe(listener: CircuitListener): () => void {
    this.#listeners.add(listener);
    this.follow(this.#transports);
    return () => {
      this.#listeners.delete(listener);
      this.follow(this.#transports);
    };
  }

  /** From now on tells of these providers. */
  follow(transports: readonly Transport[]): void {
    for (const end of this.#ends) end();
    this.#transports = transports;
    this.#ends = this.#listeners.size === 0
      ? []
      : transports.map((each) => each.onCircuitChange((change) => this.#tell(change)));
  }

  #tell(change: CircuitChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch {
        // Who looks on must not keep the others from seeing it.
      }
    }
  }
}
