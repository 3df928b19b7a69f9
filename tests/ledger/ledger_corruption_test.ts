import { assertEquals } from "@std/assert";
import { checkLedger, type Mismatch } from "../../core/ledger/ledger_check.ts";
import { withLedger } from "./ledger_place.ts";

/** What is written by hand, and all that the check must say of it. */
const corruptions: [what: string, sql: string, found: (keys: readonly string[]) => Mismatch[]][] = [
  [
    "a balance that no credit and no charge explains",
    "UPDATE accounts SET balance = balance + 1 WHERE id = ?3",
    ([, , key]) => [amount(`account ${key}`, "balance", -250, -249)],
  ],
  [
    "a hold that was never released",
    "UPDATE accounts SET held = held + 5 WHERE id = 'owner:Anna'",
    () => [amount("account owner:Anna", "held", 600, 605)],
  ],
  [
    "a hold that is not counted as running",
    "UPDATE accounts SET open = 0 WHERE id = ?2",
    ([, key]) => [count(`account ${key}`, "open", 1, 0)],
  ],
  [
    "a charge that the limits do not know",
    "DELETE FROM spending WHERE account_id = ?3",
    ([, , key]) => [amount(`account ${key}`, "spending", 250, 0)],
  ],
  [
    "a charge that was moved to a day before, where it limits nothing",
    `INSERT INTO accounts (id) VALUES ('key_y');
     INSERT INTO usage (request_id, created_at, key_id, stream, estimated, cost, charged, state,
       status, attempts, duration_ms, charged_on)
     VALUES ('r', 1792540800000, 'key_y', 0, 0, 70, 70, 'completed', 200, 1, 1, '2026-10-21');
     UPDATE spending SET day = '2026-10-20' WHERE account_id = 'key_y'`,
    () => [
      amount("account key_y on 2026-10-20", "spending", 0, 70),
      amount("account key_y on 2026-10-21", "spending", 70, 0),
    ],
  ],
  [
    "a try whose request is gone",
    `INSERT INTO usage (request_id, created_at, stream, estimated, state, status, attempts,
       duration_ms, try_of) VALUES ('r.1', 1, 0, 0, 'failed', 504, 1, 1, 'r')`,
    () => [count("request r", "request of its tries", 1, 0)],
  ],
  [
    "a try that was counted as a request",
    `INSERT INTO usage (request_id, created_at, stream, estimated, state, status, attempts,
       duration_ms) VALUES ('r', 1792540800000, 0, 0, 'failed', 504, 1, 1);
     INSERT INTO usage (request_id, created_at, stream, estimated, state, status, attempts,
       duration_ms, try_of) VALUES ('r.1', 1792540800000, 0, 0, 'failed', 504, 1, 1, 'r');
     UPDATE usage_daily SET requests = 2 WHERE day = '2026-10-21'`,
    () => day("totals of 2026-10-21, no key, no provider/no model", { requests: [1, 2] }),
  ],
  [
    "spending of nobody",
    "INSERT INTO spending VALUES ('key_nobody', '2026-11-01', 3)",
    () => [
      { ...amount("account key_nobody", "balance", 0, 0), found: null },
      amount("account key_nobody", "spending", 0, 3),
    ],
  ],
  [
    "a credit that changed its amount",
    `DROP TRIGGER credit_stays;
     UPDATE credits SET amount = amount - 1 WHERE account_id = ?1 AND reason = 'credit'`,
    ([key]) => [
      amount(`account ${key}`, "balance", 299, 300),
      // Anna's credit of 5,000 is spent but for what is held.
      amount(`account ${key}`, "prepaid balance, at least what is held", 300, 299),
    ],
  ],
  [
    "a request that disappeared",
    "DROP TRIGGER usage_is_kept; DELETE FROM usage WHERE key_id = ?2",
    ([, key]) => [
      amount(`account ${key}`, "balance", 0, -1_000),
      amount(`account ${key}`, "spending", 0, 1_000),
      amount("account owner:Anna", "balance", 4_300, 3_300),
      amount("account owner:Anna", "spending", 5_400, 6_400),
      ...day(`totals of ${today()}, ${key}, echo/echo, tag t`, {
        requests: [0, 1],
        input_tokens: [0, 10],
        output_tokens: [0, 5],
        cost: [0, 1_000],
        charged: [0, 1_000],
      }),
    ],
  ],
  [
    "a request that was charged to the key but not to its owner",
    `UPDATE accounts SET balance = balance + 1000 WHERE id = 'owner:Anna';
     UPDATE spending SET charged = charged - 1000 WHERE account_id = 'owner:Anna'`,
    () => [
      amount("account owner:Anna", "balance", 3_300, 4_300),
      amount("account owner:Anna", "spending", 6_400, 5_400),
    ],
  ],
  [
    "totals of a day that are too low",
    "UPDATE usage_daily SET input_tokens = 1, failed = 0 WHERE key_id = ?3",
    ([, , key]) =>
      day(`totals of ${today()}, ${key}, echo/echo`, { failed: [1, 0], input_tokens: [20, 1] }),
  ],
  [
    "totals of a day that are missing",
    "DELETE FROM usage_daily WHERE key_id = ?3",
    ([, , key]) =>
      day(`totals of ${today()}, ${key}, echo/echo`, {
        requests: [2, null],
        failed: [1, null],
        unpriced: [1, null],
        input_tokens: [20, null],
        output_tokens: [10, null],
        cost: [250, null],
        charged: [250, null],
      }),
  ],
  [
    "totals of requests that there were not",
    "INSERT INTO usage_daily VALUES ('2026-01-02', '', '', '', '', 0, 0, 0, 0, 0, 0, 9, 0)",
    () => day("totals of 2026-01-02, no key, no provider/no model", { cost: [0, 9] }),
  ],
  [
    "a request on another day than its totals",
    `UPDATE usage_daily SET day = '2026-11-01' WHERE key_id = ?1 AND day = '2026-10-31'`,
    ([key]) => [
      ...day(`totals of 2026-10-31, ${key}, echo/echo`, {
        requests: [2, null],
        input_tokens: [20, null],
        output_tokens: [10, null],
        cost: [7_700, null],
        charged: [4_400, null],
      }),
      ...day(`totals of 2026-11-01, ${key}, echo/echo`, {
        requests: [0, 2],
        input_tokens: [0, 20],
        output_tokens: [0, 10],
        cost: [0, 7_700],
        charged: [0, 4_400],
      }),
    ],
  ],
  [
    "a hold of a request that is over",
    `INSERT INTO holds (request_id, key_id, amount, opened_at, expires_at, provider, model, stream,
       input_tokens, currency)
     SELECT request_id, key_id, 7, 0, 0, 'echo', 'echo', 0, 1, 'RUB' FROM usage
       WHERE key_id = ?3 AND cost = 250`,
    () => [amount("request ?", "held after its end", 0, 7)],
  ],
  [
    "a charge above the cost",
    `PRAGMA ignore_check_constraints = 1;
     DROP TRIGGER usage_stays;
     UPDATE usage SET cost = 249 WHERE key_id = ?3 AND cost = 250;
     UPDATE usage_daily SET cost = 249 WHERE key_id = ?3`,
    () => [
      amount("request ?", "cost, by its tokens and price", 250, 249),
      amount("request ?", "charged, from 0 to its cost", 249, 250),
    ],
  ],
  [
    "an answer that nobody was charged for",
    `INSERT INTO accounts (id) VALUES ('key_y'), ('owner:Yuri');
     INSERT INTO usage (request_id, created_at, key_id, owner, stream, estimated, cost, charged,
       state, status, attempts, duration_ms)
     VALUES ('r', 1792540800000, 'key_y', 'Yuri', 0, 0, 70, 0, 'completed', 200, 1, 1)`,
    () => [amount("request r", undercharged, 70, 0)],
  ],
  [
    "nothing in a request that its provider did not answer",
    `INSERT INTO usage (request_id, created_at, stream, estimated, cost, charged, state, status,
       attempts, duration_ms, unanswered)
     VALUES ('r', 1792540800000, 0, 0, 70, 0, 'failed', 504, 1, 1, 1)`,
    () => [],
  ],
  [
    "a charge in another currency",
    `INSERT INTO ledger VALUES (1, 'RUB');
     INSERT INTO usage (request_id, created_at, stream, estimated, cost, charged, currency, state,
       status, attempts, duration_ms)
     VALUES ('r', 1792540800000, 0, 0, 70, 70, 'USD', 'completed', 200, 1, 1)`,
    () => [amount("request r", "charged in USD, as the accounts are in RUB", 0, 70)],
  ],
  [
    "an account with credit that may owe",
    "DROP TRIGGER prepaid_stays; UPDATE accounts SET prepaid = 0 WHERE id = 'owner:Anna'",
    () => [count("account owner:Anna", "prepaid, as it has credit", 1, 0)],
  ],
  [
    "a cost that its tokens and price do not explain",
    `DROP TRIGGER usage_stays;
     UPDATE usage SET price_input = 100000 WHERE key_id = ?3 AND cost = 250`,
    () => [amount("request ?", "cost, by its tokens and price", 251, 250)],
  ],
  [
    "a cost that is missing",
    `DROP TRIGGER usage_stays;
     UPDATE usage SET price_input = 0, price_output = 7, price_cached = 0
       WHERE key_id = ?3 AND cost IS NULL`,
    () => [{ ...amount("request ?", "cost, by its tokens and price", 0, 0), found: null }],
  ],
  [
    "a state that there is not",
    `PRAGMA ignore_check_constraints = 1;
     DROP TRIGGER usage_stays;
     UPDATE usage SET state = 'done' WHERE state = 'aborted'`,
    () => [count('state "done"', "requests", 0, 1)],
  ],
  [
    "a hold without an account",
    `DROP TRIGGER hold_must_fit;
     INSERT INTO holds (request_id, key_id, amount, opened_at, expires_at, provider, model, stream,
       input_tokens, currency) VALUES ('h', 'key_gone', 7, 0, 0, 'echo', 'echo', 0, 1, 'RUB')`,
    () => [
      { ...amount("account key_gone", "balance", 0, 0), found: null },
      { ...amount("account key_gone", "held", 7, 0), found: null },
      { ...count("account key_gone", "open", 1, 0), found: null },
    ],
  ],
  [
    "a credit whose account is gone",
    `INSERT INTO credits VALUES ('c', 'key_gone', 0, 9, 'gift')`,
    () => [{ ...amount("account key_gone", "balance", 9, 0), found: null }],
  ],
  [
    "a prepaid account that owes",
    `PRAGMA ignore_check_constraints = 1;
     UPDATE accounts SET prepaid = 1 WHERE id = ?3`,
    ([, , key]) => [amount(`account ${key}`, "prepaid balance, at least what is held", 40, -250)],
  ],
  [
    "an account that is missing",
    "DELETE FROM accounts WHERE id = ?2",
    ([, key]) => [
      { ...amount(`account ${key}`, "balance", -1_000, 0), found: null },
      { ...amount(`account ${key}`, "held", 300, 0), found: null },
      { ...count(`account ${key}`, "open", 1, 0), found: null },
    ],
  ],
  [
    "an owner without an account",
    `DROP TRIGGER key_opens_accounts;
     INSERT INTO api_keys (id, hash, name, owner, created_at) VALUES ('key_x', 'x', 'x', 'Zoe', 0);
     INSERT INTO accounts (id) VALUES ('key_x')`,
    () => [{ ...amount("account owner:Zoe", "balance", 0, 0), found: null }],
  ],
];

const undercharged = "charged, its cost: it was answered, and no account is prepaid";

function amount(subject: string, what: string, expected: number, found: number): Mismatch {
  return { subject, what, expected, found, isAmount: true };
}

function count(subject: string, what: string, expected: number, found: number): Mismatch {
  return { subject, what, expected, found, isAmount: false };
}

function day(subject: string, wrong: Record<string, [number, number | null]>): Mismatch[] {
  return Object.entries(wrong).map(([what, [expected, found]]) => ({
    subject,
    what,
    expected,
    found,
    isAmount: what === "cost" || what === "charged",
  }));
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

for (const [what, sql, found] of corruptions) {
  Deno.test(`checkLedger finds ${what}`, () =>
    withLedger(async ({ client, keys }) => {
      const written = sql.replaceAll(/\?(\d)/g, (_, n) => `'${keys[n - 1]}'`);
      await client.executeMultiple(`PRAGMA foreign_keys = 0; ${written}`);
      const mismatches = (await checkLedger(client)).mismatches.map((each) => ({
        ...each,
        // The ids of requests are random.
        subject: each.subject.replace(/^request [0-9a-f-]{36}$/, "request ?"),
      }));
      assertEquals(byText(mismatches), byText(found(keys)));
    }));
}

/** Keys are random, so the order of accounts is. */
function byText(mismatches: readonly Mismatch[]): string[] {
  return mismatches.map((each) => JSON.stringify(each)).sort();
}
