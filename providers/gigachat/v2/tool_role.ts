/**
 * The role of a tool's result. Recorded traffic has `tool`, later probes of another host have that
 * refused and `function` taken; so it is found out.
 *
 * @module
 */
import type { Call, RouterError } from "xrouter/provider";
import type { V2Settings } from "./settings.ts";

/** The role of a message that holds a tool's result. */
export type ToolRole = "tool" | "function";

type V2Call = Call<V2Settings & Record<string, unknown>>;

/** What one call has sent its results as. */
interface Attempt {
  readonly role: ToolRole;
  /** It is the second one: the first role was refused. */
  readonly second: boolean;
}

/** GigaChat says no more than this of a role that it does not know, or names the role. */
const refusesRole = /invalid JSON syntax|\brole\b/i;

const attempts = new WeakMap<object, Attempt>();

/** What was taken, by the settings of an account and the model. */
const taken = new WeakMap<object, Map<string, ToolRole>>();

/** The role to send a call's results as. */
export function toolRoleOf(model: string, call: V2Call): ToolRole {
  const { v2ToolRole } = call.settings;
  if (v2ToolRole !== "auto") return v2ToolRole;
  const attempt = attempts.get(call) ??
    { role: taken.get(call.settings)?.get(model) ?? "tool", second: false };
  attempts.set(call, attempt);
  return attempt.role;
}

/** Whether a refusal may be one of the role, so that the other role is worth a try. */
export function tryOtherRole(refusal: RouterError, call: V2Call): boolean {
  const attempt = attempts.get(call);
  const said = `${refusal.message} ${refusal.detail ?? ""}`;
  if (attempt === undefined || refusal.code !== "invalid_request" || !refusesRole.test(said)) {
    return false;
  }
  attempts.set(call, { role: attempt.role === "tool" ? "function" : "tool", second: true });
  return true;
}

/** Remembers the role with which a call was answered, where the first one was refused. */
export function rememberToolRole(model: string, call: V2Call): void {
  const attempt = attempts.get(call);
  if (attempt === undefined || !attempt.second) return;
  const roles = taken.get(call.settings) ?? new Map<string, ToolRole>();
  taken.set(call.settings, roles.set(model, attempt.role));
}
