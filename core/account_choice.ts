/**
 * The choice among a vendor's accounts: which one is asked next.
 *
 * @module
 */
import type { Breakers } from "./breakers.ts";
import type { Connection } from "./connection.ts";
import type { CallKind } from "./provider.ts";

/** Models of an account that may be remembered as avoided when they no longer are. */
const rememberedModels = 256;

/** Conversations whose account is remembered. */
const rememberedConversations = 4_096;

/** What an account is wanted for. */
export interface AccountRequest {
  /** The model that will be asked. */
  readonly model: string;
  /** What it will be asked for: accounts count some kinds of calls alone. */
  readonly kind: CallKind;
  /** The conversation that the request belongs to. */
  readonly conversation?: string | undefined;
  /** Accounts that have refused this request already. */
  readonly refused: ReadonlySet<Connection>;
}

/** The accounts of one provider, and what is known of them. */
export class AccountChoice {
  readonly #connections: readonly Connection[];
  readonly #breakers: Breakers;
  readonly #runningAt: (connection: Connection) => number;
  /** Until when an account is asked for a model only if no other can be, by `performance.now()`. */
  readonly #avoided = new Map<Connection, Map<string, number>>();
  /** The account that answered each conversation last; the conversations that were quiet longest first. */
  readonly #answered = new Map<string, Connection>();
  #turn = 0;

  /**
   * @param connections The accounts.
   * @param breakers Who is not asked for which model.
   * @param runningAt Calls under way that an account counts.
   */
  constructor(
    connections: readonly Connection[],
    breakers: Breakers,
    runningAt: (connection: Connection) => number,
  ) {
    this.#connections = connections;
    this.#breakers = breakers;
    this.#runningAt = runningAt;
  }

  /** Has an account asked for a model only if no other can be, for some time. */
  avoid(connection: Connection, model: string, ms: number): void {
    const now = performance.now();
    const models = this.#avoided.get(connection) ?? new Map<string, number>();
    this.#avoided.set(connection, models.set(model, now + ms));
    // Clients name as many models as they like.
    if (models.size > rememberedModels) {
      for (const [each, until] of models) if (until <= now) models.delete(each);
    }
  }

  /**
   * Has a conversation ask the account again that has answered it, where that can be: vendors cache
   * what they have read, each account's by itself, and charge less for it.
   */
  remember(conversation: string, connection: Connection): void {
    this.#answered.delete(conversation);
    this.#answered.set(conversation, connection);
    if (this.#answered.size <= rememberedConversations) return;
    const [quietest] = this.#answered.keys();
    this.#answered.delete(quietest!);
  }

  /** Has a conversation ask any account, if it would ask this one: it has failed. */
  forget(conversation: string, connection: Connection): void {
    if (this.#answered.get(conversation) === connection) this.#answered.delete(conversation);
  }

  /**
   * A free account: the conversation's own, or the least busy of those that are not avoided; in turn
   * where they are equal.
   */
  choose(request: AccountRequest): Connection | undefined {
    const { model, conversation = "", refused } = request;
    const now = performance.now();
    const count = this.#connections.length;
    if (count === 1) {
      const only = this.#connections[0]!;
      return this.#isFree(only, request) && this.#breakers.mayCall(only, model, now)
        ? only
        : undefined;
    }
    const own = this.#answered.get(conversation);
    if (own !== undefined && this.#isFree(own, request) && this.#isHealthy(own, request, now)) {
      return own;
    }
    let best: Connection | undefined;
    let least = Infinity;
    for (let step = 0; step < count; step++) {
      const connection = this.#connections[(this.#turn + step) % count]!;
      if (refused.has(connection) || !this.#isFree(connection, request)) continue;
      if (!this.#breakers.mayCall(connection, model, now)) continue;
      const until = this.#avoidedUntil(connection, model);
      const running = this.#runningAt(connection);
      // An avoided one comes last, and the one that is avoided longest comes very last.
      const rank = until > now
        ? until
        : (Number.isFinite(connection.parallel) ? running / connection.parallel : running / 1e6) -
          1;
      if (rank >= least) continue;
      least = rank;
      best = connection;
    }
    // One that has refused is not asked as long as another one only has to become free.
    if (least > 0 && this.#connections.some((each) => this.#isHealthy(each, request, now))) {
      return undefined;
    }
    if (best !== undefined) this.#turn = (this.#connections.indexOf(best) + 1) % count;
    return best;
  }

  /** Whether an account that has not refused a request could run it now, and is not avoided. */
  hasFree(request: AccountRequest): boolean {
    const now = performance.now();
    return this.#connections.some((each) =>
      this.#isFree(each, request) && this.#isHealthy(each, request, now)
    );
  }

  /**
   * Whether an account that has not refused a request could run it now, avoided or not, or only has
   * to become free.
   */
  mayServe(request: AccountRequest): boolean {
    const { model, refused } = request;
    const now = performance.now();
    return this.#connections.some((each) =>
      this.#isHealthy(each, request, now) ||
      this.#isFree(each, request) && !refused.has(each) && this.#breakers.mayCall(each, model, now)
    );
  }

  /** Milliseconds until time alone lets another account be chosen; `Infinity` when it does not. */
  changesIn(model: string): number {
    const now = performance.now();
    return Math.min(
      ...this.#connections.flatMap((each) => [
        this.#avoidedUntil(each, model) - now,
        this.#breakers.waitMs(each, model, now),
      ]).filter((ms) => ms > 0),
    );
  }

  /** Whether an account may be asked, is not avoided and has not refused; it may be busy. */
  #isHealthy(each: Connection, { model, refused }: AccountRequest, now: number): boolean {
    return !refused.has(each) && this.#avoidedUntil(each, model) <= now &&
      this.#breakers.mayCall(each, model, now);
  }

  #isFree(connection: Connection, { kind }: AccountRequest): boolean {
    return this.#runningAt(connection) < connection.parallel || !connection.counts(kind);
  }

  #avoidedUntil(connection: Connection, model: string): number {
    return this.#avoided.get(connection)?.get(model) ?? 0;
  }
}
