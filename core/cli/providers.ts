/**
 * `xrouter providers`: each provider, whether it is configured, and its models with their prices.
 *
 * @module
 */
import type { ModelFacts } from "../model.ts";
import { readEnvironment } from "../config.ts";
import { assemble, type Assembly, closeProviders } from "../assembly.ts";
import type { Balance } from "../provider.ts";
import type { Transport } from "../transport.ts";
import { defineCommand, jsonSwitch } from "./arguments.ts";
import { createRedact, type Redact, withoutUser } from "./redact.ts";
import { formatTable, paint } from "./terminal.ts";
import { explainVendorFault, type Fault } from "./vendor_fault.ts";
import { within } from "./within.ts";

/** `xrouter providers`. */
export const providers = defineCommand({
  name: "providers",
  about: "List the providers, whether they are configured, and their models with prices",
  arguments: {
    live: { about: "Ask the configured vendors for their models and balances, too" },
    json: jsonSwitch,
  },
  async run({ live, json }) {
    const assembly = await assemble(readEnvironment());
    const redact = createRedact(assembly);
    const all = await Promise.all(
      [...assembly.catalog.providers.values()].map((each) =>
        describe(each, assembly, live, redact)
      ),
    );
    await closeProviders(assembly.catalog);
    if (json) console.log(JSON.stringify({ providers: all }, undefined, 2));
    else print(all, live);
    return 0;
  },
});

interface ProviderEntry {
  name: string;
  configured: boolean;
  /** What to do before it can be used. */
  missing: string | null;
  /** Null for one that answers inside XRouter, empty where it has yet to be set. */
  baseUrl: string | null;
  models: ModelEntry[];
  /** Why the vendor's own list is absent although it was asked for. */
  fault: Omit<Fault, "status"> | null;
  /** What each account has left; empty where it was not asked for, or the provider cannot ask. */
  balances: AccountBalance[];
}

interface AccountBalance {
  account: string;
  left: readonly Balance[];
  /** Why the vendor does not tell. */
  fault: string | null;
}

interface ModelEntry extends ModelFacts {
  id: string;
  /** Whether the vendor lists it now; null where it was not asked. */
  listed: boolean | null;
}

async function describe(
  provider: Transport,
  { catalog, config }: Assembly,
  live: boolean,
  redact: Redact,
): Promise<ProviderEntry> {
  const { name, missing, local, baseUrl } = provider;
  let listed: string[] | undefined;
  let fault: ProviderEntry["fault"] = null;
  let balances: AccountBalance[] = [];
  if (live && missing === undefined) {
    const asked = balancesOf(provider, redact);
    try {
      listed = await within((signal) => provider.listModels(signal));
    } catch (error) {
      const { found, cure } = explainVendorFault(error, provider, redact);
      fault = { found, cure };
    }
    balances = await asked;
  }
  const named = Object.keys(config.file.models)
    .filter((model) => model.startsWith(`${name}/`))
    .map((model) => model.slice(name.length + 1));
  const ids = new Set([...Object.keys(provider.models), ...named, ...listed ?? []]);
  return {
    name,
    configured: missing === undefined,
    missing: missing ?? null,
    baseUrl: local ? null : withoutUser(baseUrl),
    models: [...ids].map((id) => ({
      id,
      ...catalog.target(name, id).facts,
      listed: listed?.includes(id) ?? null,
    })),
    fault,
    balances,
  };
}

async function balancesOf(provider: Transport, redact: Redact): Promise<AccountBalance[]> {
  const asked = provider.accounts.map(async (account): Promise<AccountBalance[]> => {
    try {
      const left = await within((signal) => account.balance(signal));
      return left === undefined ? [] : [{ account: account.name, left, fault: null }];
    } catch (error) {
      const fault = explainVendorFault(error, provider, redact).found;
      return [{ account: account.name, left: [], fault }];
    }
  });
  return (await Promise.all(asked)).flat();
}

function print(
  all: readonly ProviderEntry[],
  live: boolean,
): void {
  const section = (rows: string[][], head: string[]) => {
    if (rows.length > 0) console.log(`${formatTable(rows, head).join("\n")}\n`);
  };
  section(
    all.map(({ name, configured, missing, baseUrl }) => [
      name,
      configured ? "yes" : "no",
      baseUrl ?? "inside XRouter",
      missing ?? "",
    ]),
    ["PROVIDER", "CONFIGURED", "ADDRESS", "TO DO"],
  );
  section(
    all.flatMap(({ name, models }) =>
      models.map(({ id, context, maxOutput, price, listed }) => [
        `${name}/${id}`,
        context === undefined ? "" : String(context),
        maxOutput === undefined ? "" : String(maxOutput),
        ...live ? [listed === null ? "" : listed ? "yes" : "no"] : [],
        priceText(price),
      ])
    ),
    [
      "MODEL",
      "CONTEXT",
      "MAX OUTPUT",
      ...live ? ["LISTED NOW"] : [],
      "PRICE OF A MILLION TOKENS",
    ],
  );
  section(
    all.flatMap(({ name, balances }) =>
      balances.map(({ account, left, fault }) => [
        name,
        account,
        fault ?? (left.map(balanceText).join(", ") || "nothing"),
      ])
    ),
    ["PROVIDER", "ACCOUNT", "LEFT"],
  );
  for (const { name, fault } of all) {
    if (fault !== null) console.log(`${name}: ${fault.found}\n  ${fault.cure}\n`);
  }
  if (!live) console.log(paint("With --live the configured vendors are asked for more.", "dim"));
  console.log(
    paint(
      'Prices are those of the files; "xrouter prices list" has those set by command, too.',
      "dim",
    ),
  );
}

function balanceText({ name, left, unit }: Balance): string {
  return `${name} ${left} ${unit}`;
}

/** A price in words: `65 in, 65 out, 0 cached RUB`. */
export function priceText(price: ModelFacts["price"]): string {
  if (price === undefined) return "not known";
  const { currency, input, output, cached } = price;
  const shown = cached === undefined ? "" : `, ${cached} cached`;
  return `${input} in, ${output} out${shown} ${currency}`;
}
