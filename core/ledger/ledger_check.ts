import type { Client, ResultSet, Row } from "@libsql/client";
import { costSql } from "../prices/price.ts";

/** A number that the rows do not bear out. */
export interface Mismatch {
  /** Whose: `account key_…`, `request …`, `trigger …`, or a day's totals. */
  readonly subject: string;
  /** What it is called, mostly its column. */
  readonly what: string;
  /** What the rows add up to. */
  readonly expected: number;
  /** What is written; null: nothing is. */
  readonly found: number | null;
  /** They are millionths of the accounting currency; otherwise they count something. */
  readonly isAmount: boolean;
}

/** What was looked at and what is wrong with it. */
export interface LedgerCheck {
  readonly accounts: number;
  readonly credits: number;
  readonly holds: number;
  /** Rows of usage, but for those of tries. */
  readonly requests: number;
  /** Rows of tries beside those whose answers were used. */
  readonly tries: number;
  readonly mismatches: readonly Mismatch[];
}

/** What the rows say of each account that exists or should exist, beside what is written there. */
const accountsSql = `
  WITH entries AS (
    SELECT id, 0 AS credited, 0 AS charged, 0 AS held, 0 AS open FROM api_keys
    UNION ALL SELECT 'owner:' || owner, 0, 0, 0, 0 FROM api_keys WHERE owner IS NOT NULL
    UNION ALL SELECT account_id, amount, 0, 0, 0 FROM credits
    UNION ALL SELECT key_id, 0, sum(charged), 0, 0 FROM usage NOT INDEXED
      WHERE key_id IS NOT NULL GROUP BY key_id
    UNION ALL SELECT 'owner:' || owner, 0, sum(charged), 0, 0 FROM usage
      WHERE owner IS NOT NULL GROUP BY owner
    UNION ALL SELECT key_id, 0, 0, amount, 1 FROM holds WHERE key_id IS NOT NULL
    UNION ALL SELECT 'owner:' || owner, 0, 0, amount, 1 FROM holds WHERE owner IS NOT NULL
  ), expected AS (
    SELECT id, sum(credited) - sum(charged) AS balance, sum(held) AS held, sum(open) AS open,
      sum(charged) AS charged
    FROM entries GROUP BY id
  ), spent AS (
    SELECT account_id, sum(charged) AS charged FROM spending GROUP BY account_id
  )
  SELECT
    coalesce(expected.id, accounts.id, account_id) AS id,
    coalesce(prepaid, 0) AS prepaid,
    prepaid = 0 AND accounts.id IN (SELECT account_id FROM credits) AS unbound,
    coalesce(expected.balance, 0) AS balance, accounts.balance AS found_balance,
    coalesce(expected.held, 0) AS held, accounts.held AS found_held,
    coalesce(expected.open, 0) AS open, accounts.open AS found_open,
    coalesce(expected.charged, 0) AS spending, coalesce(spent.charged, 0) AS found_spending
  FROM expected
  FULL JOIN accounts ON accounts.id = expected.id
  FULL JOIN spent ON account_id = coalesce(expected.id, accounts.id)
  ORDER BY 1`;

const dailySums: Readonly<Record<string, string>> = {
  requests: "sum(try_of IS NULL)",
  failed: "sum(try_of IS NULL AND state <> 'completed')",
  unpriced: "sum(input_tokens IS NOT NULL AND output_tokens IS NOT NULL AND cost IS NULL)",
  input_tokens: "sum(coalesce(input_tokens, 0))",
  output_tokens: "sum(coalesce(output_tokens, 0))",
  cached_tokens: "sum(coalesce(cached_tokens, 0))",
  cost: "sum(coalesce(cost, 0))",
  charged: "sum(charged)",
};
const dailyNames = Object.keys(dailySums);
const list = (spell: (name: string) => string) => dailyNames.map(spell).join(", ");

/** The days' totals that differ from the sums of their requests. */
const dailySql = `
  WITH expected AS (
    SELECT coalesce(key_id, '') AS key_id, date(created_at / 1000, 'unixepoch') AS day,
      coalesce(provider, '') AS provider, coalesce(model, '') AS model, coalesce(tag, '') AS tag,
      ${list((name) => `${dailySums[name]} AS ${name}`)}
    FROM usage GROUP BY 1, 2, 3, 4, 5
  )
  SELECT key_id, day, provider, model, tag,
    ${list((name) => `coalesce(expected.${name}, 0) AS ${name}`)},
    ${list((name) => `found.${name} AS found_${name}`)}
  FROM expected FULL JOIN usage_daily AS found USING (key_id, day, provider, model, tag)
  WHERE (${list((name) => `expected.${name}`)}) IS NOT (${list((name) => `found.${name}`)})
  ORDER BY day, key_id, provider, model, tag`;

/**
 * Cost follows from tokens and price wherever a row has both, in the accounts' currency; and less than
 * it is charged only where nobody answered or where a prepaid balance may have ended.
 */
const costsSql = `
  SELECT request_id, cost, charged, computed, currency, kept,
    charged NOT BETWEEN 0 AND coalesce(cost, 0) AS overcharged,
    charged < cost AND unanswered = 0 AND NOT EXISTS (
      SELECT 1 FROM accounts WHERE prepaid = 1 AND id IN (key_id, 'owner:' || owner)
    ) AS undercharged,
    charged > 0 AND currency <> kept AS is_foreign
  FROM (
    SELECT *, ${costSql("coalesce(cached_tokens, 0)")} AS computed,
      (SELECT currency FROM ledger) AS kept
    FROM usage
  )
  WHERE overcharged OR undercharged OR is_foreign
    OR (computed IS NOT NULL AND cost IS NOT computed)
  ORDER BY request_id`;

const statesSql = `SELECT state, count(*) AS requests FROM usage WHERE state NOT IN
  ('completed', 'refused', 'failed', 'aborted', 'interrupted') GROUP BY state ORDER BY state`;

const settledHoldsSql = `SELECT request_id, amount FROM holds
  WHERE request_id IN (SELECT request_id FROM usage) ORDER BY request_id`;

/** Tries without the request that they belong to, settled or under way. */
const lostRequestsSql = `SELECT DISTINCT try_of FROM usage WHERE try_of IS NOT NULL
  AND try_of NOT IN (SELECT request_id FROM usage)
  AND try_of NOT IN (SELECT request_id FROM holds) ORDER BY try_of`;

/**
 * The days on which an account's charges are not what its requests say. Where some do not say on
 * which day they were charged, as older ones do not, a day may have more.
 */
const spendingSql = `
  WITH charges AS (
    SELECT key_id AS account_id, charged_on AS day, sum(charged) AS charged FROM usage NOT INDEXED
      WHERE charged > 0 AND key_id IS NOT NULL GROUP BY 1, 2
    UNION ALL SELECT 'owner:' || owner, charged_on, sum(charged) FROM usage
      WHERE charged > 0 AND owner IS NOT NULL GROUP BY 1, 2
  )
  SELECT account_id, day, coalesce(charges.charged, 0) AS spending,
    coalesce(spending.charged, 0) AS found_spending
  FROM (SELECT * FROM charges WHERE day IS NOT NULL) AS charges
  FULL JOIN spending USING (account_id, day)
  WHERE coalesce(spending.charged, 0) < coalesce(charges.charged, 0)
    OR coalesce(spending.charged, 0) > coalesce(charges.charged, 0)
      AND account_id IN (SELECT account_id FROM charges WHERE day IS NOT NULL)
      AND account_id NOT IN (SELECT account_id FROM charges WHERE day IS NULL)
  ORDER BY account_id, day`;

const sizesSql = `SELECT
  (SELECT count(*) FROM accounts) AS accounts,
  (SELECT count(*) FROM credits) AS credits,
  (SELECT count(*) FROM holds) AS holds,
  (SELECT count(*) FROM usage WHERE try_of IS NULL) AS requests,
  (SELECT count(*) FROM usage WHERE try_of IS NOT NULL) AS tries`;

/**
 * Proves the ledger from its rows alone: every number that the database keeps beside them, such as
 * a balance, is summed again, and every cost is computed again from its tokens and its price. Reads
 * one moment of the database, whoever writes meanwhile, and changes nothing. A million requests take
 * about ten seconds.
 *
 * Rejects when the database does.
 */
export async function checkLedger(client: Client): Promise<LedgerCheck> {
  const statements = [
    sizesSql,
    accountsSql,
    spendingSql,
    dailySql,
    costsSql,
    statesSql,
    settledHoldsSql,
    lostRequestsSql,
  ];
  const results = await client.batch(statements, "read");
  const [sizes, accounts, spending, daily, costs, states, settledHolds, lost] = results as [
    ResultSet,
    ResultSet,
    ResultSet,
    ResultSet,
    ResultSet,
    ResultSet,
    ResultSet,
    ResultSet,
  ];
  const size = (name: string) => sizes.rows[0]![name] as number;
  return {
    accounts: size("accounts"),
    credits: size("credits"),
    holds: size("holds"),
    requests: size("requests"),
    tries: size("tries"),
    mismatches: [
      ...accounts.rows.flatMap(checkAccount),
      ...spending.rows.flatMap((row) =>
        compare(row, `account ${row.account_id} on ${row.day}`, ["spending"])
      ),
      ...daily.rows.flatMap(checkDay),
      ...costs.rows.flatMap(checkCost),
      ...states.rows.map(({ state, requests }) => ({
        subject: `state "${state}"`,
        what: "requests",
        expected: 0,
        found: requests as number,
        isAmount: false,
      })),
      ...settledHolds.rows.map(({ request_id, amount }) => ({
        subject: `request ${request_id}`,
        what: "held after its end",
        expected: 0,
        found: amount as number,
        isAmount: true,
      })),
      ...lost.rows.map(({ try_of }) => ({
        subject: `request ${try_of}`,
        what: "request of its tries",
        expected: 1,
        found: 0,
        isAmount: false,
      })),
    ],
  };
}

function checkAccount(row: Row): Mismatch[] {
  const subject = `account ${row.id}`;
  const found = compare(row, subject, ["balance", "held", "open", "spending"]);
  // What the rows say may itself break the rule that the checks of the table keep.
  const { prepaid, unbound, balance, held } = row as unknown as Record<string, number>;
  if (unbound === 1) {
    const what = "prepaid, as it has credit";
    found.push({ subject, what, expected: 1, found: 0, isAmount: false });
  }
  if (prepaid === 1 && balance! < held!) {
    found.push({
      subject,
      what: "prepaid balance, at least what is held",
      expected: held!,
      found: balance!,
      isAmount: true,
    });
  }
  return found;
}

function checkCost(row: Row): Mismatch[] {
  const subject = `request ${row.request_id}`;
  const { currency, kept, ...numbers } = row;
  const { cost, charged, computed, overcharged, undercharged, is_foreign: isForeign } =
    numbers as unknown as Record<string, number | null>;
  const found: Mismatch[] = [];
  if (computed !== null && cost !== computed) {
    const what = "cost, by its tokens and price";
    found.push({ subject, what, expected: computed!, found: cost!, isAmount: true });
  }
  if (overcharged === 1) {
    const what = "charged, from 0 to its cost";
    found.push({ subject, what, expected: cost ?? 0, found: charged!, isAmount: true });
  }
  if (undercharged === 1) {
    const what = "charged, its cost: it was answered, and no account is prepaid";
    found.push({ subject, what, expected: cost!, found: charged!, isAmount: true });
  }
  if (isForeign === 1) {
    const what = `charged in ${currency}, as the accounts are in ${kept}`;
    found.push({ subject, what, expected: 0, found: charged!, isAmount: true });
  }
  return found;
}

function checkDay(row: Row): Mismatch[] {
  const { day, key_id, provider, model, tag } = row;
  const parts = [day, key_id || "no key", `${provider || "no provider"}/${model || "no model"}`];
  const subject = `totals of ${[...parts, ...tag === "" ? [] : [`tag ${tag}`]].join(", ")}`;
  return compare(row, subject, dailyNames);
}

const amounts = new Set(["balance", "held", "spending", "cost", "charged"]);

/** Every column that differs from its twin `found_…`; of a row that is missing, what it should say. */
function compare(row: Row, subject: string, names: readonly string[]): Mismatch[] {
  return names.map((what) => ({
    subject,
    what,
    expected: row[what] as number,
    found: row[`found_${what}`] as number | null,
    isAmount: amounts.has(what),
  })).filter(({ expected, found }, i) =>
    found === null ? i === 0 || expected !== 0 : expected !== found
  );
}
