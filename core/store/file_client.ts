import {
  type Client,
  type InArgs,
  type InStatement,
  LibsqlError,
  type Replicated,
  type ResultSet,
  type Transaction,
  type TransactionMode,
} from "@libsql/client";
import { type Plain, PreparedWrites, type Writes, writing } from "./prepared_writes.ts";

/** Milliseconds for which calls wait for a transaction. */
const heldMs = 5_000;

/** Whether an error says that another connection holds the lock, so that a retry can succeed. */
export function isBusy(error: unknown): boolean {
  return error instanceof LibsqlError && error.code === "SQLITE_BUSY";
}

/**
 * A client for one local file that stays sound after SQLITE_BUSY.
 *
 * libSQL 0.5 leaves a statement that failed with SQLITE_BUSY in progress until it is garbage
 * collected. Until then nothing on that connection is committed: `batch` and `commit` fail, and a
 * single write reports success although it can still be lost (libsql-client-ts issue 352, fixed in
 * no release yet). So calls run one after another here, and the first that fails in this way
 * replaces the connection before the next one runs. The calls are synchronous beneath, so taking
 * turns costs nothing.
 *
 * Writes that waited for their turn behind a call that met another process's lock have met it, too:
 * they fail at once as it did. If each waited for it in turn, no read would come through.
 */
export class FileClient implements Client {
  readonly protocol = "file";
  readonly #client: Client;
  readonly #pragmas: string;
  readonly #writes: Writes | undefined;
  /** Ends the turn of a transaction that is open. */
  #endTransaction = () => {};
  /** The connection that met SQLITE_BUSY is closed already. */
  #isReplaced = false;
  #turn: Promise<unknown> = Promise.resolve();
  /** How many calls there have been, and how many when one of them met another process's lock. */
  #calls = 0;
  #callsAtLock = 0;
  #lock: unknown;

  /**
   * @param client one of a `file:` URL with an absolute path, `concurrency: 1`, nothing run on it
   * @param pragmas SQL that makes a new connection ready; the caller runs it on the first one
   * @param writes where single writes go, over a connection of their own; without it, over this one
   */
  constructor(client: Client, pragmas: string, writes?: Writes) {
    this.#client = client;
    this.#pragmas = pragmas;
    this.#writes = writes;
  }

  get closed(): boolean {
    return this.#client.closed;
  }

  execute(statement: InStatement, args?: InArgs): Promise<ResultSet> {
    return this.#inTurn(async () => {
      if (typeof statement === "string") {
        const result = await this.#client.execute(statement, args);
        // What is set counts for both connections.
        if (/^\s*PRAGMA\b.*=/i.test(statement)) await this.#writes?.exec(statement);
        return result;
      }
      const { sql, args: values = [] } = statement;
      return this.#writes !== undefined && !this.closed && Array.isArray(values) &&
          PreparedWrites.takes(sql, values)
        ? await this.#write(this.#writes, sql, values)
        : await this.#client.execute(statement);
    }, typeof statement === "object" && writing.test(statement.sql));
  }

  async #write(writes: Writes, sql: string, values: readonly Plain[]): Promise<ResultSet> {
    try {
      return await writes.run(sql, values);
    } catch (error) {
      // The other connection has met nothing.
      if (isBusy(error)) this.#isReplaced = true;
      throw error;
    }
  }

  batch(
    statements: Array<InStatement | [string, InArgs?]>,
    mode?: TransactionMode,
  ): Promise<ResultSet[]> {
    return this.#inTurn(() => this.#client.batch(statements, mode), mode === "write");
  }

  migrate(statements: InStatement[]): Promise<ResultSet[]> {
    return this.#inTurn(() => this.#client.migrate(statements));
  }

  executeMultiple(sql: string): Promise<void> {
    return this.#inTurn(() => this.#client.executeMultiple(sql));
  }

  /**
   * Opens a transaction; every other call waits until it ends, for five seconds at most: then calls are
   * refused until it ends, so that one who calls while its own is open learns of it. "deferred" takes
   * the write lock at once like "write", so that SQLITE_BUSY comes from here and never from within.
   */
  transaction(mode: TransactionMode = "write"): Promise<Transaction> {
    const opened = this.#inTurn(() => this.#client.transaction(mode === "read" ? "read" : "write"));
    this.#turn = opened.then((transaction) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, heldMs);
      this.#endTransaction = resolve;
      whenClosed(transaction, resolve);
      return promise.finally(() => clearTimeout(timer));
    }, () => {});
    return opened;
  }

  sync(): Promise<Replicated> {
    return this.#inTurn(() => this.#client.sync());
  }

  reconnect(): void {
    this.#writes?.close();
    this.#client.reconnect();
    this.#endTransaction();
  }

  close(): void {
    this.#writes?.close();
    this.#client.close();
    this.#endTransaction();
  }

  /** @param writes It needs the lock that only one process has. */
  #inTurn<Result>(call: () => Promise<Result>, writes = false): Promise<Result> {
    const number = ++this.#calls;
    const result = this.#turn.then(() => {
      if (writes && number <= this.#callsAtLock) throw this.#lock;
      return call();
    }).catch(async (error) => {
      if (isBusy(error) && error !== this.#lock) {
        this.#lock = error;
        this.#callsAtLock = this.#calls;
        if (!this.#isReplaced) await this.#replaceConnection();
      }
      this.#isReplaced = false;
      throw error;
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  async #replaceConnection(): Promise<void> {
    this.#client.reconnect();
    try {
      await this.#client.executeMultiple(this.#pragmas);
    } catch {
      // The caller gets the first error. A connection without its pragmas is slower, not wrong.
    }
  }
}

/** Has a transaction tell when it has ended. */
function whenClosed(transaction: Transaction, closed: () => void): void {
  const { commit, rollback, close } = transaction;
  const tell = () => {
    if (transaction.closed) closed();
  };
  Object.assign(transaction, {
    commit: () => commit.call(transaction).finally(tell),
    rollback: () => rollback.call(transaction).finally(tell),
    close: () => {
      close.call(transaction);
      closed();
    },
  });
}
