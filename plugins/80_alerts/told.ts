/**
 * What people were told last, in the database: a start tells nothing again, and of several processes
 * one tells.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { retryWhileBusy } from "../../core/store/database.ts";

/** What people know of one subject. */
export interface Told {
  /** They were told that it is bad. */
  readonly bad: boolean;
  /** When, in milliseconds since 1970. */
  readonly at: number;
}

/** Milliseconds for which another process's write is waited for. */
const busyMs = 2_000;

/** Milliseconds after which what went well again is forgotten. */
const keepMs = 86_400_000;

/** The table `alerts`. Every method rejects when the database does. */
export class ToldStore {
  readonly #database: Client;
  readonly #quietMs: number;

  /**
   * @param database Has the table.
   * @param quietMs Milliseconds for which nothing more is told of a subject.
   */
  constructor(database: Client, quietMs: number) {
    this.#database = database;
    this.#quietMs = quietMs;
  }

  /** What is told to be bad, by subject, the newest first, and at most so many. */
  async load(most: number): Promise<Map<string, Told>> {
    await this.#write("DELETE FROM alerts WHERE bad = 0 AND told_at < ?", Date.now() - keepMs);
    const { rows } = await this.#database.execute({
      sql: "SELECT subject, told_at FROM alerts WHERE bad = 1 ORDER BY told_at DESC LIMIT ?",
      args: [most],
    });
    return new Map(
      rows.map(({ subject, told_at }) => [subject as string, { bad: true, at: told_at as number }]),
    );
  }

  /**
   * Notes that a subject is told about now, if nobody has told the same, or anything within the
   * quiet time.
   *
   * @returns What people know then, and whether it is this caller's to tell.
   */
  async claim(subject: string, bad: boolean): Promise<Told & { mine: boolean }> {
    const now = Date.now();
    const { rows: [claimed] } = await this.#write(
      `INSERT INTO alerts (subject, bad, told_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (subject) DO UPDATE SET bad = ?2, told_at = ?3
        WHERE bad <> ?2 AND (told_at <= ?3 - ?4 OR told_at > ?3)
        RETURNING told_at`,
      ...[subject, Number(bad), now, this.#quietMs],
    );
    if (claimed !== undefined) return { bad, at: now, mine: true };
    const { rows: [known] } = await this.#database.execute({
      sql: "SELECT bad, told_at FROM alerts WHERE subject = ?",
      args: [subject],
    });
    return { bad: known?.bad === 1, at: known?.told_at as number | undefined ?? now, mine: false };
  }

  #write(sql: string, ...args: (string | number)[]) {
    return retryWhileBusy(() => this.#database.execute({ sql, args }), busyMs);
  }
}
