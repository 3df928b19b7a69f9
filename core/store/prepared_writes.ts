/**
 * Writes by statements that are prepared once. To prepare one takes as long as to run it: with it
 * every trigger that it fires is compiled.
 *
 * @module
 */
import { type InValue, LibsqlError, type ResultSet } from "@libsql/client";
import Database from "libsql";

/** Characters of the statements that are kept: groups come in many sizes, and few of them again. */
const keptChars = 512 * 1024;

/** SQLite's codes that callers look at; the others go by their number. */
const codes: Readonly<Record<number, string>> = {
  5: "SQLITE_BUSY",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  13: "SQLITE_FULL",
  19: "SQLITE_CONSTRAINT",
};

/** What changes rows, and so needs the lock that only one connection has. */
export const writing = /^\s*(?:INSERT|UPDATE|DELETE)\b/i;

/** A value as SQLite takes it. */
export type Plain = string | number | null;

/** Where single writes go. Errors are those of the client. */
export interface Writes {
  /** Carries a write out. @throws {LibsqlError} as the client does. */
  run(sql: string, args: readonly Plain[]): ResultSet | Promise<ResultSet>;
  /** Runs SQL that returns nothing, such as a pragma; nothing where no connection is open. */
  exec(sql: string): void | Promise<void>;
  /** Closes the connection; the next call opens another. */
  close(): void;
}

/** Writes to one local file over a connection of its own. Synchronous beneath, as all of libSQL. */
export class PreparedWrites implements Writes {
  readonly #open: () => Database.Database;
  #database: Database.Database | undefined;
  /** By their SQL, the one that was used last at the end. */
  readonly #statements = new Map<string, Database.Statement>();
  #chars = 0;

  /**
   * @param path The file.
   * @param timeoutMs Milliseconds to wait for another process's write lock.
   * @param pragmas SQL that makes a new connection ready.
   */
  constructor(path: string, timeoutMs: number, pragmas: string) {
    const open = () => {
      const database = new Database(path, { timeout: timeoutMs });
      database.exec(pragmas);
      return database;
    };
    this.#open = open;
  }

  /** Whether a call can go this way: a write that returns no rows. */
  static takes(sql: string, args: readonly InValue[]): args is readonly Plain[] {
    return writing.test(sql) && !/\bRETURNING\b/i.test(sql) &&
      args.every((arg) => arg === null || typeof arg === "string" || Number.isFinite(arg));
  }

  run(sql: string, args: readonly Plain[]): ResultSet {
    try {
      const { changes } = this.#prepare(sql).run(args);
      return new NoRows(changes);
    } catch (error) {
      const failure = asLibsqlError(error);
      const code = failure instanceof LibsqlError ? failure.code : undefined;
      // What has failed otherwise may be in progress still: the next call gets a new one.
      if (code !== "SQLITE_CONSTRAINT") this.#forget(sql);
      if (code === "SQLITE_BUSY") this.close();
      throw failure;
    }
  }

  exec(sql: string): void {
    try {
      this.#database?.exec(sql);
    } catch (error) {
      throw asLibsqlError(error);
    }
  }

  close(): void {
    this.#statements.clear();
    this.#chars = 0;
    this.#database?.close();
    this.#database = undefined;
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = (this.#database ??= this.#open()).prepare(sql);
      this.#chars += sql.length;
    } else this.#statements.delete(sql);
    this.#statements.set(sql, statement);
    for (const [oldest] of this.#statements) {
      if (this.#chars <= keptChars || oldest === sql) break;
      this.#forget(oldest);
    }
    return statement;
  }

  #forget(sql: string): void {
    if (this.#statements.delete(sql)) this.#chars -= sql.length;
  }
}

/** What a write answers. */
export class NoRows implements ResultSet {
  readonly columns: string[] = [];
  readonly columnTypes: string[] = [];
  readonly rows: ResultSet["rows"] = [];
  readonly rowsAffected: number;
  /** Tables here are ordered by keys of their own. */
  readonly lastInsertRowid = undefined;

  constructor(rowsAffected: number) {
    this.rowsAffected = rowsAffected;
  }

  toJSON(): unknown {
    return { ...this };
  }
}

/** What the driver throws. */
interface SqliteFailure extends Error {
  readonly code: string;
  readonly rawCode?: number;
}

function asLibsqlError(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const { message, code, rawCode = 1 } = error as unknown as SqliteFailure;
  const base = codes[rawCode & 0xff] ?? `SQLITE_ERROR_${rawCode & 0xff}`;
  return new LibsqlError(message, base, code, rawCode, error as unknown as Error);
}
