/**
 * `xrouter prices`: lists what models cost, and sets and takes back prices in the database.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import type { Catalog } from "../catalog.ts";
import { readEnvironment } from "../config.ts";
import { parseAmount } from "../ledger/money.ts";
import { assemble, closeProviders } from "../assembly.ts";
import { migrationsFolder } from "../program.ts";
import { openDatabase } from "../store/database.ts";
import { migrate } from "../store/migrate.ts";
import { PriceStore } from "../prices/price_store.ts";
import { daySchema, startOfDay } from "../prices/tariff.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import { linesInForce, linesOfHistory, printPrices } from "./price_list.ts";

const modelArgument = {
  value: "PROVIDER/MODEL",
  bare: true,
  required: true,
  about: "The model, such as gigachat/GigaChat-2",
} as const;

/** `xrouter prices list`. */
export const listPrices = defineCommand({
  name: "prices list",
  about: "List what models cost, now and from a known day on, and who says so",
  arguments: {
    model: { value: "PROVIDER/MODEL", about: "Only this model" },
    history: { about: "List every price that was recorded" },
    json: jsonSwitch,
  },
  help: () =>
    "A price set by command wins over the configuration file's, and that over the provider's own.",
  async run({ model: only, history, json }) {
    if (only !== undefined) readModel(only);
    await withPrices(async ({ store, catalog }) => {
      const lines = history
        ? linesOfHistory(await store.list(), only)
        : linesInForce(catalog.prices, Date.now(), only);
      printPrices(lines, json);
    });
    return 0;
  },
});

/** `xrouter prices set`. */
export const setPrice = defineCommand({
  name: "prices set",
  about: "Set what a model's tokens cost; servers heed it within two seconds",
  arguments: {
    model: modelArgument,
    input: { value: "AMOUNT", required: true, about: "A million tokens of prompts: 65 or 0.15" },
    output: { value: "AMOUNT", required: true, about: "A million tokens of answers" },
    cached: {
      value: "AMOUNT",
      about:
        "A million tokens of prompts from the provider's cache; without it as --input, or nothing where the vendor bills none",
    },
    from: { value: "DAY", about: "Its first day: 2026-12-01 (0:00 UTC); without it now" },
    currency: { value: "CODE", about: "The currency; it must be that of the accounts" },
  },
  async run({ model: id, from, currency: named, ...amounts }) {
    const { provider, model } = readModel(id);
    const start = from === undefined ? undefined : readFirstDay(from, Date.now());
    const input = readUnits("--input", amounts.input);
    const output = readUnits("--output", amounts.output);
    const cached = amounts.cached === undefined ? undefined : readUnits("--cached", amounts.cached);
    await withPrices(async ({ store, catalog, currency }) => {
      const transport = catalog.providers.get(provider);
      if (transport === undefined) {
        const names = [...catalog.providers.keys()].join(", ");
        throw new Error(`There is no provider "${provider}". There are: ${names}`);
      }
      if (named !== undefined && named !== currency) {
        throw new UsageError(
          `--currency must be ${currency}, the currency of the accounts, not "${named}". ` +
            "A price in another one charges nobody",
        );
      }
      const price = transport.priced({ currency, input, output, cached });
      await store.set(provider, model, price, start);
      catalog.prices.take(await store.readSet());
      printPrices(linesInForce(catalog.prices, Date.now(), id), false);
    });
    return 0;
  },
});

/** `xrouter prices unset`. */
export const unsetPrice = defineCommand({
  name: "prices unset",
  about: "Take back the price that is set for a model; what the files say of it holds again",
  arguments: { model: modelArgument },
  async run({ model: id }) {
    const { provider, model } = readModel(id);
    await withPrices(async ({ store, catalog }) => {
      await store.unset(provider, model);
      catalog.prices.take(await store.readSet());
      console.log(`What was set for "${id}" is taken back`);
      printPrices(linesInForce(catalog.prices, Date.now(), id), false);
    });
    return 0;
  },
});

/** What a command works with. */
interface Prices {
  readonly store: PriceStore;
  readonly catalog: Catalog;
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
}

/** Opens the database, reads what is set by command, and closes all when done. */
async function withPrices(action: (prices: Prices) => Promise<void>): Promise<void> {
  const { config, catalog } = await assemble(readEnvironment());
  const { databaseUrl, databaseAuthToken, currency } = config.settings;
  let database: Client | undefined;
  try {
    database = await openDatabase({
      url: databaseUrl,
      ...(databaseAuthToken !== undefined && { authToken: databaseAuthToken }),
    });
    await migrate(database, migrationsFolder);
    const store = new PriceStore(database);
    catalog.prices.take(await store.readSet());
    await action({ store, catalog, currency });
  } finally {
    database?.close();
    await closeProviders(catalog);
  }
}

/** @throws {UsageError} when it is not `provider/model`. */
function readModel(id: string): { provider: string; model: string } {
  const slash = id.indexOf("/");
  if (slash <= 0 || slash === id.length - 1) {
    throw new UsageError(`The model must be written as PROVIDER/MODEL, not "${id}"`);
  }
  return { provider: id.slice(0, slash), model: id.slice(slash + 1) };
}

/** An amount in units. @throws {UsageError} when it is none, or below 0. */
function readUnits(flag: string, text: string): number {
  let millionths: number;
  try {
    millionths = parseAmount(text);
  } catch (error) {
    throw new UsageError(`${flag} ${(error as Error).message}`);
  }
  if (millionths < 0) throw new UsageError(`${flag} must not be below 0, as "${text}" is`);
  return millionths / 1_000_000;
}

/** The beginning of a day to come. @throws {UsageError} when it is no day, or has begun. */
function readFirstDay(text: string, now: number): number {
  const day = daySchema.safeParse(text);
  if (!day.success) {
    throw new UsageError(`--from ${day.error.issues[0]!.message}, not "${text}"`);
  }
  const start = startOfDay(day.data);
  if (start > now) return start;
  throw new UsageError(
    `--from must be a day to come, not "${text}". Without it, it holds from now`,
  );
}
