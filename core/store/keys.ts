import type { Client, Row } from "@libsql/client";
import { createHash, randomBytes } from "node:crypto";

/** What is stored about an API key. Times are milliseconds since 1970-01-01 UTC. */
export interface ApiKey {
  /** "key_" and 16 hex digits: safe to show, useless as a key. */
  id: string;
  name: string;
  owner: string | null;
  createdAt: number;
  /** The first moment at which the key no longer works; null: never. */
  expiresAt: number | null;
  /** False once revoked. */
  active: boolean;
  lastUsedAt: number | null;
}

const columns = "id, name, owner, created_at, expires_at, active, last_used_at";

/** SHA-256 of an API key in lower-case hex: the only form in which a key is stored or looked up. */
export function hashKey(secret: string): string {
  // Synchronous at about 1 µs; crypto.subtle costs 50 µs and a turn of the event loop.
  return createHash("sha256").update(secret).digest("hex");
}

/** The API keys in table `api_keys`. Every method rejects when the database does. */
export class KeyStore {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Makes a key. `secret` ("xr-" and 43 base64url characters, 256 random bits) exists only in this
   * answer: the database keeps its hash.
   *
   * @throws Error when `name` or `owner` is not 1 to 100 printable characters, or when `expiresAt`
   * is not a whole number of milliseconds in the future
   */
  async create(
    { name, owner, expiresAt }: { name: string; owner?: string; expiresAt?: number },
  ): Promise<{ key: ApiKey; secret: string }> {
    const createdAt = Date.now();
    checkLabel("name", name);
    if (owner !== undefined) checkLabel("owner", owner);
    if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && expiresAt > createdAt)) {
      throw new Error(
        `Key expiry must be a time in the future, in whole milliseconds since 1970, ` +
          `not ${expiresAt}`,
      );
    }

    const secret = `xr-${randomBytes(32).toString("base64url")}`;
    const key: ApiKey = {
      id: `key_${randomBytes(8).toString("hex")}`,
      name,
      owner: owner ?? null,
      createdAt,
      expiresAt: expiresAt ?? null,
      active: true,
      lastUsedAt: null,
    };
    await this.#client.execute({
      sql: `INSERT INTO api_keys (id, hash, name, owner, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?)`,
      args: [key.id, hashKey(secret), key.name, key.owner, key.createdAt, key.expiresAt],
    });
    return { key, secret };
  }

  /** The key with this {@link hashKey}, also when revoked or expired: the caller judges that. */
  async find(hash: string): Promise<ApiKey | undefined> {
    const { rows } = await this.#client.execute({
      sql: `SELECT ${columns} FROM api_keys WHERE hash = ?`,
      args: [hash],
    });
    return rows[0] && toApiKey(rows[0]);
  }

  /** Every key, the oldest first, revoked and expired ones included. */
  async list(): Promise<ApiKey[]> {
    const { rows } = await this.#client.execute(
      `SELECT ${columns} FROM api_keys ORDER BY created_at, id`,
    );
    return rows.map(toApiKey);
  }

  /**
   * Revokes the key with this id, else the only key with this name, and returns it. Revoking twice
   * is no error.
   *
   * @throws Error when no key fits, or when several keys share the name; it lists their ids
   */
  async revoke(idOrName: string): Promise<ApiKey> {
    const { rows } = await this.#client.execute({
      sql: `SELECT ${columns} FROM api_keys WHERE id = ?1 OR name = ?1 ORDER BY created_at, id`,
      args: [idOrName],
    });
    const keys = rows.map(toApiKey);
    const key = keys.find(({ id }) => id === idOrName) ?? keys[0];
    if (key === undefined) {
      throw new Error(`No key has the id or name "${idOrName}". List the keys to see them`);
    }
    if (key.id !== idOrName && keys.length > 1) {
      const ids = keys.map(({ id, active }) => active ? id : `${id} (revoked)`).join(", ");
      throw new Error(`${keys.length} keys are named "${idOrName}". Revoke by id: ${ids}`);
    }
    await this.#client.execute({
      sql: "UPDATE api_keys SET active = 0 WHERE id = ?",
      args: [key.id],
    });
    return { ...key, active: false };
  }

  /**
   * Records when keys were last used, id to time, in one statement for any number of them. Never
   * moves a time back, so late and repeated calls are harmless; unknown ids are ignored.
   */
  async touch(lastUsed: ReadonlyMap<string, number>): Promise<void> {
    if (lastUsed.size === 0) return;
    await this.#client.execute({
      sql: `UPDATE api_keys SET last_used_at = used.value FROM json_each(?) AS used
        WHERE api_keys.id = used.key AND (last_used_at IS NULL OR last_used_at < used.value)`,
      args: [JSON.stringify(Object.fromEntries(lastUsed))],
    });
  }

  /** Whether no key was ever made. Revoked keys count as made. */
  async isEmpty(): Promise<boolean> {
    const { rows } = await this.#client.execute("SELECT 1 FROM api_keys LIMIT 1");
    return rows.length === 0;
  }
}

function checkLabel(field: "name" | "owner", value: string): void {
  const length = [...value].length;
  // Half surrogates would come back from the database as other characters than were given.
  if (length > 100 || value.trim() === "" || /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(value)) {
    throw new Error(
      `Key ${field} must have 1 to 100 printable characters, not ${JSON.stringify(value)}`,
    );
  }
}

function toApiKey(row: Row): ApiKey {
  return {
    id: row.id as string,
    name: row.name as string,
    owner: row.owner as string | null,
    createdAt: row.created_at as number,
    expiresAt: row.expires_at as number | null,
    active: row.active === 1,
    lastUsedAt: row.last_used_at as number | null,
  };
}
