/**
 * `xrouter keys set`, and the limits that `keys create` takes too.
 *
 * @module
 */
import { unsupportedPolicies, type UnsupportedPolicy } from "../changes.ts";
import { formatAmount } from "../ledger/money.ts";
import type { Account } from "../ledger/accounts.ts";
import {
  isModelEntry,
  type LimitChanges,
  priorities,
  type Priority,
  type SpendingLimit,
} from "../ledger/limits.ts";
import { type Argument, defineCommand, jsonSwitch, UsageError, type Values } from "./arguments.ts";
import {
  accountArgument,
  accountToJson,
  findAccount,
  readAmount,
  refuseSecret,
  withKeys,
} from "./key_account.ts";

/** The flags of limits. */
export const limitArguments = {
  limit: { value: "LIMIT", about: "The most it spends in UTC: 100/day, 500/week or 2000/month" },
  requests: { value: "COUNT", about: "Requests a minute" },
  tokens: { value: "COUNT", about: "Tokens a minute, prompts and answers together" },
  parallel: { value: "COUNT", about: "Requests at a time" },
  models: {
    value: "NAMES",
    about: "Models it may use, with commas: provider/model, provider/*, ids, routes",
  },
  "hold-cap": {
    value: "AMOUNT",
    about: "The most that is held for one request, and so that it may cost",
  },
  unsupported: {
    value: "WHAT",
    about: "Fields that a vendor cannot keep: refuse, warn (leave out and say so) or drop",
  },
  "exact-count": {
    value: "YES-OR-NO",
    about: "Have vendors that can count the tokens of requests",
  },
  priority: {
    value: "WHICH",
    about: "Who is refused first when the server is saturated: low, then normal, then high",
  },
} as const satisfies Record<string, Argument>;

/** `xrouter keys set`. */
export const setKeyLimits = defineCommand({
  name: "keys set",
  about: "Set limits of a key, or of all keys of an owner together",
  arguments: { account: accountArgument, ...limitArguments, json: jsonSwitch },
  help: () =>
    'The word "none" removes a limit: --limit none. Servers heed a change within two seconds.',
  async run({ account: word, json, ...values }) {
    refuseSecret(word);
    const changes = readLimits(values);
    if (Object.keys(changes).length === 0) throw new UsageError("Give at least one limit to set");
    await withKeys(async (database) => {
      const { id, label } = await findAccount(database, word);
      const account = await database.accounts.setLimits(id, changes);
      if (json) {
        const shown = { id, ...accountToJson(account, database.currency) };
        console.log(JSON.stringify(shown, undefined, 2));
      } else console.log(`Limits of ${label}: ${limitsInWords(account, database.currency)}`);
    });
    return 0;
  },
});

/**
 * The limits among the flags of a command.
 *
 * @throws {UsageError} naming the flag whose value has the wrong form.
 */
export function readLimits(flags: Values<typeof limitArguments>): LimitChanges {
  const read = <Name extends keyof LimitChanges, Value>(
    name: Name,
    flag: keyof typeof limitArguments,
    parse: (what: string, text: string) => Value,
  ) => {
    const text = flags[flag];
    if (text === undefined) return {};
    const value = text === "none" ? null : parse(`--${flag}`, text);
    return { [name]: value } as { [Each in Name]?: Value | null };
  };
  return {
    ...read("limit", "limit", readSpendingLimit),
    ...read("requestsPerMinute", "requests", readCount),
    ...read("tokensPerMinute", "tokens", readCount),
    ...read("parallel", "parallel", readCount),
    ...read("models", "models", readModels),
    ...read("holdCap", "hold-cap", readHoldCap),
    ...read("unsupported", "unsupported", readPolicy),
    ...read("exactCount", "exact-count", readYesNo),
    ...read("priority", "priority", readPriority),
  };
}

function readSpendingLimit(what: string, text: string): SpendingLimit {
  const [, amount, period] = /^([^/]*)\/(day|week|month)$/.exec(text) ?? [];
  if (amount === undefined) {
    throw new UsageError(`${what} must be such as 100/day, 500/week or 2000/month, not "${text}"`);
  }
  const millionths = readAmount(what, amount);
  if (millionths < 0) throw new UsageError(`${what} must not be below 0, as in "${text}"`);
  return { amount: millionths, period: period as SpendingLimit["period"] };
}

function readHoldCap(what: string, text: string): number {
  const millionths = readAmount(what, text);
  if (millionths <= 0) throw new UsageError(`${what} must be above 0, not "${text}"`);
  return millionths;
}

function readPolicy(what: string, text: string): UnsupportedPolicy {
  const policy = unsupportedPolicies.find((each) => each === text);
  if (policy !== undefined) return policy;
  throw new UsageError(`${what} must be refuse, warn, drop or none, not "${text}"`);
}

function readPriority(what: string, text: string): Priority {
  const priority = priorities.find((each) => each === text);
  if (priority !== undefined) return priority;
  throw new UsageError(`${what} must be low, normal, high or none, not "${text}"`);
}

function readYesNo(what: string, text: string): boolean {
  if (text === "yes" || text === "no") return text === "yes";
  throw new UsageError(`${what} must be yes, no or none, not "${text}"`);
}

function readCount(what: string, text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UsageError(`${what} must be a whole number above 0, or none, not "${text}"`);
}

function readModels(what: string, text: string): string[] {
  const models = text.split(",").map((model) => model.trim());
  const wrong = models.find((model) => !isModelEntry(model));
  if (wrong === undefined) return [...new Set(models)];
  throw new UsageError(
    `${what} must be provider/model, provider/*, ids or routes with commas between, not "${wrong}"`,
  );
}

/** `100.00 RUB a day, 60 requests a minute`. */
function limitsInWords(account: Account, currency: string): string {
  const { limit, requestsPerMinute, tokensPerMinute, parallel, models, holdCap } = account;
  const { unsupported, exactCount, priority } = account;
  const words = [
    limit && `${formatAmount(limit.amount, currency)} a ${limit.period}`,
    requestsPerMinute !== null && `${requestsPerMinute} requests a minute`,
    tokensPerMinute !== null && `${tokensPerMinute} tokens a minute`,
    parallel !== null && `${parallel} requests at a time`,
    holdCap !== null && `${formatAmount(holdCap, currency)} held for a request at most`,
    models && `models ${models.join(", ")}`,
    unsupported && `unsupported fields: ${unsupported}`,
    exactCount !== null && `exact count: ${exactCount ? "yes" : "no"}`,
    priority && `${priority} priority`,
  ].filter((each) => each);
  return words.length > 0 ? words.join("; ") : "none";
}
