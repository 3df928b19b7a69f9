/**
 * Routes: names that clients ask for, and the targets that each leads to. They are declared in the
 * configuration file or by a plugin; what they become here never changes while the program runs.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { readValue } from "../issues.ts";
import { breakPolicies, type BreakPolicy, type Timeouts } from "../plugin.ts";
import type { Problem } from "../settings.ts";
import { type Conditions, conditionsSchema } from "./conditions.ts";
import { aboveMostMs, mostMs } from "./limits.ts";
import { type StrategyName, strategyNames } from "./strategies.ts";

/** A target as a route declares it: `provider/model`, or that with more. */
export interface DeclaredTarget {
  /** `provider/model`. */
  readonly model: string;
  /** Its share beside the others: 1 unless it says so. */
  readonly weight?: number | undefined;
  /** Targets with a lower number are tried before all others: 1 unless it says so. */
  readonly priority?: number | undefined;
  /** Which requests it takes; without it all. */
  readonly when?: Conditions | undefined;
  /** Limits of its own, in milliseconds. */
  readonly timeouts?: Partial<Timeouts> | undefined;
}

/** A route with more than its targets. */
export interface RouteOptions {
  /** The targets. */
  readonly targets: readonly (string | DeclaredTarget)[];
  /** How the targets of one priority are put in order: `priority` leaves them as they stand. */
  readonly strategy?: StrategyName | undefined;
  /** Only targets whose facts say that they run in this country. */
  readonly region?: string | undefined;
  /** Tries over all targets together. */
  readonly attempts?: number | undefined;
  /** Further tries of one target after its first. */
  readonly retries?: number | undefined;
  /** Milliseconds for the whole exchange. */
  readonly time?: number | undefined;
  /** Limits of each try, in milliseconds. */
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** What becomes of a stream that breaks off after words of it went out. */
  readonly onBreak?: BreakPolicy | undefined;
  /**
   * Milliseconds without a token after which a second target is asked too; `true`: twice the usual
   * time of the first one.
   */
  readonly hedgeAfter?: number | true | undefined;
}

/** A route as it is declared: a model, models to be tried in order, or more. */
export type DeclaredRoute = string | readonly string[] | RouteOptions;

/** A target of a {@linkcode RouteTable}. */
export interface RouteTarget extends Omit<DeclaredTarget, "model"> {
  /** `provider/model`. */
  readonly id: string;
  /** The provider's name. */
  readonly provider: string;
  /** The model's id as the vendor spells it. */
  readonly model: string;
  /** Its share beside the others. */
  readonly weight: number;
  /** Lower ones come first. */
  readonly priority: number;
}

/** A route, checked. */
export interface RouteTable extends Omit<RouteOptions, "targets"> {
  /** The name that clients ask for. */
  readonly name: string;
  /** Where it is declared, for people. */
  readonly at: string;
  /** How targets of one priority are put in order. */
  readonly strategy: StrategyName;
  /** The targets, those of lower priority first. */
  readonly targets: readonly RouteTarget[];
}

const positive = z.int().positive();
const milliseconds = positive.max(mostMs, { error: aboveMostMs });
const idPattern = /^[^/]+\/.+$/;
const modelId = z.string().regex(idPattern, 'must be "provider/model"');

const timeoutsSchema = z.strictObject(
  {
    firstByte: milliseconds.describe("A stream: until its first byte, connecting included")
      .optional(),
    firstToken: milliseconds.describe("A stream: until its first token").optional(),
    last: milliseconds.describe(
      "The same two for the last target that is left: nobody else could be asked instead",
    ).optional(),
    idle: milliseconds.describe("A stream: silence between two chunks").optional(),
    whole: milliseconds.describe("An answer that is no stream: all of it, since it comes at once")
      .optional(),
    total: milliseconds.describe("A stream: all of it").optional(),
  } satisfies Record<keyof Timeouts, z.ZodType>,
).describe("Limits of each try, in milliseconds; what is absent is as the settings say");

const targetSchema = z.strictObject(
  {
    model: modelId.describe('The model: "provider/model"'),
    weight: z.number().positive().max(1e6).describe("Its share beside the others, 1 unless given")
      .optional(),
    priority: z.int().min(0).describe(
      "Targets with a lower number are tried before all others, 1 unless given",
    ).optional(),
    when: conditionsSchema.optional(),
    timeouts: timeoutsSchema.optional(),
  } satisfies Record<keyof DeclaredTarget, z.ZodType>,
);

const optionsSchema = z.strictObject(
  {
    targets: z.array(z.union([modelId, targetSchema], { error: "must be a model or an object" }))
      .min(1, "must name a target").describe("The targets"),
    strategy: z.enum(strategyNames).describe(
      "How targets of one priority are put in order: as they stand (priority), by chance and weight (weighted), fewest running tries first (least-busy), quickest first token first (latency), cheapest first (cheapest), or one for each conversation (sticky)",
    ).optional(),
    region: z.string().regex(/^[a-z]{2}$/, 'must be a country in two small letters, such as "ru"')
      .describe("Only targets whose facts say that they run in this country").optional(),
    attempts: positive.describe("Tries over all targets together").optional(),
    retries: z.int().min(0).describe("Further tries of one target, where the error allows it")
      .optional(),
    time: milliseconds.describe("Milliseconds of a whole exchange, all tries together").optional(),
    timeouts: timeoutsSchema.optional(),
    onBreak: z.enum(breakPolicies).describe(
      "A stream breaks off after words of it went out: end with an error (error), let the next target go on from them (continue), or send nothing before an answer is complete (whole)",
    ).optional(),
    hedgeAfter: z.union([z.literal(true), milliseconds], {
      error: "must be true or milliseconds",
    }).describe(
      "Milliseconds without a token after which a second target is asked too, and the slower one ended; true: twice the usual time of the first one. Both are paid for",
    ).optional(),
  } satisfies Record<keyof RouteOptions, z.ZodType>,
).superRefine(({ targets, hedgeAfter }, context) => {
  refuseTwins(targets, ["targets"], context);
  if (hedgeAfter === undefined || targets.length > 1) return;
  const message = "needs a second target, to be asked when the first is slow. Add one";
  context.addIssue({ code: "custom", path: ["hedgeAfter"], message });
});

/** A target that stands twice would be asked twice. With another `when` it is another target. */
function refuseTwins(
  targets: readonly (string | Pick<DeclaredTarget, "model" | "when">)[],
  at: readonly string[],
  context: z.RefinementCtx,
): void {
  const all = targets.map((each): Pick<DeclaredTarget, "model" | "when"> =>
    typeof each === "string" ? { model: each } : each
  );
  for (const [i, { model, when }] of all.entries()) {
    const first = all.findIndex((each) =>
      each.model === model && isDeepStrictEqual(each.when ?? {}, when ?? {})
    );
    if (first === i) continue;
    const message = `names "${model}" again. Name it once, or give each a "when" of its own`;
    context.addIssue({ code: "custom", path: [...at, i], message });
  }
}

/** The schema of routes by name. */
export const routesSchema = z.record(
  z.string().min(1, "must not be empty").max(256, "must have at most 256 characters"),
  z.union([
    modelId.describe("One model"),
    z.array(modelId).min(1, "must name a model")
      .superRefine((models, context) => refuseTwins(models, [], context))
      .describe("Models, tried in order"),
    optionsSchema,
  ], { error: "must be a model, a list of models, or an object with targets" }),
).describe("Names that clients ask for, and the models that they lead to");

/** Routes of one file. */
export interface RouteSource {
  /** The file, for people. */
  readonly at: string;
  /** Routes by name. */
  readonly routes: Readonly<Record<string, DeclaredRoute>>;
}

/**
 * Checks the routes of all files together.
 *
 * @param sources The files in the order in which they are loaded.
 * @param providers The names of all providers.
 * @returns The routes by name, and every problem with its file and cure.
 */
export function readRoutes(
  sources: readonly RouteSource[],
  providers: readonly string[],
): { routes: Map<string, RouteTable>; problems: Problem[] } {
  const routes = new Map<string, RouteTable>();
  const problems: Problem[] = [];
  for (const { at: file, routes: declared } of sources) {
    const { value = {}, issues } = readValue(routesSchema, declared);
    problems.push(
      ...issues.map(({ path, message }) => ({
        at: `${file}, routes`,
        message: `"${path.join(".")}": ${message}`,
      })),
    );
    for (const [name, route] of Object.entries(value as RouteSource["routes"])) {
      const at = `${file}, routes["${name}"]`;
      const twin = routes.get(name);
      if (twin === undefined) routes.set(name, toTable(name, file, route));
      else problems.push({ at, message: `there is one already in ${twin.at}. Rename one of them` });
    }
  }
  for (const { name, at: file, targets } of routes.values()) {
    for (const { id, provider } of targets) {
      const message = routes.has(id)
        ? `"${id}" is a route itself. Name models`
        : providers.includes(provider)
        ? undefined
        : `"${id}": there is no provider "${provider}". There are: ${providers.join(", ")}`;
      if (message !== undefined) problems.push({ at: `${file}, routes["${name}"]`, message });
    }
  }
  return { routes, problems };
}

function toTable(name: string, at: string, declared: DeclaredRoute): RouteTable {
  const { targets, strategy = "priority", ...options } = toOptions(declared);
  return {
    ...options,
    name,
    at,
    strategy,
    targets: targets.map((each) => toTarget(typeof each === "string" ? { model: each } : each))
      .sort((a, b) => a.priority - b.priority),
  };
}

function toOptions(declared: DeclaredRoute): RouteOptions {
  if (typeof declared === "string") return { targets: [declared] };
  return "targets" in declared ? declared : { targets: declared };
}

function toTarget({ model: id, weight = 1, priority = 1, ...rest }: DeclaredTarget): RouteTarget {
  const slash = id.indexOf("/");
  return {
    ...rest,
    id,
    provider: id.slice(0, slash),
    model: id.slice(slash + 1),
    weight,
    priority,
  };
}
