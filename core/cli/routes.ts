/**
 * `xrouter routes`: where each route leads, and the limits in force.
 *
 * @module
 */
import { readEnvironment } from "../config.ts";
import type { Catalog } from "../catalog.ts";
import type { Timeouts } from "../plugin.ts";
import { assemble, closeProviders } from "../assembly.ts";
import type { Conditions } from "../routing/conditions.ts";
import { limitsOf, type RouteLimits, standardLimitsOf } from "../routing/limits.ts";
import type { RouteTable, RouteTarget } from "../routing/routes.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { formatTable, paint } from "./terminal.ts";

/** `xrouter routes`. */
export const routes = defineCommand({
  name: "routes",
  about: "Show where each route leads, in order, with weights, conditions and limits",
  arguments: { json: jsonSwitch },
  async run({ json }) {
    const assembly = await assemble(readEnvironment());
    await closeProviders(assembly.catalog);
    const standard = standardLimitsOf(assembly.plugins);
    const all = [...assembly.catalog.routes.values()].map((each) =>
      describe(each, assembly.catalog, standard)
    );
    if (json) console.log(JSON.stringify({ standard, routes: all }, undefined, 2));
    else print(all, standard);
    return 0;
  },
});

interface RouteEntry extends RouteLimits {
  name: string;
  file: string;
  strategy: string;
  region: string | null;
  hedgeAfter: number | true | null;
  targets: TargetEntry[];
}

interface TargetEntry {
  target: string;
  priority: number;
  weight: number;
  when: Conditions;
  timeouts: Timeouts;
  /** Why it is never asked; null where it may be. */
  unused: string | null;
}

function describe(table: RouteTable, catalog: Catalog, standard: RouteLimits): RouteEntry {
  const limits = limitsOf(table, standard);
  return {
    name: table.name,
    file: table.at,
    strategy: table.strategy,
    region: table.region ?? null,
    hedgeAfter: table.hedgeAfter ?? null,
    ...limits,
    targets: table.targets.map((target) => ({
      target: target.id,
      priority: target.priority,
      weight: target.weight,
      when: target.when ?? {},
      timeouts: { ...limits.timeouts, ...target.timeouts },
      unused: whyUnused(target, table, catalog) ?? null,
    })),
  };
}

function whyUnused(
  { provider, model }: RouteTarget,
  { region }: RouteTable,
  catalog: Catalog,
): string | undefined {
  const { missing } = catalog.providers.get(provider)!;
  if (missing !== undefined) return `not configured. ${missing}`;
  const { facts } = catalog.target(provider, model);
  return region === undefined || facts.region === region
    ? undefined
    : `not known to run in "${region}". Say so in "models"`;
}

const timers: readonly [name: keyof Timeouts, head: string][] = [
  ["firstByte", "FIRST BYTE"],
  ["firstToken", "FIRST TOKEN"],
  ["last", "LAST"],
  ["idle", "SILENCE"],
  ["whole", "WHOLE"],
  ["total", "TOTAL"],
];

function print(all: readonly RouteEntry[], standard: RouteLimits): void {
  for (const route of all) {
    const { name, strategy, region, hedgeAfter, targets, file } = route;
    const hedge = hedgeAfter === null
      ? "no hedge"
      : `hedge after ${hedgeAfter === true ? "twice the usual time" : seconds(hedgeAfter)}`;
    console.log(paint(name, "bold"));
    console.log(
      `  ${strategy}${region === null ? "" : `, only ${region}`}, ${hedge}, from ${file}`,
    );
    console.log(`  ${limitsText(route)}`);
    const rows = targets.map((each, place) => [
      `  ${place + 1}`,
      each.target,
      String(each.priority),
      String(each.weight),
      conditionsText(each.when),
      ...timers.map(([timer]) => seconds(each.timeouts[timer])),
      each.unused ?? "yes",
    ]);
    const head = [
      "  #",
      "TARGET",
      "PRIORITY",
      "WEIGHT",
      "TAKES",
      ...timers.map(([, text]) => text),
    ];
    console.log(`${formatTable(rows, [...head, "USED"]).join("\n")}\n`);
  }
  console.log(paint("Models that no route names", "bold"));
  console.log(`  ${limitsText(standard)}`);
  const row = timers.map(([timer]) => seconds(standard.timeouts[timer]));
  const head = timers.map(([, text]) => text);
  const indented = ([first, ...rest]: string[]) => [`  ${first}`, ...rest];
  console.log(formatTable([indented(row)], indented(head)).join("\n"));
}

function limitsText({ attempts, retries, time, onBreak }: RouteLimits): string {
  const tries = `${attempts} tries in all, ${retries} again of one target`;
  return `${tries}, ${seconds(time)} in all, on break: ${onBreak}`;
}

function conditionsText(when: Conditions): string {
  const parts = Object.entries(when).map(([name, value]) =>
    `${name} ${Array.isArray(value) ? value.join("|") : value}`
  );
  return parts.join(", ") || "all";
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`;
}
