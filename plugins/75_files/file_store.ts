/**
 * Whose files are whose: table `files`.
 *
 * @module
 */
import type { Client, Row } from "@libsql/client";

/** A file that a key uploaded. */
export interface OwnFile {
  readonly provider: string;
  /** The provider's id. */
  readonly id: string;
  /** The provider's account that has it. */
  readonly account: string;
  readonly filename: string;
  readonly bytes: number;
  /** What the client wants it for, in its own words. */
  readonly purpose: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** A page of a key's files. */
export interface Page {
  readonly purpose?: string | undefined;
  /** The file after which the page begins. */
  readonly after?: OwnFile | undefined;
  /** The oldest first instead of the newest. */
  readonly oldestFirst: boolean;
  readonly limit: number;
}

/** Reads and writes the table. Every method rejects when the database does. */
export class FileStore {
  readonly #database: Client;

  constructor(database: Client) {
    this.#database = database;
  }

  /**
   * Notes whose a new file is. Rejects where the provider has given the id away before.
   *
   * @param most Files that the key may have.
   * @returns Whether there was room for it.
   */
  async add(keyId: string, file: OwnFile, most: number): Promise<boolean> {
    const { provider, id, account, filename, bytes, purpose, createdAt } = file;
    const { rowsAffected } = await this.#database.execute({
      sql: `INSERT INTO files (provider, id, account, key_id, filename, bytes, purpose, created_at)
        SELECT ?, ?, ?, ?, ?, ?, ?, ?
        WHERE (SELECT count(*) FROM files WHERE key_id = ?) < ?`,
      args: [provider, id, account, keyId, filename, bytes, purpose, createdAt, keyId, most],
    });
    return rowsAffected === 1;
  }

  /** How many files a key has. */
  async count(keyId: string): Promise<number> {
    const { rows } = await this.#database.execute({
      sql: "SELECT count(*) AS number FROM files WHERE key_id = ?",
      args: [keyId],
    });
    return Number(rows[0]!.number);
  }

  /** One of a key's files. */
  async find(keyId: string, id: string): Promise<OwnFile | undefined> {
    const { rows } = await this.#database.execute({
      sql: "SELECT * FROM files WHERE key_id = ? AND id = ? ORDER BY created_at DESC LIMIT 1",
      args: [keyId, id],
    });
    return rows[0] && toFile(rows[0]);
  }

  /** A key's files, the newest first unless told otherwise. */
  async list(keyId: string, { purpose, after, oldestFirst, limit }: Page): Promise<OwnFile[]> {
    const [order, compare] = oldestFirst ? ["ASC", ">"] : ["DESC", "<"];
    const { rows } = await this.#database.execute({
      sql: `SELECT * FROM files WHERE key_id = :key
        AND (:purpose IS NULL OR purpose = :purpose)
        AND (:at IS NULL OR (created_at, id) ${compare} (:at, :id))
        ORDER BY created_at ${order}, id ${order} LIMIT :limit`,
      args: {
        key: keyId,
        purpose: purpose ?? null,
        at: after?.createdAt ?? null,
        id: after?.id ?? null,
        limit,
      },
    });
    return rows.map(toFile);
  }

  /** The accounts that have a key's files, by the files' ids; what is not the key's is missing. */
  async accounts(
    keyId: string,
    provider: string,
    ids: readonly string[],
  ): Promise<Map<string, string>> {
    const { rows } = await this.#database.execute({
      sql: `SELECT id, account FROM files
        WHERE provider = ? AND key_id = ? AND id IN (SELECT value FROM json_each(?))`,
      args: [provider, keyId, JSON.stringify(ids)],
    });
    return new Map(rows.map((row) => [String(row.id), String(row.account)]));
  }

  /** Forgets a file. */
  async remove({ provider, id }: OwnFile): Promise<void> {
    await this.#database.execute({
      sql: "DELETE FROM files WHERE provider = ? AND id = ?",
      args: [provider, id],
    });
  }
}

function toFile(row: Row): OwnFile {
  return {
    provider: String(row.provider),
    id: String(row.id),
    account: String(row.account),
    filename: String(row.filename),
    bytes: Number(row.bytes),
    purpose: String(row.purpose),
    createdAt: Number(row.created_at),
  };
}
