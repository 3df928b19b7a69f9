/**
 * What hooks may return. TypeScript says it too, but not to a plugin that it does not check.
 *
 * @module
 */
import { type Body, isChat, type Path } from "./body.ts";
import { type ChatReply, isWholeReply } from "./chat.ts";
import { unsendable } from "./header_syntax.ts";
import type { Attempt, Estimate, Route } from "./plugin.ts";
import { breakPolicies, type Timeouts } from "./routing/route.ts";

/** Whether a hook's return has to be awaited; also that of a query builder that is no Promise. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}

/** @throws {TypeError} unless it is what `onRequest` may answer with. */
export function asReply(value: ChatReply, path: Path): ChatReply {
  if (path === "/v1/embeddings") {
    if (Array.isArray(value.data)) return value;
    throw wrongReturn('a list of embeddings with "data", or nothing', value);
  }
  if (isWholeReply(value)) return value;
  throw wrongReturn('a chat completion with "choices", or nothing', value);
}

/** @throws {TypeError} unless it is what `onRoute` may answer with. */
export function asRoute(value: Route): Route {
  const { targets, attempts, retries, time, timeouts, onBreak } = value;
  if (!Array.isArray(targets) || !targets.every(isTarget)) {
    throw wrongReturn('a route whose "targets" have "provider", "model" and "facts"', value);
  }
  const limits = timeouts && timeoutNames.map((name) => timeouts[name]);
  if (![attempts, retries, time, ...limits ?? [undefined]].every(isAmount)) {
    const names = timeoutNames.join(", ");
    throw wrongReturn(
      `a route with the numbers attempts, retries and time, and in "timeouts" ${names}`,
      value,
    );
  }
  if (breakPolicies.includes(onBreak)) return value;
  throw wrongReturn(`a route whose "onBreak" is one of ${breakPolicies.join(", ")}`, value);
}

/** @throws {TypeError} unless it is what `estimate` may answer with. */
export function asEstimate(value: Estimate): Estimate {
  if (isObject(value) && [value.held ?? 0, value.maxTokens ?? 0].every(isAmount)) return value;
  throw wrongReturn('an estimate with the numbers "held" and "maxTokens", or nothing', value);
}

/**
 * Why a try cannot be sent as a plugin left it; `undefined` where it can.
 *
 * @param before Its body before the plugin had it: what is the same is not looked at again.
 */
export function whatIsUnsendable({ body, headers }: Attempt, before: Body): string | undefined {
  const header = unsendable(headers);
  if (header !== undefined) return `set the header "${header}" of a try to what it cannot be`;
  if (!isObject(body) || Array.isArray(body)) return "left a try without a body";
  if (typeof body.model !== "string") return 'set "model" of a try to what is no text';
  if (isChat(body) !== isChat(before)) return "made another kind of request of a try";
  if ((body.stream === true) !== (before.stream === true)) {
    return 'changed "stream" of a try. It is the client\'s to choose';
  }
  for (const [field, value] of Object.entries(body)) {
    if (value === before[field as keyof Body]) continue;
    try {
      JSON.stringify(value);
    } catch (error) {
      const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
      return `set "${field}" of a try to what JSON cannot hold: ${reason}`;
    }
  }
  return undefined;
}

/** A hook's return that is none: what it must be, and what it is. */
export function wrongReturn(expected: string, value: unknown): TypeError {
  const kind = isObject(value) ? value.constructor?.name ?? "object" : typeof value;
  return new TypeError(`must return ${expected}; this is of type ${kind}`);
}

const timeoutNames = Object.keys(
  { firstByte: 0, firstToken: 0, last: 0, idle: 0, whole: 0, total: 0 } satisfies Timeouts,
) as (keyof Timeouts)[];

function isTarget(target: Route["targets"][number]): boolean {
  return typeof target?.provider === "string" && typeof target.model === "string" &&
    isObject(target.facts);
}

function isAmount(value: number | undefined): boolean {
  return typeof value === "number" && value >= 0;
}

function isObject(value: unknown): value is object {
  return Object(value) === value;
}
