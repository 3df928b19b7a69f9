/**
 * How accounts stand, for `GET /v1/key`, `/v1/keys` and `/v1/credits`. Amounts leave in units of the
 * currency; null means that there is no such bound.
 *
 * @module
 */
import type { Account, AccountStore, AccountSums } from "../../core/ledger/accounts.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import type { Spent, UsageStore } from "../../core/report/usage_store.ts";
import { toUnits, unitsOrNull } from "../../core/ledger/money.ts";

type Host = { readonly usage: UsageStore; readonly accounts: AccountStore };

/** An account and what it was charged. */
interface Standing {
  readonly account: Account;
  readonly spent: Spent;
}

/** The accounts that a key spends from: its own, and its owner's. */
export interface Standings {
  readonly own: Standing;
  readonly shared: Standing | undefined;
}

/** Reads the accounts of some keys, in the same order. */
export async function readStandings(
  { usage, accounts }: Host,
  keys: readonly ApiKey[],
): Promise<Standings[]> {
  const shared = ({ owner }: ApiKey) => owner === null ? [] : [`owner:${owner}`];
  const ids = keys.flatMap((key) => [key.id, ...shared(key)]);
  const [found, spent] = await Promise.all([accounts.list(ids), usage.spent(ids)]);
  const standings = new Map(
    found.map((account) => [account.id, { account, spent: spent.get(account.id)! }]),
  );
  return keys.map((key) => ({
    own: standings.get(key.id)!,
    shared: shared(key).map((id) => standings.get(id)!)[0],
  }));
}

/** The answer of `GET /v1/key`. */
export function toKey(key: ApiKey, { own, shared }: Standings): Record<string, unknown> {
  const bounding = shared === undefined ? [own.account] : [own.account, shared.account];
  return {
    label: key.name,
    id: key.id,
    owner: key.owner,
    ...toAccount(own, bounding),
    expires_at: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    is_admin: key.admin,
    owner_account: shared === undefined ? null : toAccount(shared, [shared.account]),
  };
}

/** A key in the answer of `GET /v1/keys`. */
export function toListed(key: ApiKey, standings: Standings): Record<string, unknown> {
  const time = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();
  return {
    ...toKey(key, standings),
    disabled: !key.active,
    created_at: time(key.createdAt),
    last_used_at: time(key.lastUsedAt),
  };
}

/** The answer of `GET /v1/credits` about a key. */
export function toCredits({ own, shared }: Standings): Record<string, unknown> {
  return {
    ...creditsOf(sumsOf(own)),
    owner_account: shared === undefined ? null : creditsOf(sumsOf(shared)),
  };
}

/** The answer of `GET /v1/credits` about all keys, and all owners. */
export async function allCredits(accounts: AccountStore): Promise<Record<string, unknown>> {
  const [keys, owners] = await Promise.all([accounts.sums("keys"), accounts.sums("owners")]);
  return { ...creditsOf(keys), owner_account: creditsOf(owners) };
}

function toAccount({ account, spent }: Standing, bounding: readonly Account[]) {
  const { limit, renews, used, held, prepaid } = account;
  return {
    limit: limit && toUnits(limit.amount),
    limit_period: limit && limit.period,
    limit_renews: renews && `${renews}T00:00:00.000Z`,
    used: unitsOrNull(used),
    held: toUnits(held),
    left: unitsOrNull(leftOf(bounding)),
    usage: toUnits(spent.ever),
    usage_daily: toUnits(spent.today),
    usage_weekly: toUnits(spent.week),
    usage_monthly: toUnits(spent.month),
    prepaid,
    credit_left: unitsOrNull(creditLeft(account)),
    requests_per_minute: account.requestsPerMinute,
    tokens_per_minute: account.tokensPerMinute,
    parallel: account.parallel,
    models: account.models,
    hold_cap: unitsOrNull(account.holdCap),
    unsupported: account.unsupported,
    exact_count: account.exactCount,
    priority: account.priority,
  };
}

function sumsOf({ account, spent }: Standing): AccountSums {
  const { credited, ever: charged } = spent;
  return { credited, charged, held: account.held, left: creditLeft(account) };
}

function creditsOf({ credited, charged, held, left }: AccountSums) {
  return {
    total_credits: toUnits(credited),
    total_usage: toUnits(charged),
    held: toUnits(held),
    left: unitsOrNull(left),
  };
}

/** The least of what credit and limits leave. */
function leftOf(accounts: readonly Account[]): number | null {
  const left = accounts.flatMap((account) => [creditLeft(account), limitLeft(account)])
    .filter((each) => each !== null);
  return left.length === 0 ? null : Math.min(...left);
}

function creditLeft({ prepaid, balance, held }: Account): number | null {
  return prepaid ? balance - held : null;
}

function limitLeft({ limit, used, held }: Account): number | null {
  // A limit that was lowered may be below what is used already.
  return limit && Math.max(0, limit.amount - used! - held);
}
