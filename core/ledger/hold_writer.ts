/**
 * Writing holds: those that come together with one statement, each refused by itself.
 *
 * @module
 */
import { type Client, type InStatement, LibsqlError } from "@libsql/client";
import { setImmediate } from "node:timers";
import { type Price, toMillionths } from "../prices/price.ts";
import { busyPauseMs, retryWhileBusy } from "../store/database.ts";
import { isBusy } from "../store/file_client.ts";

/** What is written down before a provider is asked. */
export interface Hold {
  /** The exchange. */
  readonly requestId: string;
  /** The key that pays, where one was recognised. */
  readonly keyId: string | null;
  /** The key's owner, who pays too. */
  readonly owner: string | null;
  /** Millionths of the accounting currency. */
  readonly amount: number;
  /** Milliseconds since 1970 when the request arrived. */
  readonly openedAt: number;
  /** Who will be asked. */
  readonly provider: string;
  /** For what, by the provider's id. */
  readonly model: string;
  /** The model as the client wrote it. */
  readonly modelAsked: string;
  /** What the client wrote into `x-xrouter-tag`. */
  readonly tag: string | null;
  /** The client asked for a stream. */
  readonly stream: boolean;
  /** Input tokens as counted. */
  readonly inputTokens: number;
  /** The price, in the accounting currency; absent where none is known. */
  readonly price: Price | undefined;
  /** Tries of the request that go on beside this one: if the process dies, they are settled too. */
  readonly beside?: readonly TryBeside[];
}

/** A try that runs while another one is made. */
export interface TryBeside extends Pick<Hold, "provider" | "model" | "inputTokens" | "price"> {
  /** 1 for the request's first. */
  readonly number: number;
}

const columns =
  "request_id, key_id, owner, amount, opened_at, expires_at, provider, model, model_asked, tag, " +
  "stream, input_tokens, currency, price_input, price_output, price_cached, process";

/** The lease runs by the database's clock, which all who share it share. */
const placeholders = `(?, ?, ?, ?, ?, ${leaseEnd("?")}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** SQL for the moment at which a lease of so many milliseconds ends. */
export function leaseEnd(ms: string): string {
  return `CAST(unixepoch('subsec') * 1000 AS INTEGER) + ${ms}`;
}

/** SQLite takes at most 32,766 values in one statement. */
const maxRows = 500;

/** Milliseconds for which a key goes by itself since a hold of its did not fit, and until one fits. */
const apartMs = 1_000;

/** Milliseconds for which a database that another process has locked is tried again. */
const busyMs = 2_000;

/** Whether the database's rules refused a hold. */
export function doesNotFit(error: unknown): boolean {
  return error instanceof LibsqlError && error.message.includes("the hold does not fit");
}

interface Waiting {
  readonly hold: Hold;
  /** They are served in the order in which they came. */
  readonly number: number;
  /** Until when a locked database is tried again, by `performance.now()`. */
  readonly until: number;
  /** What the database said when it was locked meanwhile. */
  lock?: unknown;
  readonly resolve: (written?: Promise<void>) => void;
  readonly reject: (error: unknown) => void;
}

/** Writes holds. */
export class HoldWriter {
  readonly #database: Client;
  readonly #leaseMs: number;
  readonly #processId: string | null;
  #waiting: Waiting[] = [];
  #count = 0;
  #writing = false;
  /** The database is locked: what waits is tried again after it. */
  #pause: ReturnType<typeof setTimeout> | undefined;
  /** By key until when its holds go by themselves, to spare others; 0 for one whose holds fit. */
  readonly #apart = new Map<string | null, number>();

  /**
   * @param database The database, migrated.
   * @param leaseMs Milliseconds after which a hold that nobody renewed is taken for left behind.
   * @param processId Whose they are; `null`: only the lease tells whether they are left behind.
   */
  constructor(database: Client, leaseMs: number, processId: string | null) {
    this.#database = database;
    this.#leaseMs = leaseMs;
    this.#processId = processId;
  }

  /**
   * Writes a hold, with all that come in the same turn of the event loop, and to a file with all that
   * come while others are written: there one statement runs at a time anyway.
   *
   * @returns Once it is durable. Rejects with the database's error; {@linkcode doesNotFit} tells a
   * refusal from a failure.
   */
  write(hold: Hold): Promise<void> {
    const until = performance.now() + busyMs;
    if (this.#isApart({ hold })) return this.#writeAlone(hold, until);
    return new Promise((resolve, reject) => {
      const length = this.#waiting.push({ hold, number: this.#count++, until, resolve, reject });
      // A timer, even one of 0 ms, would wait for two more.
      if (length === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    if (this.#pause !== undefined) return;
    if (this.#writing && this.#database.protocol === "file") return;
    this.#takeApart();
    const group = this.#waiting.splice(0, maxRows);
    if (group.length === 0) return;
    this.#writing = true;
    // Only until the first answer: who comes later waits for nobody's refusals.
    void this.#writeGroup(group, () => {
      this.#writing = false;
      this.#flush();
    });
    this.#flush();
  }

  /** Those of keys that were refused while they waited go by themselves. */
  #takeApart(): void {
    if (!this.#waiting.some((each) => this.#isApart(each))) return;
    const { alone = [], together = [] } = Object.groupBy(
      this.#waiting,
      (each) => this.#isApart(each) ? "alone" : "together",
    );
    this.#waiting = together;
    for (const { hold, until, resolve } of alone) resolve(this.#writeAlone(hold, until));
  }

  #isApart({ hold }: Pick<Waiting, "hold">): boolean {
    return (this.#apart.get(hold.keyId) ?? 0) > 0;
  }

  async #writeAlone(hold: Hold, until: number): Promise<void> {
    try {
      await retryWhileBusy(() => this.#insert([hold]), until - performance.now());
    } catch (error) {
      if (doesNotFit(error)) this.#setApart(hold);
      throw error;
    }
    // One that is at its limit fits every now and then.
    if (performance.now() >= this.#apart.get(hold.keyId)!) this.#apart.set(hold.keyId, 0);
  }

  /**
   * Writes a group; where not all of it fits, in two parts, since each try may be a round trip: first
   * the keys whose holds fit, or else by halves.
   *
   * @param onAnswer Told once that the database has answered, whatever it was.
   */
  async #writeGroup(all: readonly Waiting[], onAnswer: () => void = () => {}): Promise<void> {
    const group = this.#inTime(all);
    if (group.length === 0) return onAnswer();
    try {
      await this.#insert(group.map(({ hold }) => hold));
      onAnswer();
      for (const { hold, resolve } of group) {
        if (!this.#apart.has(hold.keyId)) this.#apart.set(hold.keyId, 0);
        resolve();
      }
    } catch (error) {
      if (isBusy(error)) {
        this.#putBack(group, error);
        return onAnswer();
      }
      const refused = doesNotFit(error);
      if (refused && group.length > 1) {
        const [first, rest] = this.#parts(group);
        const served = this.#writeGroup(first);
        onAnswer();
        await served;
        return this.#pause === undefined ? await this.#writeGroup(rest) : this.#wait(rest);
      }
      onAnswer();
      for (const { hold, reject } of group) {
        if (refused) this.#setApart(hold);
        reject(error);
      }
    }
  }

  #setApart({ keyId }: Hold): void {
    this.#apart.set(keyId, performance.now() + apartMs);
  }

  #parts(group: readonly Waiting[]): [Waiting[], Waiting[]] {
    const { known = [], others = [] } = Object.groupBy(
      group,
      ({ hold }) => this.#apart.get(hold.keyId) === 0 ? "known" : "others",
    );
    if (known.length > 0 && others.length > 0) return [known, others];
    const middle = group.length >> 1;
    // In the order in which they came: the first that fit are served.
    return [group.slice(0, middle), group.slice(middle)];
  }

  /**
   * The database is locked, for everybody: what has time left waits, and goes together with what has
   * come by then. Groups of their own would stand in the way of all reads, one after the other.
   */
  #putBack(group: readonly Waiting[], error: unknown): void {
    this.#wait(group);
    for (const each of this.#waiting) each.lock = error;
    this.#waiting = this.#inTime(this.#waiting);
    if (this.#waiting.length === 0) return;
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      this.#flush();
    }, busyPauseMs);
  }

  /** What still has time, or has met no lock; the rest is told of the lock. */
  #inTime(group: readonly Waiting[]): Waiting[] {
    const now = performance.now();
    return group.filter(({ until, lock, reject }) => {
      if (until >= now || lock === undefined) return true;
      reject(lock);
      return false;
    });
  }

  /** Puts a group where it stood among those that wait. */
  #wait(group: readonly Waiting[]): void {
    this.#waiting.push(...group);
    this.#waiting.sort((one, other) => one.number - other.number);
  }

  async #insert(holds: readonly Hold[]): Promise<void> {
    const sql = `INSERT INTO holds (${columns}) VALUES ${
      `${placeholders}, `.repeat(holds.length - 1)
    }${placeholders}`;
    const args: (string | number | null)[] = [];
    for (const hold of holds) {
      args.push(
        hold.requestId,
        hold.keyId,
        hold.owner,
        hold.amount,
        hold.openedAt,
        this.#leaseMs,
        hold.provider,
        hold.model,
        hold.modelAsked,
        hold.tag,
        hold.stream ? 1 : 0,
        hold.inputTokens,
        ...priceColumns(hold.price),
        this.#processId,
      );
    }
    await this.#database.execute({ sql, args });
  }

  /**
   * Writes what changes when another target is asked.
   *
   * @param hold Its amount, target, input and price replace what was held. Rejects as
   * {@linkcode HoldWriter.write} does.
   * @param first Written before it, in one transaction with it.
   * @returns Whether there was something to replace.
   */
  async move(hold: Hold, first: readonly InStatement[] = []): Promise<boolean> {
    const { beside = [] } = hold;
    const move = {
      sql: `UPDATE holds SET amount = ?, provider = ?, model = ?, input_tokens = ?,
        output_tokens = 0, currency = ?, price_input = ?, price_output = ?, price_cached = ?,
        beside = ?, attempts = attempts + 1 WHERE request_id = ?`,
      args: [
        hold.amount,
        hold.provider,
        hold.model,
        hold.inputTokens,
        ...priceColumns(hold.price),
        beside.length === 0 ? null : JSON.stringify(beside.map(besideColumns)),
        hold.requestId,
      ],
    };
    return await retryWhileBusy(async () => {
      const { rowsAffected } = first.length === 0
        ? await this.#database.execute(move)
        : (await this.#database.batch([...first, move], "write")).at(-1)!;
      return rowsAffected > 0;
    }, busyMs);
  }
}

/** As settling what is left behind reads it. */
function besideColumns({ number, provider, model, inputTokens, price }: TryBeside) {
  const [currency, price_input, price_output, price_cached] = priceColumns(price);
  const prices = { currency, price_input, price_output, price_cached };
  return { number, provider, model, input_tokens: inputTokens, ...prices };
}

/** A price as rows keep it. */
export function priceColumns(
  price: Price | undefined,
): [string | null, number | null, number | null, number | null] {
  return price === undefined ? [null, null, null, null] : [
    price.currency,
    toMillionths(price.input),
    toMillionths(price.output),
    toMillionths(price.cached ?? price.input),
  ];
}
