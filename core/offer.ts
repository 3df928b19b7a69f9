/**
 * What a vendor offers: the models that stand in the lists of its accounts.
 *
 * @module
 */
import type { Connection } from "./connection.ts";
import type { OfferedModel } from "./provider.ts";

/** The models that a vendor offers now. */
export interface Offer {
  /** By the ids by which clients name them. */
  readonly models: ReadonlyMap<string, OfferedModel>;
  /** There is no other: every account has told, and told of something. */
  readonly whole: boolean;
}

/** Nobody was asked yet. */
export const noOffer: Offer = { models: new Map(), whole: false };

/**
 * Asks all accounts.
 *
 * @throws The first account's reason when none can be asked; the signal's reason, once it fires.
 */
export async function askForOffer(
  accounts: readonly Connection[],
  signal: AbortSignal,
): Promise<Offer> {
  const lists = await Promise.allSettled(accounts.map((account) => account.listModels(signal)));
  const listed = lists.flatMap((list) => list.status === "fulfilled" ? [list.value] : []);
  if (listed.length === 0) throw (lists[0] as PromiseRejectedResult).reason;
  const models = [...Map.groupBy(listed.flat(), ({ id }) => id)].map(([id, twins]) => {
    const kinds = new Set(twins.flatMap(({ kind }) => kind ?? []));
    // One name may stand for a model that chats and for one that makes vectors.
    return [id, kinds.size === 1 ? { id, kind: [...kinds][0] } : { id }] as const;
  });
  const whole = listed.length === lists.length && listed.every((list) => list.length > 0);
  return { models: new Map(models), whole };
}
