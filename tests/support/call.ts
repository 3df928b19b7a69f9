/**
 * A call as a provider's methods get it, for tests that call them without a vendor.
 *
 * @module
 */
import { Changes, type UnsupportedPolicy } from "../../core/changes.ts";
import type { Call } from "../../core/provider.ts";

/** What a test chooses; the rest is empty, and calls to the vendor are refused. */
export interface CallSetup extends Partial<Omit<Call, "cannotKeep" | "changed">> {
  /** What to do with fields that the vendor cannot keep; `refuse` by default. */
  policy?: UnsupportedPolicy;
  /** Takes `x-xrouter-changed`. */
  replyHeaders?: Record<string, string>;
}

/** Makes a call. */
export function callOf(
  { policy = "refuse", replyHeaders = {}, ...given }: CallSetup = {},
): Call {
  const refuse = () => Promise.reject(new Error("This call asks nobody"));
  const { cannotKeep, changed } = new Changes(policy, replyHeaders);
  return {
    settings: {},
    baseUrl: "https://vendor.test/v1",
    fetch: refuse,
    send: refuse,
    clientHeaders: new Headers(),
    keyId: undefined,
    signal: new AbortController().signal,
    headers: {},
    cannotKeep,
    changed,
    ...given,
  };
}
