import type { Limits } from "../../core/ledger/limits.ts";

/** The limits of a key that nobody has limited. */
export const unlimited: Limits = {
  prepaid: false,
  limited: false,
  requestsPerMinute: null,
  tokensPerMinute: null,
  models: null,
  holdCap: null,
  unsupported: null,
  exactCount: null,
  priority: null,
};
