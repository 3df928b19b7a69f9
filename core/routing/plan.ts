/**
 * Plans a request: who is asked, in which order, how patiently, and why nobody else. Nobody is
 * called, but for the vendors' lists where a name is not known.
 *
 * @module
 */
import { listsOf, type ModelList, notAllowed, refusingOf } from "../allowed_models.ts";
import { isChat } from "../body.ts";
import type { Catalog } from "../catalog.ts";
import { conversationOf } from "../conversation.ts";
import { type ErrorCode, RouterError } from "../errors.ts";
import type { Target } from "../model.ts";
import { breakPolicies, type BreakPolicy, type Route, type RoutedTarget } from "../plugin.ts";
import { misfit } from "./conditions.ts";
import { limitsOf, type RouteLimits } from "./limits.ts";
import { arrange, unwanted } from "./narrowing.ts";
import { incapable, Needs, type RouteRequest } from "./needs.ts";
import type { RouteTable, RouteTarget } from "./routes.ts";
import { type Candidate, type Circumstances, putInOrder } from "./strategies.ts";

/** What plans are made with. */
export interface Planner {
  /** The providers and the routes. */
  readonly catalog: Catalog;
  /** The limits where no route says others. */
  readonly limits: RouteLimits;
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
  /** A number from 0, below 1. */
  readonly random: () => number;
}

/** Output tokens that an answer usually has: what is compared are prices, not bills. */
const usualOutput = 500;

/** A hedge by the usual time waits so long at least, and so long where no time is known. */
const hedge = { least: 200, unknown: 1_000, times: 2 } as const;

/** What a name leads to; an error where nobody has it. */
type Found = RouteTable | Target | RouterError;

/** A target that may be asked. */
interface Option extends Candidate {
  readonly id: string;
  /** The name that led to it. */
  readonly asked: string;
  readonly rule: RouteTarget | undefined;
}

/** A target that is not asked. */
interface Exclusion {
  readonly target: string;
  readonly reason: string;
  readonly code: ErrorCode;
  /** The request's field that it is about, where that is not the model. */
  readonly param?: string | undefined;
  /** What to say where it is the only reason. */
  readonly error?: RouterError | undefined;
}

/**
 * Plans a request.
 *
 * @returns At once where the names are known and prices are current.
 * @throws {RouterError} `context_length_exceeded` where some target would serve a shorter request,
 * otherwise what fits the reasons for which nobody can; the message says them.
 */
export function planRoute(request: RouteRequest, planner: Planner): Route | Promise<Route> {
  const { catalog } = planner;
  const stale = catalog.prices.refresh();
  if (stale !== undefined) return stale.then(() => planNow(request, planner));
  return planNow(request, planner);
}

function planNow(request: RouteRequest, planner: Planner): Route | Promise<Route> {
  const { model, models } = request.body;
  const names = models == null ? [model] : [...new Set([model, ...models])];
  const found = names.map((name) => find(name, planner.catalog));
  const all = (found: Found[]) => plan(names, found, new Needs(request), planner);
  return found.includes(undefined)
    ? search(names, found, planner.catalog).then(all)
    : all(found as Found[]);
}

/** What is known of a name; `undefined` where the vendors have to be asked. */
function find(name: string, catalog: Catalog): Found | undefined {
  try {
    return catalog.routes.get(name) ?? catalog.find(name);
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

async function search(
  names: readonly string[],
  found: readonly (Found | undefined)[],
  catalog: Catalog,
): Promise<Found[]> {
  return await Promise.all(found.map((each, i) =>
    each ??
      catalog.search(names[i]!).catch((error) => {
        if (error instanceof RouterError) return error;
        throw error;
      })
  ));
}

function plan(
  names: readonly string[],
  found: readonly Found[],
  needs: Needs,
  planner: Planner,
): Route {
  const { catalog } = planner;
  const circumstances = circumstancesOf(needs, planner);
  const narrowing = needs.body.provider ?? undefined;
  const lists = listsOf(needs.caller);
  const excluded: Exclusion[] = [];
  const chosen = new Map<string, Option>();

  const admit = (option: Option, region?: string) => {
    const exclusion = exclusionOf(option, region, needs, lists, planner);
    if (exclusion !== undefined) excluded.push(exclusion);
    return exclusion === undefined;
  };
  for (const [place, each] of found.entries()) {
    const asked = names[place]!;
    if (each instanceof RouterError) {
      excluded.push({ target: asked, code: each.code, reason: each.message, error: each });
      continue;
    }
    const ordered = "targets" in each
      ? inOrder(
        each,
        optionsOf(each, catalog).filter((one) => admit(one, each.region)),
        circumstances,
      )
      : [optionOf(each, asked)].filter((one) => admit(one));
    for (const option of ordered) {
      if (!chosen.has(option.id)) chosen.set(option.id, option);
    }
  }
  let options = [...chosen.values()];
  if (narrowing !== undefined) {
    const { kept, cut } = arrange(narrowing, options, circumstances);
    options = kept;
    const reason = 'comes after "provider.allow_fallbacks" ended the list';
    for (const { id } of cut) {
      excluded.push({ target: id, code: "invalid_request", reason, param: "provider" });
    }
  }
  if (options.length === 0) throw refusal(names, excluded);

  const table = found.find((each) => "targets" in each);
  // Only streams have a first token: a whole answer takes as long as it is.
  const hedgeAfter = needs.body.stream === true ? table?.hedgeAfter : undefined;
  const onBreak = onBreakOf(needs.headers);
  return {
    ...limitsOf(table, planner.limits),
    targets: options.map(toTarget),
    ...onBreak !== undefined && { onBreak },
    ...hedgeAfter !== undefined && {
      hedgeAfter: hedgeAfter === true ? usualTime(options[0]!.target, catalog) : hedgeAfter,
    },
    reason: {
      ...table !== undefined && { route: table.name },
      strategy: table !== undefined && names.length === 1 ? table.strategy : "as asked",
      excluded: excluded.filter(({ target }) => !options.some(({ id }) => id === target))
        .map(({ target, reason }) => ({ target, reason })),
    },
  };
}

/** Why a target is not asked; `undefined` where it may be. */
function exclusionOf(
  { id, asked, target, rule }: Option,
  region: string | undefined,
  needs: Needs,
  lists: readonly ModelList[],
  { catalog, currency }: Planner,
): Exclusion | undefined {
  const exclusion = (code: ErrorCode, reason: string, rest?: Partial<Exclusion>) => {
    return { target: id, code, reason, ...rest };
  };
  const missing = catalog.providers.get(target.provider)?.missing;
  if (missing !== undefined) {
    return exclusion("no_route", `belongs to a provider that is not configured. ${missing}`);
  }
  const refusing = lists.length > 0 && refusingOf(lists, catalog, asked, target);
  if (refusing) {
    const error = notAllowed(refusing, asked);
    return exclusion(error.code, error.message, { error });
  }
  if (region !== undefined && target.facts.region !== region) {
    return exclusion("no_route", `is not known to run in "${region}"`);
  }
  const other = rule?.when && misfit(rule.when, needs);
  if (other !== undefined) return exclusion("no_route", other);
  const lacking = incapable(target.facts, needs);
  if (lacking !== undefined) return exclusion(lacking.code, lacking.reason, lacking);
  const { provider: narrowing } = needs.body;
  const refused = narrowing && unwanted(narrowing, target, currency);
  return refused ? exclusion("invalid_request", refused, { param: "provider" }) : undefined;
}

function optionsOf({ name, targets }: RouteTable, catalog: Catalog): Option[] {
  return targets.map((rule) => ({
    id: rule.id,
    asked: name,
    target: catalog.target(rule.provider, rule.model),
    weight: rule.weight,
    rule,
  }));
}

function optionOf(target: Target, asked: string): Option {
  return { id: `${target.provider}/${target.model}`, asked, target, weight: 1, rule: undefined };
}

/** Lower priorities first, each put in order by the strategy. */
function inOrder(
  { strategy }: RouteTable,
  options: readonly Option[],
  circumstances: Circumstances,
): Option[] {
  return [...Map.groupBy(options, ({ rule }) => rule!.priority).values()]
    .flatMap((group) => putInOrder(strategy, group, circumstances));
}

function toTarget({ target, rule }: Option): RoutedTarget {
  return rule?.timeouts === undefined ? target : { ...target, timeouts: rule.timeouts };
}

function circumstancesOf(needs: Needs, { catalog, currency, random }: Planner): Circumstances {
  const { body, headers: clientHeaders, caller, inputTokens: input } = needs;
  const output = isChat(body)
    ? Math.min(needs.outputTokens ?? usualOutput, usualOutput) * (body.n ?? 1)
    : 0;
  return {
    random,
    traffic: catalog.traffic,
    tokens: { input, output },
    currency,
    conversation: () => conversationOf(body, { clientHeaders, keyId: caller?.id }, body.user),
  };
}

function usualTime(target: Target, { traffic }: Catalog): number {
  const { firstTokenMs } = traffic.of(target);
  if (firstTokenMs === undefined) return hedge.unknown;
  return Math.max(hedge.least, Math.round(firstTokenMs * hedge.times));
}

function onBreakOf(headers: Headers): BreakPolicy | undefined {
  const text = headers.get("x-xrouter-on-break");
  if (text === null) return undefined;
  const policy = breakPolicies.find((each) => each === text.trim().toLowerCase());
  if (policy !== undefined) return policy;
  const list = breakPolicies.map((each) => `"${each}"`).join(", ");
  throw new RouterError("invalid_request", `"x-xrouter-on-break" must be one of ${list}`, {
    param: "x-xrouter-on-break",
  });
}

/** Which reason says most: the client can mend the first ones by itself. */
const weightiest = ["context_length_exceeded", "invalid_request", "forbidden", "no_route"] as const;

function refusal(
  names: readonly string[],
  excluded: readonly Exclusion[],
): RouterError {
  const code = weightiest.find((each) => excluded.some((one) => one.code === each)) ?? "no_route";
  const first = excluded.find((each) => each.code === code);
  const alone = new Set(excluded.map(({ reason }) => reason)).size === 1;
  if (first?.error !== undefined && alone) return first.error;
  const reasons = excluded.map(({ target, reason }) => `"${target}": ${reason}`);
  const asked = names.map((name) => `"${name}"`).join(", ");
  return new RouterError(
    code,
    `Nothing of ${asked} can serve this request. ${reasons.join("; ")}`,
    { param: first?.param ?? "model" },
  );
}
