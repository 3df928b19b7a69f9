/**
 * The circuit breakers of one provider: one for each account and model.
 *
 * @module
 */
import { Breaker, type CallCounts, type CircuitState } from "./breaker.ts";
import type { Connection } from "./connection.ts";
import { RouterError } from "./errors.ts";
import { toldError } from "./told_error.ts";
import { WatchedCall } from "./watched_call.ts";

/** Models of an account whose breakers are kept: clients name as many models as they like. */
const keptModels = 256;

/** Milliseconds to wait where a call under way decides: nobody knows when it ends. */
const tryingMs = 1_000;

/** How the circuit of one account and model stands. */
export interface Circuit {
  /** The account's name. */
  readonly account: string;
  /** The model's id as the vendor spells it. */
  readonly model: string;
  readonly state: CircuitState;
  /** Milliseconds until a call may go out; 0 where it may. */
  readonly retryAfterMs: number;
}

/** A circuit that has changed. */
export interface CircuitChange extends Circuit {
  /** The provider's name. */
  readonly provider: string;
  /** How it stood before; `half-open` before `open` where a call that tried it has failed. */
  readonly before: CircuitState;
  /** Why, with the numbers: `5 of the last 6 calls failed`. */
  readonly reason: string;
  /** What opened it last. */
  readonly cause: CallCounts;
}

/** Told of a change, in the midst of a call: it must be quick. What it throws is dropped. */
export type CircuitListener = (change: CircuitChange) => void;

/** Why nobody was asked: `circuit_open`, or what the calls before failed with where that lasts. */
export class CircuitRefusal extends RouterError {}

/** The breakers of a provider's accounts. */
export class Breakers {
  readonly #provider: string;
  readonly #connections: readonly Connection[];
  readonly #onChange: (model: string) => void;
  readonly #accounts = new Map<Connection, Map<string, Breaker>>();
  readonly #listeners = new Set<CircuitListener>();

  /**
   * @param provider The provider's name.
   * @param connections Its accounts.
   * @param onChange Called when calls of a model may go out that could not, or the other way round.
   */
  constructor(
    provider: string,
    connections: readonly Connection[],
    onChange: (model: string) => void,
  ) {
    this.#provider = provider;
    this.#connections = connections;
    this.#onChange = onChange;
  }

  /** Has a listener told of every change. @returns Ends that. */
  subscribe(listener: CircuitListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether an account may be asked for a model. */
  mayCall(connection: Connection, model: string, now: number): boolean {
    return this.#accounts.get(connection)?.get(model)?.mayCall(now) ?? true;
  }

  /** Milliseconds until an account may be asked that may not now; 0 where time alone does nothing. */
  waitMs(connection: Connection, model: string, now: number): number {
    return this.#accounts.get(connection)?.get(model)?.waitMs(now) ?? 0;
  }

  /** A call of a model goes out by an account that may be asked. */
  begin(connection: Connection, model: string): WatchedCall {
    return new WatchedCall(this.#breakerOf(connection, model).begin(performance.now()));
  }

  /** The circuits that there are, closed ones too. */
  list(): Circuit[] {
    const now = performance.now();
    return this.#connections.flatMap((each) =>
      [...this.#accounts.get(each) ?? []].map(([model, breaker]) =>
        describe(each.name, model, breaker, now)
      )
    );
  }

  /** How a model stands over all accounts: as the one that may be asked first. */
  circuit(model: string): Pick<Circuit, "state" | "retryAfterMs"> {
    const now = performance.now();
    const all = this.#connections.map((each) => {
      const breaker = this.#accounts.get(each)?.get(model);
      return breaker === undefined
        ? { state: "closed", retryAfterMs: 0 } as const
        : describe("", model, breaker, now);
    });
    const { state, retryAfterMs } = all.toSorted((a, b) =>
      rank[a.state] - rank[b.state] || a.retryAfterMs - b.retryAfterMs
    )[0]!;
    return { state, retryAfterMs };
  }

  /** Why none of some accounts may be asked for a model; `undefined` where one may. */
  refusal(connections: readonly Connection[], model: string): RouterError | undefined {
    const now = performance.now();
    if (connections.some((each) => this.mayCall(each, model, now))) return undefined;
    let told: RouterError | undefined;
    for (const each of connections) {
      told = toldError(told, this.#refusalOf(this.#breakerOf(each, model), model, now));
    }
    return told;
  }

  #refusalOf(breaker: Breaker, model: string, now: number): RouterError {
    const { lasting, failedTries } = breaker;
    // Who is told to wait would ask again for what no waiting ends.
    if (lasting !== undefined) {
      const { code, message, headers } = lasting;
      return new CircuitRefusal(code, message, { headers, cause: lasting });
    }
    const retryAfterMs = retryAfter(breaker, now);
    const since = failedTries === 0 ? "" : `, and so did ${failedTries} since, one at a time`;
    const next = breaker.waitMs(now) === 0
      ? "One call is trying whether it works again"
      : `It is asked again in ${Math.ceil(retryAfterMs / 1000)} seconds`;
    return new CircuitRefusal(
      "circuit_open",
      `Provider "${this.#provider}" is not asked for the model "${model}" now: ` +
        `${causeOf(breaker)}${since}. ${next}`,
      { retryAfterMs },
    );
  }

  #breakerOf(connection: Connection, model: string): Breaker {
    let models = this.#accounts.get(connection);
    if (models === undefined) this.#accounts.set(connection, models = new Map());
    const known = models.get(model);
    if (known !== undefined) return known;
    if (models.size >= keptModels) forgetOne(models);
    let before: CircuitState = "closed";
    const breaker: Breaker = new Breaker(() => {
      const circuit = describe(connection.name, model, breaker, performance.now());
      if (circuit.state !== before) {
        const reason = reasonOf(breaker, circuit.state, before);
        this.#tell({ ...circuit, provider: this.#provider, before, reason, cause: breaker.cause });
      }
      before = circuit.state;
      this.#onChange(model);
    });
    models.set(model, breaker);
    return breaker;
  }

  #tell(change: CircuitChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch {
        // Who looks on must not break the call that is looked at.
      }
    }
  }
}

const rank: Record<CircuitState, number> = { closed: 0, "half-open": 1, open: 2 };

function describe(account: string, model: string, breaker: Breaker, now: number): Circuit {
  return { account, model, state: breaker.state(now), retryAfterMs: retryAfter(breaker, now) };
}

function retryAfter(breaker: Breaker, now: number): number {
  return breaker.mayCall(now) ? 0 : breaker.waitMs(now) || tryingMs;
}

function causeOf({ cause: { calls, failed, slow } }: Breaker): string {
  return failed * 2 >= calls
    ? `${failed} of the last ${calls} calls failed`
    : `${slow} of the last ${calls} calls were slow to begin`;
}

function reasonOf(breaker: Breaker, state: CircuitState, before: CircuitState): string {
  if (state === "half-open") return "one call tries whether it works again";
  if (state === "closed") {
    const failed = breaker.failedTries;
    return `the call that tried it was answered${
      failed > 0 ? `, after ${failed} that failed` : ""
    }`;
  }
  return before === "closed" ? causeOf(breaker) : "the call that tried it failed";
}

/** Forgets the one that came first of those that are idle; else of the closed ones; else of all. */
function forgetOne(models: Map<string, Breaker>): void {
  const now = performance.now();
  const all = [...models];
  const [model] = all.find(([, breaker]) => breaker.isIdle(now)) ??
    all.find(([, breaker]) => breaker.state(now) === "closed" && !breaker.isBusy) ??
    all.find(([, breaker]) => !breaker.isBusy) ?? all[0]!;
  models.delete(model);
}
