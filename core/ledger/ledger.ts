/**
 * The ledger: a hold before a provider is asked, one entry when the request is over, and the
 * settlement of what a dead process left open. Its rules stand in the database (migration 0002), so
 * that they hold for every process that shares it.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { RouterError } from "../errors.ts";
import type { Log } from "../log.ts";
import { GroupedWriter } from "../store/grouped_writer.ts";
import { type Entry, maxEntries, settlement } from "./entry.ts";
import { doesNotFit, type Hold, HoldWriter, leaseEnd } from "./hold_writer.ts";
import { settleLeftBehind } from "./left_behind.ts";
import type { ProcessLock } from "./process_lock.ts";
import { leastRoom, readRooms, refusalOf } from "./refusal.ts";

/** Milliseconds between two looks at what is open: checkpoints are not older. */
const lookMs = 2_000;

/** Looks between two searches for what dead processes left open. */
const looksPerRecovery = 3;

/** How often a hold that does not fit is tried again, while others change what is left. */
const fittings = 4;

/** What the ledger works with. */
export interface LedgerOptions {
  /** The database, migrated. */
  readonly database: Client;
  /** Takes what cannot be written. */
  readonly log: Log;
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
  /** Milliseconds after which an exchange whose process was not heard of is settled by another. */
  readonly leaseMs: number;
  /** This process, where others can see whether it lives. Closed with the ledger. */
  readonly process?: ProcessLock | undefined;
}

/** Tells how many output tokens there are so far. */
export type Progress = () => number | Promise<number>;

/** A hold of a request under way. */
interface OpenHold {
  progress: Progress;
  readonly written: Promise<unknown>;
  /** How often it was moved to another target, and whether it is now. */
  moves: number;
  isMoving: boolean;
}

/** Holds and settles. */
export class Ledger {
  readonly #o: LedgerOptions;
  readonly #holds: HoldWriter;
  readonly #entries: GroupedWriter<Entry>;
  /** Exchanges with a hold, and the holds that are being written; out of it by `#forget` alone. */
  readonly #open = new Map<string, OpenHold>();
  /** Entries whose hold is still on its way to the database. */
  readonly #waiting = new Set<Promise<void>>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #looks = 0;
  #looking: Promise<void> | undefined;
  #failing = false;

  /** @param options The database and its surroundings. */
  constructor(options: LedgerOptions) {
    this.#o = options;
    const { database, log, leaseMs, process } = options;
    this.#holds = new HoldWriter(database, leaseMs, process?.id ?? null);
    this.#entries = new GroupedWriter<Entry>({
      maxRows: maxEntries,
      // Until then a process that is killed takes with it what the provider reported. In each turn
      // of the event loop most groups were one row, and preparing a statement costs as much as many.
      maxDelayMs: 5,
      write: async (entries) => {
        await database.execute(settlement(entries));
      },
      onError: (error, pending) =>
        log.error("usage cannot be written; it is kept and tried again", {
          error: String(error),
          pending,
        }),
    });
    this.#timer = setInterval(() => void this.look(), lookMs);
    Deno.unrefTimer(this.#timer);
  }

  /** Entries that are not written yet. */
  get pending(): number {
    return this.#waiting.size + this.#entries.pending;
  }

  /** Whether the last write failed. */
  get failing(): boolean {
    return this.#entries.failing || this.#failing;
  }

  /**
   * Holds an amount; once this resolves, whatever happens is settled.
   *
   * @param hold What to hold, for whom.
   * @param progress Asked from time to time, for the checkpoint.
   * @param shrink A smaller amount that fits into `room` millionths, or `undefined` to be refused.
   * @throws {RouterError} `insufficient_credits` and `rate_limited` name the limit;
   * `unavailable` when the database cannot be written.
   */
  async hold(
    hold: Hold,
    progress: Progress,
    shrink: (room: number) => number | undefined,
  ): Promise<void> {
    const written = this.#fit(hold, shrink, (fitting) => this.#holds.write(fitting));
    this.#open.set(hold.requestId, { progress, written, moves: 0, isMoving: false });
    try {
      await written;
      this.#failing = false;
    } catch (error) {
      this.#forget(hold.requestId);
      throw this.#toRouterError(error);
    }
  }

  /**
   * Holds for another target before it is asked.
   *
   * @param hold Its amount is for all tries that go on, this one included.
   * @param shrink As for {@linkcode Ledger.hold}: `room` is for all of them.
   * @param tries Entries of tries that are over: written with it, and never lost if it is refused.
   * @throws {RouterError} as {@linkcode Ledger.hold} does; the old hold then stays, less what the
   * tries cost. `unavailable` also when there is none: another process took this one for dead.
   */
  async move(
    hold: Hold,
    shrink: (room: number) => number | undefined,
    tries: readonly Entry[] = [],
  ): Promise<void> {
    let due = tries;
    const write = async (fitting: Hold): Promise<boolean> => {
      const first = due;
      due = [];
      try {
        return await this.#holds.move(fitting, first.length === 0 ? [] : [settlement(first)]);
      } catch (error) {
        for (const entry of first) this.#entries.add(entry);
        throw error;
      }
    };
    const open = this.#open.get(hold.requestId);
    if (open !== undefined) open.isMoving = true;
    let moved: boolean;
    try {
      moved = await this.#fit(hold, shrink, write);
    } catch (error) {
      throw this.#toRouterError(error);
    } finally {
      if (open !== undefined) {
        open.isMoving = false;
        open.moves++;
      }
    }
    if (moved) return;
    const reason = "The request took so long to go on that it was settled. Send it again";
    throw new RouterError("unavailable", reason, { retryAfterMs: 1_000 });
  }

  /**
   * Why a hold would be refused; nothing is held. Rejects when the database does.
   *
   * @param shrink As of {@linkcode Ledger.hold}.
   */
  async wouldRefuse(
    hold: Hold,
    shrink: (room: number) => number | undefined,
  ): Promise<RouterError | undefined> {
    const { database, currency } = this.#o;
    const rooms = await readRooms(database, hold);
    const refusal = refusalOf(rooms, hold, currency, Date.now());
    if (refusal === undefined || hold.price === undefined) return refusal;
    const smaller = shrink(leastRoom(rooms));
    return smaller !== undefined && smaller < hold.amount ? undefined : refusal;
  }

  /**
   * Takes the entry of a request that is over. Written soon, with others; never lost, never twice.
   *
   * @param tries Those of its tries that are not written yet: they are charged out of its hold.
   */
  settle(entry: Entry, tries: readonly Entry[] = []): void {
    const addAll = () => {
      for (const each of tries) this.#entries.add(each);
      this.#entries.add(entry);
    };
    const open = this.#forget(entry.requestId);
    if (open === undefined) return addAll();
    // A hold that is still on its way to the database must not arrive after its end.
    const add = () => {
      this.#waiting.delete(waiting);
      addAll();
    };
    const waiting = open.written.then(add, add);
    this.#waiting.add(waiting);
  }

  /** Renews what is open, and settles what others left open. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => this.#looking = undefined);
    return this.#looking;
  }

  /**
   * Settles what dead processes left open, from the last checkpoint: state `interrupted`.
   *
   * @returns How many requests. Rejects when the database does.
   */
  async recover(): Promise<number> {
    const { database, log, process } = this.#o;
    const settle = (deadIds: readonly string[], livingIds: readonly string[]) =>
      settleLeftBehind(database, deadIds, livingIds);
    const count = await (process === undefined ? settle([], []) : process.forDead(settle));
    if (count > 0) log.warn("requests of a process that died are settled", { requests: count });
    return count;
  }

  /** Writes what is pending. Rejects when that fails within five seconds. Safe to call twice. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await Promise.all(this.#waiting);
    try {
      await this.#entries.close();
    } finally {
      await this.#o.process?.release(this.#open.size === 0 && this.pending === 0);
    }
  }

  /** Resolves when every entry that was taken is written. Rejects when a write fails. */
  async flush(): Promise<void> {
    await Promise.all(this.#waiting);
    await this.#entries.flush();
  }

  /** It needs no checkpoint any more. @returns What it was; `undefined` where there is none. */
  #forget(requestId: string): OpenHold | undefined {
    const open = this.#open.get(requestId);
    if (open === undefined) return undefined;
    this.#open.delete(requestId);
    // The map's old tables point to it for long (see Roster), but they shall not keep its exchange.
    open.progress = none;
    return open;
  }

  /** Writes a hold, a smaller one where it does not fit. */
  async #fit<Result>(
    hold: Hold,
    shrink: (room: number) => number | undefined,
    write: (fitting: Hold) => Promise<Result>,
  ): Promise<Result> {
    const { database, currency } = this.#o;
    let { amount } = hold;
    for (let fitting = 0;; fitting++) {
      try {
        return await write({ ...hold, amount });
      } catch (error) {
        if (!doesNotFit(error)) throw error;
      }
      if (fitting === 0) {
        // What has ended but is not written yet still holds its amount.
        await this.#entries.flush();
        continue;
      }
      const rooms = await readRooms(database, hold);
      const refusal = refusalOf(rooms, { ...hold, amount }, currency, Date.now());
      if (fitting === fittings) throw refusal ?? busy();
      // Something ended between the write and this look.
      if (refusal === undefined) continue;
      const smaller = hold.price === undefined ? undefined : shrink(leastRoom(rooms));
      if (smaller === undefined || smaller >= amount) throw refusal;
      amount = smaller;
    }
  }

  async #look(): Promise<void> {
    try {
      await this.#renew();
      if (this.#looks++ % looksPerRecovery === 0) await this.recover();
    } catch (error) {
      this.#o.log.error("open requests cannot be looked after; tried again soon", {
        error: String(error),
      });
    }
  }

  /** Writes the checkpoints of what is open, which renews its leases. */
  async #renew(): Promise<void> {
    if (this.#open.size === 0) return;
    const looks: { id: string; open: OpenHold; moves: number; tokens: number }[] = [];
    for (const [id, open] of [...this.#open]) {
      // It ended while another was counted.
      if (this.#open.get(id) !== open) continue;
      const { moves } = open;
      looks.push({ id, open, moves, tokens: await open.progress() });
    }
    // What was counted before a move may have its entry by now: the hold keeps what the move wrote.
    const tokens = looks.map(({ id, open, moves, tokens }) => [
      id,
      open.isMoving || open.moves !== moves ? null : tokens,
    ]);
    await this.#o.database.execute({
      sql: `UPDATE holds SET output_tokens = coalesce(checkpoint.value, output_tokens),
          expires_at = ${leaseEnd("?")}
        FROM json_each(?) AS checkpoint WHERE request_id = checkpoint.key`,
      args: [this.#o.leaseMs, JSON.stringify(Object.fromEntries(tokens))],
    });
  }

  #toRouterError(error: unknown): RouterError {
    if (error instanceof RouterError) return error;
    if (!this.#failing) {
      this.#o.log.error("holds cannot be written; requests are refused until they can", {
        error: String(error),
      });
    }
    this.#failing = true;
    return new RouterError(
      "unavailable",
      "The ledger cannot be written now, so no provider was asked. Send the request again",
      { retryAfterMs: 1_000, cause: error },
    );
  }
}

const none: Progress = () => 0;

function busy(): RouterError {
  return new RouterError("rate_limited", "The account is busy. Send the request again", {
    retryAfterMs: 1_000,
  });
}
