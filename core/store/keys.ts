import type { Client, Row } from "@libsql/client";
import { createHash, randomBytes } from "node:crypto";
import { retryWhileBusy } from "./database.ts";
import { type Limits, toLimits } from "../ledger/limits.ts";

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
  /** It reads everybody's usage, and calls no model. */
  admin: boolean;
  limits: Limits;
  /** Those that its owner's keys share; null without an owner. */
  ownerLimits: Limits | null;
}

const limitColumns = [
  "prepaid",
  "limit_amount",
  "requests_per_minute",
  "tokens_per_minute",
  "models",
  "hold_cap",
  "unsupported",
  "exact_count",
  "priority",
];

const selectKeys = `SELECT api_keys.*,
  ${limitColumns.map((name) => `own.${name}, shared.${name} AS owner_${name}`).join(", ")}
  FROM api_keys
  JOIN accounts AS own ON own.id = api_keys.id
  LEFT JOIN accounts AS shared ON shared.id = 'owner:' || owner`;

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
  async create({ name, owner, expiresAt, admin = false }: {
    name: string;
    owner?: string;
    expiresAt?: number;
    admin?: boolean;
  }): Promise<{ key: ApiKey; secret: string }> {
    const createdAt = Date.now();
    if (!isLabel(name)) throw new Error(`Key name ${labelRule}`);
    if (owner !== undefined && !isLabel(owner)) throw new Error(`Key owner ${labelRule}`);
    if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && expiresAt > createdAt)) {
      throw new Error(
        `Key expiry must be a time in the future, in whole milliseconds since 1970, ` +
          `not ${expiresAt}`,
      );
    }

    const secret = `xr-${randomBytes(32).toString("base64url")}`;
    const id = `key_${randomBytes(8).toString("hex")}`;
    const statements = [
      {
        sql: `INSERT INTO api_keys (id, hash, name, owner, created_at, expires_at, admin)
          VALUES (?, ?, ?, ?, ?, ?, ?)`,
        args: [id, hashKey(secret), name, owner ?? null, createdAt, expiresAt ?? null, admin],
      },
      { sql: `${selectKeys} WHERE api_keys.id = ?`, args: [id] },
    ];
    const [, read] = await retryWhileBusy(() => this.#client.batch(statements, "write"));
    return { key: toApiKey(read!.rows[0]!), secret };
  }

  /** The key with this {@link hashKey}, also when revoked or expired: the caller judges that. */
  async find(hash: string): Promise<ApiKey | undefined> {
    const { rows } = await this.#client.execute({
      sql: `${selectKeys} WHERE hash = ?`,
      args: [hash],
    });
    return rows[0] && toApiKey(rows[0]);
  }

  /** Every key, the oldest first, revoked and expired ones included. */
  async list(): Promise<ApiKey[]> {
    const { rows } = await this.#client.execute(
      `${selectKeys} ORDER BY created_at, api_keys.id`,
    );
    return rows.map(toApiKey);
  }

  /**
   * The key with this id, else the only key with this name; revoked and expired ones included.
   *
   * @throws Error when no key fits, or when several keys share the name; it lists their ids
   */
  async named(idOrName: string): Promise<ApiKey> {
    const { rows } = await this.#client.execute({
      sql: `${selectKeys} WHERE api_keys.id = ?1 OR name = ?1 ORDER BY created_at, api_keys.id`,
      args: [idOrName],
    });
    const keys = rows.map(toApiKey);
    const key = keys.find(({ id }) => id === idOrName) ?? keys[0];
    if (key === undefined) {
      throw new Error(`No key has the id or name "${idOrName}". List the keys to see them`);
    }
    if (key.id !== idOrName && keys.length > 1) {
      const ids = keys.map(({ id, active }) => active ? id : `${id} (revoked)`).join(", ");
      throw new Error(`${keys.length} keys are named "${idOrName}". Write the id: ${ids}`);
    }
    return key;
  }

  /**
   * Revokes the key that {@link named} finds, and returns it. Revoking twice is no error.
   *
   * @throws Error as {@link named} does
   */
  async revoke(idOrName: string): Promise<ApiKey> {
    const key = await this.named(idOrName);
    await retryWhileBusy(() =>
      this.#client.execute({
        sql: "UPDATE api_keys SET active = 0 WHERE id = ?",
        args: [key.id],
      })
    );
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

/** What a key's name and its owner's must be; see {@link isLabel}. */
export const labelRule = "must have 1 to 100 printable characters";

/** Whether a text may be the name of a key, or of its owner. */
export function isLabel(text: string): boolean {
  // Half surrogates would come back from the database as other characters than were given.
  return [...text].length <= 100 && text.trim() !== "" && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
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
    admin: row.admin === 1,
    limits: toLimits(row),
    ownerLimits: row.owner === null ? null : toLimits(row, "owner_"),
  };
}
