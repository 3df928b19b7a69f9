import type { Client } from "@libsql/client";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { type ApiKey, KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { costOf, toMillionths } from "../../core/prices/price.ts";
import { type UsageFilter, UsageStore } from "../../core/report/usage_store.ts";
import type { UsageGroup, UsageSums } from "../../core/report/usage_totals.ts";
import type { RandomBelow } from "../support/random.ts";
import { addUsage } from "../support/usage_rows.ts";

/** A database with four keys, two of them Anna's, one Boris'. */
export async function withUsage(
  run: (usage: UsageStore, client: Client, keys: ApiKey[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const client = await openDatabase({ url: `file:${folder}/x.db` });
  try {
    await migrate(client, migrationsFolder);
    const store = new KeyStore(client);
    const keys: ApiKey[] = [];
    for (const [name, owner] of [["a", "Anna"], ["b", "Anna"], ["c", "Boris"], ["d"]] as const) {
      keys.push((await store.create({ name, ...(owner !== undefined && { owner }) })).key);
    }
    await run(new UsageStore(client), client, keys);
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

export const minute = 60_000;
export const firstDay = Date.parse("2026-10-30T00:00:00Z");
/** More than is read at once. */
export const days = ["2026-10-30", "2026-10-31", "2026-11-06", "2026-11-14"];

/** A row as it was written, with its day. */
export type Any = Record<string, string | number | null>;

/** Requests of four days, many of them at a day's very first or last millisecond. */
export async function addRandom(
  client: Client,
  keys: readonly ApiKey[],
  random: RandomBelow,
): Promise<Any[]> {
  const one = <Value>(...values: Value[]) => values[random(values.length)]!;
  const rows: Any[] = [];
  for (let i = 0; i < 300; i++) {
    const day = random(days.length);
    const at = Date.parse(days[day]!) +
      one(0, 1440 * minute - 1, random(1440 * minute));
    const key = one(...keys, undefined);
    const some = { input: random(10), output: random(9) / 8, cached: random(4) / 3 };
    const price = one(undefined, { currency: "RUB", ...some });
    const tokens = { input: random(100), output: random(100), cached: random(100) };
    const [input, output] = [one(null, tokens.input), one(null, tokens.output)];
    const known = price !== undefined && input !== null && output !== null;
    const cost = known ? costOf({ input, output, cached: tokens.cached }, price) : null;
    const row = {
      created_at: at,
      key_id: key?.id ?? null,
      owner: key?.owner ?? null,
      tag: one(null, "prod", "тест"),
      provider: one(null, "echo", "openai"),
      model: one(null, "small", "large"),
      input_tokens: input,
      output_tokens: output,
      cached_tokens: known ? tokens.cached : one(null, tokens.cached),
      price_input: price === undefined ? null : toMillionths(price.input),
      price_output: price === undefined ? null : toMillionths(price.output),
      price_cached: price === undefined ? null : toMillionths(price.cached),
      cost,
      charged: cost === null ? 0 : random(cost + 1),
      state: one("completed", "completed", "failed", "aborted"),
    };
    const unanswered = cost !== null && row.charged < cost ? 1 : 0;
    rows.push({
      ...row,
      day: days[day]!,
      request_id: await addUsage(client, { ...row, unanswered }),
    });
  }
  return rows;
}

/** What a row is grouped by. */
export const valueOf: Record<UsageGroup, (row: Any) => string | null> = {
  day: ({ day }) => day as string,
  key: ({ key_id }) => key_id as string | null,
  owner: ({ owner }) => owner as string | null,
  provider: ({ provider }) => provider as string | null,
  model: ({ model }) => model as string | null,
  tag: ({ tag }) => tag as string | null,
};

/** What the store must say of rows. */
export function sumOf(rows: readonly Any[]): UsageSums {
  const sum = (show: (row: Any) => number | boolean) =>
    rows.reduce((total, row) => total + Number(show(row)), 0);
  return {
    requests: rows.length,
    failed: sum(({ state }) => state !== "completed"),
    unpriced: sum(({ input_tokens, output_tokens, cost }) =>
      input_tokens !== null && output_tokens !== null && cost === null
    ),
    input_tokens: sum(({ input_tokens }) => Number(input_tokens)),
    output_tokens: sum(({ output_tokens }) => Number(output_tokens)),
    cached_tokens: sum(({ cached_tokens }) => Number(cached_tokens)),
    cost: sum(({ cost }) => Number(cost)),
    charged: sum(({ charged }) => Number(charged)),
  };
}

/** The rows that a filter lets through. */
export function keep(rows: readonly Any[], { keyId, from, to, ...exact }: UsageFilter): Any[] {
  return rows.filter((row) =>
    (keyId === undefined || row.key_id === keyId) &&
    (from === undefined || row.day! >= from) && (to === undefined || row.day! <= to) &&
    Object.entries(exact).every(([name, value]) => value === undefined || row[name] === value)
  );
}

/** A filter with some conditions. */
export function randomFilter(keys: readonly ApiKey[], random: RandomBelow): UsageFilter {
  const maybe = <Value>(...values: Value[]) =>
    random(3) > 0 ? undefined : values[random(values.length)];
  return {
    keyId: maybe(...keys.map(({ id }) => id), "nobody"),
    owner: maybe("Anna", "Boris", "nobody"),
    from: maybe(...days),
    to: maybe(...days),
    provider: maybe("echo", "openai"),
    model: maybe("small", "large"),
    tag: maybe("prod", "тест"),
  };
}
