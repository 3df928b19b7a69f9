/**
 * A database connection that a dead process has lost.
 *
 * @module
 */
import type { Client, InStatement, ResultSet, TransactionMode } from "@libsql/client";

/** The connection of a process that can die: from then on nothing it does reaches the database. */
export class SeveredClient {
  readonly #client: Client;
  #severed = false;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The process dies. */
  sever(): void {
    this.#severed = true;
  }

  async execute(statement: InStatement | string): Promise<ResultSet> {
    return this.#severed ? nothing : await this.#client.execute(statement);
  }

  async batch(statements: InStatement[], mode?: TransactionMode): Promise<ResultSet[]> {
    return this.#severed ? [] : await this.#client.batch(statements, mode);
  }
}

const nothing: ResultSet = {
  columns: [],
  columnTypes: [],
  rows: [],
  rowsAffected: 0,
  lastInsertRowid: undefined,
  toJSON: () => ({}),
};
