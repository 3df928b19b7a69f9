/**
 * `xrouter keys`: makes, lists and revokes API keys in the database of `DATABASE_URL`.
 *
 * @module
 */
import type { Account } from "../ledger/accounts.ts";
import { type ApiKey, isLabel, labelRule } from "../store/keys.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import {
  accountCells,
  accountHead,
  accountToJson,
  limitsCell,
  readAmount,
  refuseSecret,
  shortTime,
  withKeys,
} from "./key_account.ts";
import { limitArguments, readLimits } from "./key_limits.ts";
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
    credit: { value: "AMOUNT", about: "Credit to spend; without it spending is only recorded" },
    ...limitArguments,
    admin: { about: "Make a key that reads everybody's usage and calls no model" },
    json: jsonSwitch,
  },
  async run({ name, owner, expires, credit, admin, json, ...flags }) {
    if (!isLabel(name)) throw new UsageError(`--name ${labelRule}`);
    if (owner !== undefined && !isLabel(owner)) throw new UsageError(`--owner ${labelRule}`);
    const expiresAt = expires === undefined ? undefined : readExpiry(expires, Date.now());
    const amount = credit === undefined ? undefined : readAmount("--credit", credit);
    if (amount !== undefined && amount <= 0) throw new UsageError("--credit must be above 0");
    const limits = readLimits(flags);
    if (admin && (amount !== undefined || Object.keys(limits).length > 0)) {
      throw new UsageError("An admin key calls no model: it takes neither credit nor limits");
    }
    const { key, secret, account, currency } = await withKeys(
      async ({ keys, accounts, currency }) => {
        const { key, secret } = await keys.create({
          name,
          admin,
          ...(owner !== undefined && { owner }),
          ...(expiresAt !== undefined && { expiresAt }),
        });
        if (amount !== undefined) await accounts.credit(key.id, amount, "credit");
        const account = await accounts.setLimits(key.id, limits);
        return { key, secret, account, currency };
      },
    );
    if (json) {
      const { active: _, lastUsedAt: __, ...made } = toJson(key);
      const shown = { ...made, account: accountToJson(account, currency), secret };
      console.log(JSON.stringify(shown, undefined, 2));
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
    const { keys, accounts, currency } = await withKeys(async ({ keys, accounts, currency }) => ({
      keys: await keys.list(),
      accounts: new Map((await accounts.list()).map((account) => [account.id, account])),
      currency,
    }));
    if (json) {
      const shown = keys.map((key) => ({
        ...toJson(key),
        account: accountToJson(accounts.get(key.id)!, currency),
        ownerAccount: key.owner === null
          ? null
          : accountToJson(accounts.get(`owner:${key.owner}`)!, currency),
      }));
      console.log(JSON.stringify(shown, undefined, 2));
    } else if (keys.length === 0) {
      console.error('There is no key yet. "xrouter keys create --name NAME" makes one');
    } else {
      const rows = keys.map((key) => toRow(key, accounts.get(key.id)!));
      console.log(formatTable(rows, headOf(currency)).join("\n"));
      const owners = ownerRows([...accounts.values()]);
      if (owners.length > 0) {
        const head = ["OWNER", ...accountHead(currency), "LIMITS"];
        console.log(`\n${formatTable(owners, head).join("\n")}`);
      }
    }
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
    refuseSecret(idOrName);
    const key = await withKeys(({ keys }) => keys.revoke(idOrName));
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

function toJson({ id, name, owner, createdAt, expiresAt, active, lastUsedAt, admin }: ApiKey) {
  const time = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();
  return {
    id,
    name,
    owner,
    createdAt: time(createdAt),
    expiresAt: time(expiresAt),
    active,
    lastUsedAt: time(lastUsedAt),
    admin,
  };
}

function headOf(currency: string): string[] {
  const times = ["CREATED (UTC)", "EXPIRES", "LAST USED"];
  return ["ID", "NAME", "OWNER", "STATE", ...accountHead(currency), ...times, "LIMITS"];
}

function toRow(key: ApiKey, account: Account): string[] {
  const { id, name, owner, active, admin, createdAt, expiresAt, lastUsedAt } = key;
  const expired = expiresAt !== null && expiresAt <= Date.now();
  const state = !active ? "revoked" : expired ? "expired" : admin ? "admin" : "active";
  const time = (ms: number | null) => ms === null ? "never" : shortTime(ms);
  const times = [shortTime(createdAt), time(expiresAt), time(lastUsedAt)];
  return [id, name, owner ?? "", state, ...accountCells(account), ...times, limitsCell(account)];
}

/** The owners whose keys share credit or limits. */
function ownerRows(accounts: readonly Account[]): string[][] {
  return accounts
    .map((account) => ({ account, limits: limitsCell(account) }))
    .filter(({ account: { id, prepaid }, limits }) =>
      id.startsWith("owner:") && (prepaid || limits !== "")
    )
    .map(({ account, limits }) => [
      account.id.slice("owner:".length),
      ...accountCells(account),
      limits,
    ]);
}
