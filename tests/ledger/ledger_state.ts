/**
 * What a database says of a ledger, beside what the model says of it.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import type { Entry } from "../../core/ledger/entry.ts";
import type { Hold } from "../../core/ledger/hold_writer.ts";
import type { Price } from "../../core/prices/price.ts";
import type { LedgerModel, ModelAccount, ModelRefusal } from "./ledger_model.ts";

/** Millionths. */
export const pricePerToken = 3;

/** The price of every model. */
export const price: Price = { currency: "RUB", input: pricePerToken, output: pricePerToken };

/** The end of an exchange that cost so much; `null`: nothing is known of what it used. */
export function entryOf(hold: Hold, cost: number | null): Entry {
  const { requestId, openedAt, keyId, owner, modelAsked, stream, inputTokens, provider, model } =
    hold;
  const target = { provider, model, facts: {} };
  const usage = { input: inputTokens, output: 1, cached: 0, estimated: false };
  // The tokens are the hold's, so the price is what makes them cost this.
  const paid = hold.price && { ...hold.price, input: 0, output: cost ?? 0 };
  return {
    requestId,
    createdAt: openedAt,
    keyId: keyId ?? undefined,
    owner: owner ?? undefined,
    tag: undefined,
    modelAsked,
    stream,
    countedTokens: inputTokens,
    attempts: 1,
    price: paid,
    cost: cost ?? undefined,
    outcome: {
      state: "completed",
      status: 200,
      target,
      ...(cost !== null && { usage }),
      durationMs: 1,
    },
  };
}

/** The rows of one schedule. */
export interface LedgerState {
  readonly accounts: readonly unknown[];
  readonly holds: readonly unknown[];
  readonly usage: readonly unknown[];
}

const requests = "WHERE request_id > ?2 || ':' AND request_id < ?2 || ';' ORDER BY request_id";

/** One statement, since most of a small statement's time is its preparation. */
const stateSql = `SELECT
  (SELECT json_group_array(json_object(
      'prepaid', prepaid, 'balance', balance, 'held', held, 'open', open,
      'used', (SELECT coalesce(sum(charged), 0) FROM spending WHERE account_id = accounts.id),
      'credited', (SELECT coalesce(sum(amount), 0) FROM credits WHERE account_id = accounts.id)
    )) FROM json_each(?1) AS wanted CROSS JOIN accounts ON accounts.id = wanted.value
  ) AS accounts,
  (SELECT json_group_array(json_object(
      'id', request_id, 'amount', amount, 'outputTokens', output_tokens
    )) FROM (SELECT * FROM holds ${requests})
  ) AS holds,
  (SELECT json_group_array(json_object(
      'id', request_id, 'state', state, 'cost', cost, 'charged', charged
    )) FROM (SELECT * FROM usage ${requests})
  ) AS usage`;

/** Reads one moment of some accounts and of all requests whose ids begin with `prefix:`. */
export async function readState(
  database: Client,
  accountIds: readonly string[],
  prefix: string,
): Promise<LedgerState> {
  const { rows } = await database.execute({
    sql: stateSql,
    args: [JSON.stringify(accountIds), prefix],
  });
  const { accounts, holds, usage } = rows[0]!;
  return {
    accounts: JSON.parse(accounts as string),
    holds: JSON.parse(holds as string),
    usage: JSON.parse(usage as string),
  };
}

/** Asserts that the database is in the model's state, and that this state keeps the rules. */
export function assertSameState(
  state: LedgerState,
  model: LedgerModel,
  accounts: readonly ModelAccount[],
): void {
  const expected: LedgerState = {
    accounts: accounts.map((account) => ({
      prepaid: account.prepaid ? 1 : 0,
      balance: account.balance,
      held: model.heldBy(account),
      open: model.openOf(account),
      used: account.used,
      credited: account.credited,
    })),
    holds: [...model.holds.values()].sort(byId)
      .map(({ id, amount, outputTokens }) => ({ id, amount, outputTokens })),
    usage: [...model.usage].map(([id, entry]) => ({ id, ...entry })).sort(byId),
  };
  // The comparison that explains itself is slow.
  if (JSON.stringify(state) !== JSON.stringify(expected)) assertEquals(state, expected);
  for (const account of accounts) {
    const { prepaid, balance, credited, used } = account;
    assert(!prepaid || balance >= model.heldBy(account), "more is held than there is");
    assertEquals(balance, credited - used, "credits are neither charged nor left");
  }
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** Asserts that a ledger refused as the model does, in words that name who and why. */
export function assertRefusal(error: unknown, refusal: ModelRefusal | undefined): void {
  if (refusal === undefined) return assertEquals(error, undefined);
  assert(error instanceof RouterError, `not refused: ${JSON.stringify(refusal)}; ${error}`);
  const { who, why } = refusal;
  const words = {
    parallel: `${who} has `,
    price: '" has no price',
    credit: `${who} has `,
    limit: `${who} may spend`,
  };
  assertStringIncludes(error.message, words[why]);
  assertEquals(error.code, why === "parallel" ? "rate_limited" : "insufficient_credits");
}
