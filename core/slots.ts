/**
 * Slots: the calls that a vendor lets run at a time, shared fairly among keys, and the choice among a
 * vendor's accounts.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import { RouterError } from "./errors.ts";

/** Models of an account that may be remembered as avoided when they no longer are. */
const rememberedModels = 256;

/** How long the queue may be, and how long anyone may stand in it. */
export interface QueueLimits {
  /** Requests of all keys together. */
  readonly length: number;
  /** Milliseconds. */
  readonly waitMs: number;
}

/** A request in the queue. */
export interface Waiting {
  /** Its place, 1 for the one that is served next. */
  readonly place: number;
}

/** A slot that is asked for. */
export interface SlotRequest {
  /** The model that will be asked. */
  readonly model: string;
  /** Who asks; each gets a turn, however many requests it has. */
  readonly keyId: string | undefined;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Accounts that have refused this request already. */
  readonly refused: ReadonlySet<Connection>;
  /** Told once, when there is a queue to stand in. */
  readonly onWait?: ((waiting: Waiting) => void) | undefined;
}

/** A call that may run. */
export interface Slot {
  /** At whose account. */
  readonly connection: Connection;
  /** Gives it back; further calls do nothing. */
  release(): void;
}

interface Waiter {
  readonly request: SlotRequest;
  readonly take: (connection: Connection) => void;
  /** Looks again when an account is avoided no longer. */
  readonly watch: () => void;
}

/** The slots of one provider, over all of its accounts. */
export class Slots {
  readonly #provider: string;
  readonly #connections: readonly Connection[];
  readonly #limits: QueueLimits;
  readonly #running = new Map<Connection, number>();
  /** Until when an account is asked for a model only if no other can be, by `performance.now()`. */
  readonly #avoided = new Map<Connection, Map<string, number>>();
  /** Those who wait, by key; the keys in the order of their turns. */
  readonly #queue = new Map<string | undefined, Waiter[]>();
  #waiting = 0;
  #turn = 0;

  /**
   * @param provider The provider's name, for messages.
   * @param connections Its accounts.
   * @param limits How long to wait.
   */
  constructor(provider: string, connections: readonly Connection[], limits: QueueLimits) {
    this.#provider = provider;
    this.#connections = connections;
    this.#limits = limits;
  }

  /**
   * Takes a slot, at once or after a wait.
   *
   * @throws {RouterError} `queue_full` when too many wait, or when the wait takes too long; the
   * signal's reason once it fires.
   */
  take(request: SlotRequest): Slot | Promise<Slot> {
    // None of those who wait could use it: they would have it.
    const connection = this.#choose(request);
    return connection === undefined ? this.#wait(request) : this.#slot(connection);
  }

  /** Whether an account that has not refused a request could run it now, and is not avoided. */
  hasFree(model: string, refused: ReadonlySet<Connection>): boolean {
    const now = performance.now();
    return this.#connections.some((each) =>
      !refused.has(each) && this.#isFree(each) && this.#avoidedUntil(each, model) <= now
    );
  }

  /** Has an account asked for a model only if no other can be, for some time. */
  avoid(connection: Connection, model: string, ms: number): void {
    if (this.#connections.length === 1) return;
    const now = performance.now();
    const models = this.#avoided.get(connection) ?? new Map<string, number>();
    this.#avoided.set(connection, models.set(model, now + ms));
    // Clients name as many models as they like.
    if (models.size > rememberedModels) {
      for (const [each, until] of models) if (until <= now) models.delete(each);
    }
    for (const waiters of this.#queue.values()) for (const { watch } of waiters) watch();
  }

  /** A free account, the least busy of those that are not avoided; in turn where they are equal. */
  #choose({ model, refused }: SlotRequest): Connection | undefined {
    const count = this.#connections.length;
    if (count === 1) {
      const only = this.#connections[0]!;
      return this.#isFree(only) ? only : undefined;
    }
    let best: Connection | undefined;
    let least = Infinity;
    const now = performance.now();
    for (let step = 0; step < count; step++) {
      const connection = this.#connections[(this.#turn + step) % count]!;
      if (refused.has(connection) || !this.#isFree(connection)) continue;
      const until = this.#avoidedUntil(connection, model);
      const running = this.#running.get(connection) ?? 0;
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
    if (least > 0 && this.#isHealthy(model, refused, now)) return undefined;
    if (best !== undefined) this.#turn = (this.#connections.indexOf(best) + 1) % count;
    return best;
  }

  /** Whether an account is neither avoided nor has refused, be it free or not. */
  #isHealthy(model: string, refused: ReadonlySet<Connection>, now: number): boolean {
    return this.#connections.some((each) =>
      !refused.has(each) && this.#avoidedUntil(each, model) <= now
    );
  }

  /** Milliseconds until the first account is no longer avoided; `undefined` when none is. */
  #avoidedFor(model: string): number | undefined {
    const left = this.#connections.map((each) =>
      this.#avoidedUntil(each, model) - performance.now()
    ).filter((ms) => ms > 0);
    return left.length === 0 ? undefined : Math.min(...left);
  }

  #avoidedUntil(connection: Connection, model: string): number {
    return this.#avoided.get(connection)?.get(model) ?? 0;
  }

  #isFree(connection: Connection): boolean {
    return (this.#running.get(connection) ?? 0) < connection.parallel;
  }

  #slot(connection: Connection): Slot {
    this.#running.set(connection, (this.#running.get(connection) ?? 0) + 1);
    let released = false;
    return {
      connection,
      release: () => {
        if (released) return;
        released = true;
        this.#running.set(connection, this.#running.get(connection)! - 1);
        this.#serve();
      },
    };
  }

  #wait(request: SlotRequest): Promise<Slot> {
    const { length, waitMs } = this.#limits;
    if (this.#waiting >= length) {
      return Promise.reject(this.#full(`${this.#waiting} requests wait already`, waitMs / 2));
    }
    return new Promise((resolve, reject) => {
      const { signal, keyId, model } = request;
      const leave = () => {
        clearTimeout(timer);
        clearTimeout(look);
        signal.removeEventListener("abort", abort);
      };
      let look: ReturnType<typeof setTimeout> | undefined;
      const watch = () => {
        clearTimeout(look);
        const avoidedFor = this.#avoidedFor(model);
        if (avoidedFor !== undefined) look = setTimeout(() => this.#serve(), avoidedFor + 1);
      };
      const waiter: Waiter = {
        request,
        watch,
        take: (connection) => {
          leave();
          resolve(this.#slot(connection));
        },
      };
      const giveUp = (reason: unknown) => {
        leave();
        this.#remove(keyId, waiter);
        reject(reason);
      };
      const abort = () => giveUp(signal.reason);
      const timer = setTimeout(
        () => giveUp(this.#full(`this request waited ${waitMs / 1000} seconds`, waitMs / 2)),
        waitMs,
      );
      if (signal.aborted) return abort();
      watch();
      signal.addEventListener("abort", abort, { once: true });
      const own = this.#queue.get(keyId);
      if (own === undefined) this.#queue.set(keyId, [waiter]);
      else own.push(waiter);
      this.#waiting++;
      const place = () => this.#placeOf(keyId, waiter);
      request.onWait?.({
        get place() {
          return place();
        },
      });
    });
  }

  /**
   * Gives free slots to those who wait: to one of each key in turn, the first that can use one. An
   * account may have refused some of them, or their model.
   */
  #serve(): void {
    for (const [keyId, waiters] of [...this.#queue]) {
      for (const waiter of waiters) {
        const connection = this.#choose(waiter.request);
        if (connection === undefined) continue;
        this.#remove(keyId, waiter);
        if (waiters.length > 0) {
          this.#queue.delete(keyId);
          this.#queue.set(keyId, waiters);
        }
        waiter.take(connection);
        return this.#serve();
      }
    }
  }

  #remove(keyId: string | undefined, waiter: Waiter): void {
    const waiters = this.#queue.get(keyId);
    const at = waiters?.indexOf(waiter) ?? -1;
    if (waiters === undefined || at < 0) return;
    waiters.splice(at, 1);
    this.#waiting--;
    if (waiters.length === 0) this.#queue.delete(keyId);
  }

  /** How many are served before it, and itself. */
  #placeOf(keyId: string | undefined, waiter: Waiter): number {
    const round = this.#queue.get(keyId)?.indexOf(waiter) ?? -1;
    if (round < 0) return 0;
    let place = round + 1;
    let isBefore = true;
    for (const [other, waiters] of this.#queue) {
      if (other === keyId) isBefore = false;
      else place += Math.min(waiters.length, isBefore ? round + 1 : round);
    }
    return place;
  }

  #full(reason: string, retryAfterMs: number): RouterError {
    return new RouterError(
      "queue_full",
      `Every call that provider "${this.#provider}" lets run at a time is taken, and ${reason}. ` +
        "Send the request again",
      { retryAfterMs },
    );
  }
}
