/**
 * Prices in the database: those that are set by command, and the history of all.
 *
 * Every row is a step of its source's tariff, added at `set_at`: a price from `valid_from` on, or the
 * end of all prices from then on, also of those that were planned. Rows are never changed, so they
 * are the history, and what is in force follows from them in the order in which they were added.
 *
 * @module
 */
import type { Client, InStatement, Row } from "@libsql/client";
import { type Price, toMillionths } from "./price.ts";
import type { PriceSource, SourceTariff } from "./price_book.ts";
import { type Step, stepsToward, type Tariff, withStep } from "./tariff.ts";
import { retryWhileBusy } from "../store/database.ts";

/** A row of table `prices`. */
export interface PriceRecord extends Step {
  readonly provider: string;
  readonly model: string;
  readonly source: PriceSource;
  /** When it was written, in milliseconds since 1970. */
  readonly setAt: number;
}

/** The currency of a row that ends all prices of its source. */
const noCurrency = "";

const columns = "provider, model, valid_from, set_at, source, currency, input, output, cached";

const select = `SELECT ${columns} FROM prices`;
const order = "ORDER BY provider, model, set_at";

/** Table `prices`. Every method rejects when the database does. */
export class PriceStore {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * Sets a price. It wins over what the files say until {@linkcode PriceStore.unset}, or until the
   * next one that is set takes over; one that was set for a later day still does.
   *
   * @param price Units of its currency per million tokens.
   * @param from When it begins to hold, in milliseconds since 1970; without it now.
   */
  async set(provider: string, model: string, price: Price, from?: number): Promise<void> {
    const now = Date.now();
    const statement = insert(
      { provider, model, source: "command" },
      { from: from ?? now, price },
      now,
    );
    await retryWhileBusy(() => this.#client.execute(statement));
  }

  /**
   * Takes back what is set for a model, also for later days. What the files say holds again.
   *
   * @throws Error when nothing is set.
   */
  async unset(provider: string, model: string): Promise<void> {
    const nothing = { provider, model, source: "command", tariff: [] } as const;
    const isThis = (row: PriceRecord) =>
      row.source === "command" && row.provider === provider && row.model === model;
    if (await this.#bring([nothing], isThis) === 0) {
      throw new Error(
        `No price of "${provider}/${model}" is set by command. "xrouter prices list" shows them`,
      );
    }
  }

  /**
   * Records what the files say, where it is not what they said at the last start: from now on, or
   * since ever for a model of which the file has said nothing before. What they no longer say ends.
   */
  async recordDeclared(declared: readonly SourceTariff[]): Promise<void> {
    await this.#bring(declared, ({ source }) => source !== "command");
  }

  /** What is set by command. */
  async readSet(): Promise<SourceTariff[]> {
    const { rows } = await this.#client.execute(`${select} WHERE source = 'command' ${order}`);
    return toTariffs(rows.map(toRecord));
  }

  /** Every row, by model, and for each model in the order in which they were added. */
  async list(): Promise<PriceRecord[]> {
    const { rows } = await this.#client.execute(`${select} ${order}`);
    return rows.map(toRecord);
  }

  /**
   * Adds the rows after which the table says from now on what is wanted.
   *
   * @param concerns Which rows are to say nothing else.
   * @returns How many rows there were to add.
   */
  async #bring(
    wanted: readonly SourceTariff[],
    concerns: (row: PriceRecord) => boolean,
  ): Promise<number> {
    const now = Date.now();
    const inserts = async (database: Pick<Client, "execute">) => {
      const { rows } = await database.execute(`${select} ${order}`);
      return changes(toTariffs(rows.map(toRecord).filter(concerns)), wanted, now);
    };
    // Most starts find nothing to record, and then nobody's writing is held up.
    if ((await inserts(this.#client)).length === 0) return 0;
    return await retryWhileBusy(async () => {
      const transaction = await this.#client.transaction("write");
      try {
        const statements = await inserts(transaction);
        await transaction.batch(statements);
        await transaction.commit();
        return statements.length;
      } finally {
        transaction.close();
      }
    });
  }
}

type Subject = Omit<SourceTariff, "tariff">;

function changes(
  recorded: readonly SourceTariff[],
  wanted: readonly SourceTariff[],
  now: number,
): InStatement[] {
  const steps = (subject: Subject, from: Tariff, to: Tariff) =>
    stepsToward(from, to, now).map((step) => insert(subject, step, now));
  const before = new Map(recorded.map((each) => [keyOf(each), each]));
  const changed = wanted.flatMap((each) => {
    const tariff = before.get(keyOf(each))?.tariff ?? [];
    before.delete(keyOf(each));
    return steps(each, tariff, each.tariff);
  });
  const ended = [...before.values()].flatMap((each) => steps(each, each.tariff, []));
  return [...changed, ...ended];
}

function insert(
  { provider, model, source }: Subject,
  { from, price }: Step,
  now: number,
): InStatement {
  return {
    // The order of the rows must not depend on clocks, which several machines have.
    sql: `INSERT INTO prices (${columns})
      SELECT ?1, ?2, ?3, max(?4, coalesce(max(set_at) + 1, 0)), ?5, ?6, ?7, ?8, ?9
      FROM prices WHERE provider = ?1 AND model = ?2`,
    args: [
      provider,
      model,
      from,
      now,
      source,
      price?.currency ?? noCurrency,
      toMillionths(price?.input ?? 0),
      toMillionths(price?.output ?? 0),
      toMillionths(price?.cached ?? price?.input ?? 0),
    ],
  };
}

function toRecord(row: Row): PriceRecord {
  const units = (column: string) => row[column] as number / 1_000_000;
  return {
    provider: row.provider as string,
    model: row.model as string,
    source: row.source as PriceSource,
    from: row.valid_from as number,
    setAt: row.set_at as number,
    price: row.currency === noCurrency ? undefined : {
      currency: row.currency as string,
      input: units("input"),
      output: units("output"),
      cached: units("cached"),
    },
  };
}

/** What rows come to that are in the order in which they were added. */
function toTariffs(records: readonly PriceRecord[]): SourceTariff[] {
  const tariffs = new Map<string, SourceTariff>();
  for (const { provider, model, source, from, price } of records) {
    const key = keyOf({ provider, model, source });
    const tariff = withStep(tariffs.get(key)?.tariff ?? [], { from, price });
    tariffs.set(key, { provider, model, source, tariff });
  }
  return [...tariffs.values()];
}

function keyOf({ provider, model, source }: Subject): string {
  return JSON.stringify([provider, model, source]);
}
