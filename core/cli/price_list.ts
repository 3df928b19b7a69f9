/**
 * Prices as the command line shows them.
 *
 * @module
 */
import type { Price } from "../prices/price.ts";
import type { PriceBook, PriceSource } from "../prices/price_book.ts";
import type { PriceRecord } from "../prices/price_store.ts";
import { priceText } from "./providers.ts";
import { formatTable } from "./terminal.ts";

/** One price of one model. Times are ISO 8601 in UTC. */
export interface PriceLine {
  /** `provider/model`. */
  readonly model: string;
  /** From when it holds; null: since ever. */
  readonly from: string | null;
  /** When it was recorded; absent unless history is shown. */
  readonly setAt?: string;
  /** Whether it has begun; absent where history is shown. */
  readonly state?: "in force" | "planned";
  /** Who says it; null: nobody. */
  readonly source: PriceSource | null;
  /** Null: from then on there is none. */
  readonly price: Price | null;
}

/**
 * What is in force, and what is known to come.
 *
 * @param now Milliseconds since 1970.
 * @param only The one model of interest, `provider/model`.
 */
export function linesInForce(prices: PriceBook, now: number, only?: string): PriceLine[] {
  const lines = prices.models().flatMap(({ provider, model }) => {
    const steps = prices.steps(provider, model);
    const begun = steps.findLastIndex(({ from }) => from <= now);
    return steps.slice(Math.max(begun, 0)).map(({ from, price, source }): PriceLine => ({
      model: `${provider}/${model}`,
      from: from === 0 ? null : isoTime(from),
      state: from <= now ? "in force" : "planned",
      source: source ?? null,
      price: price === undefined ? null : withCached(price),
    }));
  });
  return inOrder(lines.filter(({ state, price }) => state === "planned" || price !== null), only);
}

/**
 * What was recorded, for each model in the order in which it was.
 *
 * @param only The one model of interest, `provider/model`.
 */
export function linesOfHistory(records: readonly PriceRecord[], only?: string): PriceLine[] {
  return inOrder(
    records.map(({ provider, model, from, setAt, source, price }) => ({
      model: `${provider}/${model}`,
      from: from === 0 ? null : isoTime(from),
      setAt: isoTime(setAt),
      source,
      price: price === undefined ? null : withCached(price),
    })),
    only,
  );
}

/** Prints prices as a table or as JSON. */
export function printPrices(lines: readonly PriceLine[], json: boolean): void {
  if (json) console.log(JSON.stringify(lines, undefined, 2));
  else if (lines.length === 0) {
    console.error('No price is known. "xrouter prices set PROVIDER/MODEL …" sets one');
  } else {
    const history = lines[0]!.state === undefined;
    const rows = lines.map(({ model, from, setAt, state, source, price }) => [
      model,
      from === null ? "always" : shortTime(from),
      history ? shortTime(setAt!) : state!,
      source ?? "",
      price === null ? "none" : priceText(price),
    ]);
    const third = history ? "RECORDED" : "STATE";
    const head = ["MODEL", "FROM (UTC)", third, "SOURCE", "PRICE OF A MILLION TOKENS"];
    console.log(formatTable(rows, head).join("\n"));
  }
}

function inOrder(lines: PriceLine[], only: string | undefined): PriceLine[] {
  return lines.filter(({ model }) => only === undefined || model === only).sort((a, b) =>
    a.model < b.model ? -1 : a.model > b.model ? 1 : 0
  );
}

function withCached({ currency, input, output, cached = input }: Price): Price {
  return { currency, input, output, cached };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function shortTime(iso: string): string {
  return iso.slice(0, 16).replace("T", " ");
}
