import type { Row } from "@libsql/client";
import { unsupportedPolicies, type UnsupportedPolicy } from "../changes.ts";

/** Who is refused first when the process is saturated, and who last. */
export const priorities = ["low", "normal", "high"] as const;

/** One of {@linkcode priorities}. */
export type Priority = typeof priorities[number];

/** What a key, or an owner, may do. Null: no limit of this kind. */
export interface Limits {
  /** It was given credit, and spends nothing beyond. */
  readonly prepaid: boolean;
  /** It has a limit of money that renews. */
  readonly limited: boolean;
  readonly requestsPerMinute: number | null;
  /** Tokens of prompts and answers together. */
  readonly tokensPerMinute: number | null;
  /** `provider/model`, `provider/*`, bare model ids and routes. */
  readonly models: readonly string[] | null;
  /** The most that is held for one request, and so that it may cost, in millionths of the currency. */
  readonly holdCap: number | null;
  /** What becomes of fields that a vendor cannot keep. */
  readonly unsupported: UnsupportedPolicy | null;
  /** Vendors that can are asked to count the tokens of requests. */
  readonly exactCount: boolean | null;
  /** How late it is refused when the process is saturated. */
  readonly priority: Priority | null;
}

/** The most that may be spent in a period of UTC; weeks begin on Monday. */
export interface SpendingLimit {
  /** Millionths of the accounting currency. */
  readonly amount: number;
  readonly period: "day" | "week" | "month";
}

/** Limits to set; null removes one, and one that is absent stays as it is. */
export type LimitChanges = Partial<
  Omit<Limits, "prepaid" | "limited"> & { limit: SpendingLimit | null; parallel: number | null }
>;

/**
 * The columns of `accounts` that changes set.
 *
 * @throws Error naming the limit that is wrong
 */
export function toColumns(changes: LimitChanges): Record<string, string | number | null> {
  const { limit, models, holdCap, requestsPerMinute, tokensPerMinute, parallel } = changes;
  const { unsupported, exactCount, priority } = changes;
  if (limit) {
    checkWhole("Limit", limit.amount, 0);
    if (!["day", "week", "month"].includes(limit.period)) {
      throw new Error(`Limit period must be day, week or month, not "${limit.period}"`);
    }
  }
  checkWhole("Hold cap", holdCap, 1);
  checkWhole("Requests a minute", requestsPerMinute, 1);
  checkWhole("Tokens a minute", tokensPerMinute, 1);
  checkWhole("Requests at a time", parallel, 1);
  if (unsupported && !unsupportedPolicies.includes(unsupported)) {
    throw new Error(`Unsupported fields must be refuse, warn or drop, not "${unsupported}"`);
  }
  if (priority && !priorities.includes(priority)) {
    throw new Error(`Priority must be low, normal or high, not "${priority}"`);
  }
  if (models) checkModels(models);
  return {
    ...limit !== undefined &&
      { limit_amount: limit?.amount ?? null, limit_period: limit?.period ?? null },
    ...holdCap !== undefined && { hold_cap: holdCap },
    ...requestsPerMinute !== undefined && { requests_per_minute: requestsPerMinute },
    ...tokensPerMinute !== undefined && { tokens_per_minute: tokensPerMinute },
    ...parallel !== undefined && { parallel },
    ...models !== undefined && { models: models && JSON.stringify(models) },
    ...unsupported !== undefined && { unsupported },
    ...exactCount !== undefined && { exact_count: exactCount === null ? null : Number(exactCount) },
    ...priority !== undefined && { priority },
  };
}

function checkWhole(name: string, value: number | null | undefined, least: number): void {
  if (value == null || (Number.isSafeInteger(value) && value >= least)) return;
  throw new Error(`${name} must be a whole number of at least ${least}, not ${value}`);
}

/** A star stands only for all models of one provider. */
const modelForm = /^(?:[^*\p{C}]+|[^/*\p{C}]+\/\*)$/u;

/** Whether a text can stand in a list of models, known or not. */
export function isModelEntry(text: string): boolean {
  return text.trim() === text && modelForm.test(text);
}

function checkModels(models: readonly string[]): void {
  if (models.length === 0) {
    throw new Error("Models must name at least one. Revoke a key to stop it");
  }
  const wrong = models.find((model) => !isModelEntry(model));
  if (wrong === undefined) return;
  throw new Error(
    `Models must be "provider/model", "provider/*", a model's id or a route, not ` +
      JSON.stringify(wrong),
  );
}

/**
 * The limits in a row of `accounts`.
 *
 * @param prefix What stands before the columns' names.
 */
export function toLimits(row: Row, prefix = ""): Limits {
  const models = row[`${prefix}models`] as string | null;
  const exact = row[`${prefix}exact_count`] as number | null;
  return {
    prepaid: row[`${prefix}prepaid`] === 1,
    limited: row[`${prefix}limit_amount`] !== null,
    requestsPerMinute: row[`${prefix}requests_per_minute`] as number | null,
    tokensPerMinute: row[`${prefix}tokens_per_minute`] as number | null,
    models: models === null ? null : JSON.parse(models),
    holdCap: row[`${prefix}hold_cap`] as number | null,
    unsupported: row[`${prefix}unsupported`] as UnsupportedPolicy | null,
    exactCount: exact === null ? null : exact === 1,
    priority: row[`${prefix}priority`] as Priority | null,
  };
}
