/**
 * Why a hold does not fit, told to the client.
 *
 * @module
 */
import type { Client, Row } from "@libsql/client";
import { type ErrorMetadata, RouterError } from "../errors.ts";
import type { ApiKey } from "../store/keys.ts";
import { formatAmount, toUnits } from "./money.ts";
import type { Hold } from "./hold_writer.ts";

/** What an account says about a hold. */
export interface Room {
  /** Whose account it is. */
  readonly scope: ErrorMetadata["scope"];
  /** The key's name or the owner's, for people. */
  readonly who: string;
  /** It spends only credit. */
  readonly prepaid: boolean;
  readonly balance: number;
  readonly held: number;
  readonly open: number;
  readonly parallel: number | null;
  /** The limit that renews, where there is one. */
  readonly limit: { amount: number; period: string; used: number; renewsAt: number } | undefined;
}

/**
 * Reads what the accounts of a hold leave room for beside what it holds already, the key first.
 * Rejects when the database does.
 */
export async function readRooms(
  database: Client,
  { requestId, keyId, owner }: Pick<Hold, "requestId" | "keyId" | "owner">,
): Promise<Room[]> {
  const { rows } = await database.execute({
    sql: `SELECT account_room.*, name, unixepoch(renews) * 1000 AS renews_at,
        (SELECT amount FROM holds WHERE request_id = ?) AS own
      FROM account_room LEFT JOIN api_keys USING (id)
      WHERE account_room.id IN (?, 'owner:' || ?) ORDER BY name IS NULL`,
    args: [requestId, keyId, owner],
  });
  return rows.map(toRoom);
}

function toRoom(row: Row): Room {
  const amount = row.limit_amount as number | null;
  const own = row.own as number | null;
  return {
    scope: row.name === null ? "owner" : "key",
    who: row.name === null
      ? `Owner "${String(row.id).slice("owner:".length)}"`
      : `Key "${row.name}"`,
    prepaid: row.prepaid === 1,
    balance: row.balance as number,
    held: row.held as number - (own ?? 0),
    open: row.open as number,
    // What holds already runs, and is no further one.
    parallel: own === null ? row.parallel as number | null : null,
    limit: amount === null ? undefined : {
      amount,
      period: row.limit_period as string,
      used: row.used as number,
      renewsAt: row.renews_at as number,
    },
  };
}

/** The most that may still be held, in millionths; `Infinity` where nothing bounds it. */
export function leastRoom(rooms: readonly Room[]): number {
  return Math.min(
    ...rooms.map(({ prepaid, balance, held, limit }) =>
      Math.min(
        prepaid ? balance - held : Infinity,
        limit === undefined ? Infinity : limit.amount - limit.used - held,
      )
    ),
  );
}

/**
 * The refusal: which limit, what is used, what is held and when it renews; `undefined` where the hold
 * fits.
 *
 * @param amount What the request may cost, in millionths.
 * @param currency ISO 4217 code of the accounts.
 * @param now Milliseconds since 1970.
 */
export function refusalOf(
  rooms: readonly Room[],
  { amount, price, provider, model }: Pick<Hold, "amount" | "price" | "provider" | "model">,
  currency: string,
  now: number,
): RouterError | undefined {
  const money = (millionths: number) => formatAmount(millionths, currency);
  for (const { scope, who, prepaid, balance, held, open, parallel, limit } of rooms) {
    if (parallel !== null && open >= parallel) {
      return new RouterError(
        "rate_limited",
        `${who} has ${open} requests under way and may have ${parallel} at a time. ` +
          "Send this one again when another has ended",
        { retryAfterMs: 1_000, metadata: { scope, limit: parallel, used: open, left: 0 } },
      );
    }
    if ((prepaid || limit !== undefined) && price === undefined) {
      return new RouterError(
        "insufficient_credits",
        `"${provider}/${model}" has no price in ${currency}, so it cannot be paid from credit or ` +
          "within a limit. Choose a model with a price, or let the operator set one",
        { param: "model", metadata: { scope, currency } },
      );
    }
    const numbers = { held: toUnits(held), needed: toUnits(amount), currency };
    if (prepaid && balance - held < amount) {
      return new RouterError(
        "insufficient_credits",
        `${who} has ${money(balance)} of credit, ${money(held)} of it held for requests under ` +
          `way; this request may cost ${
            money(amount)
          }. Add credit, or ask for fewer tokens with "max_tokens"`,
        { metadata: { scope, ...numbers, left: toUnits(balance - held) } },
      );
    }
    if (limit !== undefined && limit.used + held + amount > limit.amount) {
      const renewsAt = new Date(limit.renewsAt).toISOString();
      return new RouterError(
        "insufficient_credits",
        `${who} may spend ${money(limit.amount)} a ${limit.period} and has used ` +
          `${money(limit.used)}; ${money(held)} is held for requests under way, and this request ` +
          `may cost ${money(amount)}. The limit renews at ${renewsAt}`,
        {
          retryAfterMs: Math.max(0, limit.renewsAt - now),
          metadata: {
            scope,
            ...numbers,
            limit: toUnits(limit.amount),
            used: toUnits(limit.used),
            left: toUnits(Math.max(0, limit.amount - limit.used - held)),
            renews_at: renewsAt,
          },
        },
      );
    }
  }
  return undefined;
}

/** The most that one request may cost. */
export interface Cap {
  /** Whose limit it is. */
  readonly scope: ErrorMetadata["scope"];
  /** Millionths of the accounting currency. */
  readonly amount: number;
}

/** The least of what a key and its owner let be held for one request. */
export function capOf(caller: ApiKey | undefined): Cap | undefined {
  const caps: Cap[] = [];
  if (caller?.limits.holdCap != null) caps.push({ scope: "key", amount: caller.limits.holdCap });
  const shared = caller?.ownerLimits?.holdCap;
  if (shared != null) caps.push({ scope: "owner", amount: shared });
  return caps.sort((a, b) => a.amount - b.amount)[0];
}

/**
 * The refusal of a request that may cost more than its key's or owner's cap.
 *
 * @param amount What the request may cost, in millionths.
 * @param currency ISO 4217 code of the accounts.
 */
export function overCap(cap: Cap, amount: number, currency: string): RouterError {
  return new RouterError(
    "insufficient_credits",
    `A request of this key may cost ${formatAmount(cap.amount, currency)}; this one may cost ` +
      `${formatAmount(amount, currency)}. Ask for fewer tokens with "max_tokens"`,
    {
      metadata: {
        scope: cap.scope,
        limit: toUnits(cap.amount),
        needed: toUnits(amount),
        currency,
      },
    },
  );
}
