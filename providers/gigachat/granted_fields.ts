/**
 * Fields that Sber has for some accounts alone, or of which nobody could confirm that all have them.
 *
 * @module
 */
import type { Call } from "xrouter/provider";

/** Those that `GIGACHAT_GRANTED_FIELDS` may name. */
export const grantable = ["flags", "n", "profanity_check", "reasoning_effort"] as const;

/** One of them. */
export type Grantable = typeof grantable[number];

/**
 * Those that are sent unless the setting says otherwise. Where Sber overlooks one of these, the answer
 * is still the one that was asked for; where it overlooks `n`, answers are missing.
 */
export const usuallyGranted: readonly Grantable[] = [
  "flags",
  "profanity_check",
  "reasoning_effort",
];

/** The fields that are sent for the account of a call. */
export function grantedTo({ settings }: Pick<Call, "settings">): readonly string[] {
  const { grantedFields } = settings as { grantedFields?: readonly Grantable[] };
  return grantedFields ?? usuallyGranted;
}
