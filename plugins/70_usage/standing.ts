/**
 * How an account stands, for `GET /v1/key` and `GET /v1/credits`. Amounts leave in units of the
 * currency; null means that there is no such bound.
 *
 * @module
 */
import { type Account, AccountStore } from "../../core/ledger/accounts.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import { type Spent, UsageStore } from "../../core/report/usage_store.ts";
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

/** Reads both accounts of a key. */
export async function readStandings({ usage, accounts }: Host, key: ApiKey): Promise<Standings> {
  const read = async (id: string) => {
    const [account, spent] = await Promise.all([accounts.read(id), usage.spent(id)]);
    return { account: account!, spent };
  };
  const [own, shared] = await Promise.all([
    read(key.id),
    key.owner === null ? undefined : read(`owner:${key.owner}`),
  ]);
  return { own, shared };
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

/** The answer of `GET /v1/credits`. */
export function toCredits({ own, shared }: Standings): Record<string, unknown> {
  return {
    ...creditsOf(own),
    owner_account: shared === undefined ? null : creditsOf(shared),
  };
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
    unsupported: account.unsupported,
    exact_count: account.exactCount,
    priority: account.priority,
  };
}

function creditsOf({ account, spent }: Standing) {
  return {
    total_credits: toUnits(spent.credited),
    total_usage: toUnits(spent.ever),
    held: toUnits(account.held),
    left: unitsOrNull(creditLeft(account)),
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
