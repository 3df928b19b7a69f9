/**
 * What `GET /v1/usage` can be asked.
 *
 * @module
 */
import { RouterError } from "xrouter/plugin";
import { z } from "zod";
import type { AccountStore } from "../../core/ledger/accounts.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import type { UsageFilter } from "../../core/report/usage_store.ts";
import { type UsageGroup, usageGroups } from "../../core/report/usage_totals.ts";
import { daySchema } from "../../core/prices/tariff.ts";
import { type UsagePeriod, usagePeriod } from "../../core/report/usage_period.ts";

const text = z.string({ error: "must be given once" }).min(1, { error: "must not be empty" })
  .max(256, { error: "must have at most 256 characters" });

const groups = text
  .transform((list) => [...new Set(list.split(",").map((word) => word.trim()))])
  .refine((words) => words.every((word) => (usageGroups as readonly string[]).includes(word)), {
    error: `must be one or several of ${usageGroups.join(", ")}, with commas between`,
  })
  .transform((words) => words as UsageGroup[]);

const limitError = "must be a whole number from 1 to 1000";

const shape = {
  group_by: groups.optional(),
  from: daySchema.optional(),
  to: daySchema.optional(),
  provider: text.optional(),
  model: text.optional(),
  tag: text.optional(),
  key: text.optional(),
  owner: text.optional(),
  rows: z.literal("1", { error: "must be 1 for single requests, or absent for totals" }).optional(),
  limit: z.string({ error: limitError }).regex(/^([1-9]\d{0,2}|1000)$/, { error: limitError })
    .transform(Number).optional(),
  after: text.regex(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}(\.\d+)?$/i, {
    error: 'must be the "next" of the page before',
  }).optional(),
  format: z.enum(["json", "csv"], { error: "must be json or csv" }).optional(),
};

/** The schema of the parameters. */
export const usageQuery = z.strictObject(shape, {
  error: ({ code }) =>
    code === "unrecognized_keys"
      ? `is no parameter. There are: ${Object.keys(shape).join(", ")}`
      : undefined,
}).refine(({ rows, group_by }) => rows === undefined || group_by === undefined, {
  path: ["group_by"],
  error: "groups totals. Leave it out with rows=1",
}).refine(({ rows, limit }) => rows !== undefined || limit === undefined, {
  path: ["limit"],
  error: "limits single requests. Add rows=1",
}).refine(({ rows, after }) => rows !== undefined || after === undefined, {
  path: ["after"],
  error: "goes on after a single request. Add rows=1",
});

/** The parameters after the check. */
export type UsageQuery = z.output<typeof usageQuery>;

/** Requests that a caller may see, of a known period. */
export type OwnFilter = UsageFilter & UsagePeriod;

/**
 * The requests that a caller may see of those it asks for.
 *
 * @param now Milliseconds since 1970.
 * @throws {RouterError} `forbidden` when it asks about others and is no admin key;
 * `invalid_request` when the period ends before it begins.
 */
export function filterOf(
  { key, owner, group_by, provider, model, tag, ...days }: UsageQuery,
  caller: ApiKey,
  now: number,
): OwnFilter {
  const others = {
    key,
    owner,
    group_by: group_by?.find((group) => group === "key" || group === "owner"),
  };
  for (const [param, value] of Object.entries(others)) {
    if (caller.admin || value === undefined) continue;
    throw new RouterError(
      "forbidden",
      `"${param}" takes "${value}" from admin keys only; this key reads its own usage`,
      { param },
    );
  }
  const { from, to } = usagePeriod(days, now);
  if (from > to) {
    throw new RouterError("invalid_request", `"from" must not be after "to", which is ${to}`, {
      param: "from",
    });
  }
  return { keyId: caller.admin ? key : caller.id, owner, from, to, provider, model, tag };
}

/**
 * Finds a mistyped key or owner, which would have used nothing.
 *
 * @throws {RouterError} `not_found`.
 */
export async function checkKnown(
  accounts: AccountStore,
  { key, owner }: UsageQuery,
): Promise<void> {
  const named = { key, owner: owner === undefined ? undefined : `owner:${owner}` };
  for (const [param, account] of Object.entries(named)) {
    if (account === undefined || await accounts.read(account) !== undefined) continue;
    throw new RouterError("not_found", `"${param}" is none that XRouter knows`, { param });
  }
}
