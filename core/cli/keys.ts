/**
 * `xrouter keys`: makes, lists and revokes API keys in the database of `DATABASE_URL`.
 *
 * @module
 */
import { readConfig, readEnvironment } from "../config.ts";
import { migrationsFolder } from "../program.ts";
import { openDatabase } from "../store/database.ts";
import { type ApiKey, KeyStore } from "../store/keys.ts";
import { migrate } from "../store/migrate.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import { formatTable } from "./terminal.ts";

const hour = 3_600_000;
const unitMs: Readonly<Record<string, number>> = { h: hour, d: 24 * hour, w: 7 * 24 * hour };

/** `xrouter keys create`. */
export const createKey = defineCommand({
  name: "keys create",
  about: "Make an API key and print it once",
  arguments: {
    name: { value: "NAME", required: true, about: "What the key is called" },
    owner: { value: "OWNER", about: "Whom it belongs to" },
    expires: { value: "WHEN", about: "Its end: 2027-01-31 (0:00 UTC), or from now 12h, 30d or 8w" },
    json: jsonSwitch,
  },
  async run({ name, owner, expires, json }) {
    const expiresAt = expires === undefined ? undefined : readExpiry(expires, Date.now());
    const { key, secret } = await withKeys((keys) =>
      keys.create({
        name,
        ...(owner !== undefined && { owner }),
        ...(expiresAt !== undefined && { expiresAt }),
      })
    );
    if (json) {
      const { active: _, lastUsedAt: __, ...made } = toJson(key);
      console.log(JSON.stringify({ ...made, secret }, undefined, 2));
    } else {
      const end = key.expiresAt === null
        ? "does not expire"
        : `expires ${shortTime(key.expiresAt)}`;
      console.log(`Key "${key.name}" (${key.id}) ${end}. Here it is; it is shown only now:`);
      console.log(`\n  ${secret}\n`);
    }
    return 0;
  },
});

/** `xrouter keys list`. */
export const listKeys = defineCommand({
  name: "keys list",
  about: "List the API keys, revoked ones too",
  arguments: { json: jsonSwitch },
  async run({ json }) {
    const keys = await withKeys((store) => store.list());
    if (json) console.log(JSON.stringify(keys.map(toJson), undefined, 2));
    else if (keys.length === 0) {
      console.error('There is no key yet. "xrouter keys create --name NAME" makes one');
    } else console.log(formatTable(keys.map(toRow), head).join("\n"));
    return 0;
  },
});

/** `xrouter keys revoke`. */
export const revokeKey = defineCommand({
  name: "keys revoke",
  about: "Revoke an API key; within two seconds no server takes it any more",
  arguments: {
    key: { value: "ID-OR-NAME", bare: true, required: true, about: "As keys list shows it" },
    json: jsonSwitch,
  },
  async run({ key: idOrName, json }) {
    if (idOrName.startsWith("xr-")) {
      throw new UsageError("This is the key itself. Write its id or its name");
    }
    const key = await withKeys((keys) => keys.revoke(idOrName));
    if (json) console.log(JSON.stringify(toJson(key), undefined, 2));
    else console.log(`Key "${key.name}" (${key.id}) is revoked`);
    return 0;
  },
});

/**
 * The moment at which a key ends.
 *
 * @param text A date, `2027-01-31`, which means its beginning in UTC; or hours, days or weeks from
 * now: `12h`, `30d`, `8w`.
 * @param now Milliseconds since 1970.
 * @returns Milliseconds since 1970.
 * @throws {UsageError} when it is neither, or is not in the future.
 */
export function readExpiry(text: string, now: number): number {
  const [, count, unit] = /^(\d+)([hdw])$/.exec(text) ?? [];
  const end = count === undefined ? Date.parse(`${text}T00:00:00Z`) : now + +count * unitMs[unit!]!;
  const date = new Date(end);
  // Dates that do not exist, such as February 31st, are read as later ones.
  const exists = date.getUTCFullYear() < 10_000 &&
    (count !== undefined || date.toISOString().startsWith(`${text}T`));
  if (!exists) {
    throw new UsageError(
      `--expires must be a date such as 2027-01-31, or 12h, 30d or 8w, not "${text}"`,
    );
  }
  if (end <= now) throw new UsageError(`--expires must be in the future, not "${text}"`);
  return end;
}

/** Opens the database, migrates it, and closes it when done. */
async function withKeys<Result>(action: (keys: KeyStore) => Promise<Result>): Promise<Result> {
  const { databaseUrl, databaseAuthToken } = (await readConfig(readEnvironment())).settings;
  const database = await openDatabase({
    url: databaseUrl,
    ...(databaseAuthToken !== undefined && { authToken: databaseAuthToken }),
  });
  try {
    await migrate(database, migrationsFolder);
    return await action(new KeyStore(database));
  } finally {
    database.close();
  }
}

function toJson({ id, name, owner, createdAt, expiresAt, active, lastUsedAt }: ApiKey) {
  const time = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();
  return {
    id,
    name,
    owner,
    createdAt: time(createdAt),
    expiresAt: time(expiresAt),
    active,
    lastUsedAt: time(lastUsedAt),
  };
}

const head = ["ID", "NAME", "OWNER", "STATE", "CREATED (UTC)", "EXPIRES", "LAST USED"];

function toRow({ id, name, owner, active, createdAt, expiresAt, lastUsedAt }: ApiKey): string[] {
  const expired = expiresAt !== null && expiresAt <= Date.now();
  const state = !active ? "revoked" : expired ? "expired" : "active";
  const time = (ms: number | null) => ms === null ? "never" : shortTime(ms);
  return [id, name, owner ?? "", state, shortTime(createdAt), time(expiresAt), time(lastUsedAt)];
}

function shortTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}
