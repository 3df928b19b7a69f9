/**
 * Slots: the calls that a vendor's accounts, and each of its models, let run at a time, shared fairly
 * among keys.
 *
 * @module
 */
import { AccountChoice, type AccountRequest } from "./account_choice.ts";
import { Breakers } from "./breakers.ts";
import type { Connection } from "./connection.ts";
import { RouterError } from "./errors.ts";
import type { CallKind } from "./provider.ts";
import { RunningCalls } from "./running_calls.ts";
import type { ModelCall, Slot, SlotRequest } from "./slot.ts";
import { SlotQueue } from "./slot_queue.ts";
import { Alarm } from "./ticker.ts";

/** How long the queue may be, and how long anyone may stand in it. */
export interface QueueLimits {
  /** Requests of all keys together. */
  readonly length: number;
  /** Milliseconds. */
  readonly waitMs: number;
}

interface Waiter {
  readonly keyId: string | undefined;
  readonly request: SlotRequest;
  readonly take: (connection: Connection) => void;
  readonly giveUp: (reason: unknown) => void;
  /** Looks again when an account is avoided no longer, or may be asked again. */
  readonly watch: () => void;
}

/** The slots of one provider, over all of its accounts. */
export class Slots {
  readonly #provider: string;
  readonly #connections: readonly Connection[];
  readonly #limits: QueueLimits;
  /** Calls under way that accounts count, by account. */
  readonly #running = new RunningCalls<Connection>();
  /** Calls under way by model, over all accounts. */
  readonly #runningOf = new RunningCalls<string>();
  readonly #queue = new SlotQueue<Waiter>();
  /** What is being prepared for a slot, in the order of its coming. */
  readonly #coming = new Set<ModelCall>();
  readonly #choice: AccountChoice;
  /** Who is not asked for which model. */
  readonly breakers: Breakers;

  /**
   * @param provider The provider's name, for messages.
   * @param connections Its accounts.
   * @param limits How long to wait.
   */
  constructor(provider: string, connections: readonly Connection[], limits: QueueLimits) {
    this.#provider = provider;
    this.#connections = connections;
    this.#limits = limits;
    this.breakers = new Breakers(provider, connections, (model) => this.#circuitChanged(model));
    this.#choice = new AccountChoice(
      connections,
      this.breakers,
      (each) => this.#running.of(each),
    );
  }

  /**
   * Takes a slot, at once or after a wait.
   *
   * @throws {RouterError} `queue_full` when too many wait, or when the wait takes too long;
   * `circuit_open` when no account may be asked for the model; the signal's reason once it fires.
   */
  take(request: SlotRequest): Slot | Promise<Slot> {
    // None of those who wait could use it: they would have it.
    const connection = this.#choose(request);
    if (connection !== undefined) return this.#slot(connection, request);
    const refusal = this.#refusal(request);
    if (refusal !== undefined) throw refusal;
    return this.#wait(request);
  }

  /**
   * Counts a call as one that will want a slot, while what it needs is got from elsewhere: that must
   * not be got for more calls than there are free slots and places in the queue.
   *
   * @returns What ends the counting, for right before the slot is taken.
   * @throws {RouterError} `queue_full` where all of these are taken.
   */
  expect({ model, parallel }: ModelCall): () => void {
    const coming = { model, parallel };
    if (!this.#hasRoomFor(coming)) {
      const waiting = this.#queue.length + this.#coming.size;
      throw this.#full(coming, `${waiting} requests wait or are prepared already`);
    }
    this.#coming.add(coming);
    return () => void this.#coming.delete(coming);
  }

  /**
   * Takes a call of one account for what is not worth a wait.
   *
   * @returns What gives it back; `undefined` when none is free.
   */
  takeFree(connection: Connection, kind: CallKind): (() => void) | undefined {
    if (!connection.counts(kind)) return () => {};
    if (this.#running.of(connection) >= connection.parallel) return undefined;
    return this.#freeing(this.#running.begin(connection));
  }

  /** Whether an account that has not refused a request could run it now, and is not avoided. */
  hasFree(request: AccountRequest): boolean {
    return this.#choice.hasFree(request);
  }

  /** Whether an account that has not refused a request could run it now, or is worth waiting for. */
  mayServe(request: AccountRequest): boolean {
    return this.#choice.mayServe(request);
  }

  /** Has an account asked for a model only if no other can be, for some time; 0 ends that. */
  avoid(connection: Connection, model: string, ms: number): void {
    if (this.#connections.length === 1) return;
    this.#choice.avoid(connection, model, ms);
    for (const { watch } of this.#queue.list()) watch();
    this.#serve();
  }

  /** Has a conversation ask the account again that has answered it, where that can be. */
  remember(conversation: string, connection: Connection): void {
    this.#choice.remember(conversation, connection);
  }

  /** Has a conversation ask any account, if it would ask this one. */
  forget(conversation: string, connection: Connection): void {
    this.#choice.forget(conversation, connection);
  }

  #choose(request: SlotRequest): Connection | undefined {
    const { model, parallel } = request;
    return this.#isTaken(model, parallel) ? undefined : this.#choice.choose(request);
  }

  /** Why no account that is left may be asked, however long one waits. */
  #refusal({ model, refused }: SlotRequest): RouterError | undefined {
    return this.breakers.refusal(this.#connections.filter((each) => !refused.has(each)), model);
  }

  /** Whether as many calls of a model run as may. */
  #isTaken(model: string, parallel = Infinity): boolean {
    return this.#runningOf.of(model) >= parallel;
  }

  /** Whether a slot or a place in the queue is left, once all that are coming have theirs. */
  #hasRoomFor(call: ModelCall): boolean {
    const now = performance.now();
    let free = 0;
    for (const each of this.#connections) {
      if (!this.breakers.mayCall(each, call.model, now)) continue;
      free += each.parallel - this.#running.of(each);
    }
    const freeOf = new Map<string, number>();
    let places = this.#limits.length - this.#queue.length;
    for (const { model, parallel = Infinity } of [...this.#coming, call]) {
      const left = freeOf.get(model) ?? parallel - this.#runningOf.of(model);
      if (free > 0 && left > 0) {
        free--;
        freeOf.set(model, left - 1);
      } else if (--places < 0) {
        return false;
      }
    }
    return true;
  }

  #slot(connection: Connection, { model, kind }: SlotRequest): Slot {
    const ends = [this.#runningOf.begin(model)];
    if (connection.counts(kind)) ends.push(this.#running.begin(connection));
    return {
      connection,
      call: this.breakers.begin(connection, model),
      release: this.#freeing(...ends),
    };
  }

  /** Ends what was begun, and lets those who wait have what is free then. */
  #freeing(...ends: (() => void)[]): () => void {
    return () => {
      for (const end of ends.splice(0)) end();
      this.#serve();
    };
  }

  #wait(request: SlotRequest): Promise<Slot> {
    const { length, waitMs } = this.#limits;
    const before = this.#queue.length;
    if (before >= length) throw this.#full(request, `${before} requests wait already`);
    return new Promise((resolve, reject) => {
      const { signal, keyId, model } = request;
      const leave = () => {
        alarm.stop();
        look?.stop();
        signal.removeEventListener("abort", abort);
      };
      let look: Alarm | undefined;
      const waiter: Waiter = {
        keyId,
        request,
        watch: () => {
          look?.stop();
          const ms = this.#choice.changesIn(model);
          if (ms < Infinity) look = new Alarm(ms, () => this.#serve());
        },
        take: (connection) => {
          leave();
          resolve(this.#slot(connection, request));
        },
        giveUp: (reason) => {
          leave();
          this.#queue.remove(waiter);
          reject(reason);
        },
      };
      const abort = () => waiter.giveUp(signal.reason);
      const alarm = new Alarm(
        waitMs,
        () => waiter.giveUp(this.#full(request, `this request waited ${waitMs / 1000} seconds`)),
      );
      if (signal.aborted) return abort();
      waiter.watch();
      signal.addEventListener("abort", abort, { once: true });
      this.#queue.add(waiter);
      const place = () => this.#queue.placeOf(waiter);
      request.onWait?.({
        get place() {
          return place();
        },
      });
    });
  }

  /**
   * Gives free slots to those who wait: to one of each key in turn, the first that can use one. An
   * account may have refused some of them, or their model; of another model, enough calls may run.
   */
  #serve(): void {
    for (const waiter of this.#queue.list()) {
      const connection = this.#choose(waiter.request);
      if (connection === undefined) continue;
      this.#queue.remove(waiter);
      this.#queue.rotate(waiter.keyId);
      waiter.take(connection);
      return this.#serve();
    }
  }

  /** Another account may be asked for a model, or one less. */
  #circuitChanged(model: string): void {
    for (const waiter of this.#queue.list()) {
      if (waiter.request.model !== model) continue;
      const refusal = this.#refusal(waiter.request);
      if (refusal === undefined) waiter.watch();
      else waiter.giveUp(refusal);
    }
    this.#serve();
  }

  #full({ model, parallel }: ModelCall, reason: string): RouterError {
    const whose = this.#isTaken(model, parallel)
      ? `Every call of the model "${model}" that provider "${this.#provider}" may run at a time`
      : `Every call that provider "${this.#provider}" lets run at a time`;
    const message = `${whose} is taken, and ${reason}. Send the request again`;
    return new RouterError("queue_full", message, { retryAfterMs: this.#limits.waitMs / 2 });
  }
}
