/**
 * Measures how long totals of a month take over a million requests of a year: `deno run -A
 * tests/bench/usage_totals.ts [REQUESTS]`. The database lies in a folder that is removed at the end.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { migrate } from "../../core/store/migrate.ts";
import { UsageStore } from "../../core/report/usage_store.ts";

const requests = Number(Deno.args[0] ?? 1_000_000);
const keys = 200;
const models = 10;
const rounds = 40;
const chunk = 20_000;
const year = 365 * 86_400_000;
const start = Date.UTC(2026, 0, 1);

const folder = await Deno.makeTempDir({ prefix: "xrouter-bench-" });
const client = await openDatabase({ url: `file:${folder}/usage.db` });
try {
  await migrate(client, migrationsFolder);
  await fill(client);
  await measure(new UsageStore(client));
} finally {
  client.close();
  await Deno.remove(folder, { recursive: true });
}

/** Spreads the requests evenly over the year, and at random over keys and models. */
async function fill(client: Client): Promise<void> {
  const count = (limit: number) =>
    `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${limit - 1})`;
  await client.execute(
    `${count(keys)} INSERT INTO api_keys (id, hash, name, owner, created_at)
      SELECT 'key_' || i, i, 'key ' || i, 'owner ' || (i % 20), 0 FROM n`,
  );
  for (let from = 0; from < requests; from += chunk) {
    const rows = Math.min(chunk, requests - from);
    await client.execute(
      `${count(rows)}, drawn AS MATERIALIZED (
          SELECT ${start} + (${from} + i) * ${year} / ${requests} AS at,
            abs(random()) % ${keys} AS key, abs(random()) % ${models} AS model,
            abs(random()) % 5000 AS input, abs(random()) % 800 AS output FROM n
        )
        INSERT INTO usage (request_id, created_at, key_id, owner, provider, model, model_asked,
          model_served, stream, input_tokens, output_tokens, cached_tokens, counted_tokens,
          estimated, cost, charged, currency, price_input, price_output, price_cached, state,
          status, attempts, duration_ms, first_token_ms)
        SELECT substr(printf('%012x', at), 1, 8) || '-' || substr(printf('%012x', at), 9)
            || '-7000-8000-' || lower(hex(randomblob(6))),
          at, 'key_' || key, 'owner ' || (key % 20), 'vendor ' || (model % 3), 'model ' || model,
          'model ' || model, 'model ' || model, 1, input, output, 0, input, 0,
          65 * (input + output), 65 * (input + output), 'RUB', 65000000, 65000000, 65000000,
          'completed', 200, 1, 900, 300
        FROM drawn`,
    );
  }
  const { rows } = await client.execute("SELECT count(*) AS rows FROM usage_daily");
  console.log(`${requests} requests, ${rows[0]!.rows} rows of usage_daily`);
}

async function measure(usage: UsageStore): Promise<void> {
  const month = { from: "2026-10-01", to: "2026-10-31" };
  const one = { ...month, keyId: "key_7" };
  const owner = { ...month, owner: "owner 7" };
  await time("one key, by day", () => usage.totals({ ...one, groupBy: ["day"] }));
  await time(
    "one key, by day and model",
    () => usage.totals({ ...one, groupBy: ["day", "model"] }),
  );
  await time("one owner, by day", () => usage.totals({ ...owner, groupBy: ["day"] }));
  for (
    const groupBy of [["day"], ["model"], ["key"], ["owner"], ["day", "model"]] as const
  ) await time(`all keys, by ${groupBy.join(" and ")}`, () => usage.totals({ ...month, groupBy }));
  const everything = ["day", "key", "owner", "provider", "model", "tag"] as const;
  for (const groupBy of [["model"], ["owner"], ["key", "model"], everything] as const) {
    const asked = { from: "2026-01-01", to: "2026-12-31", groupBy, limit: 10_001 };
    await time(`a year, by ${groupBy.join(", ")}`, () => usage.totals(asked), 5);
  }
  await time("one key, 100 requests", () => usage.rows({ ...one, limit: 100 }));
  await time("one owner, 100 requests", () => usage.rows({ ...owner, limit: 100 }));
  await time("all keys, 100 requests", () => usage.rows({ ...month, limit: 100 }));
  await time("no such model", () => usage.rows({ ...month, model: "x", limit: 100 }));
  await time("ledger check", () => checkLedger(client), 1);
}

async function time(what: string, run: () => Promise<unknown>, times = rounds): Promise<void> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const begun = performance.now();
    await run();
    took.push(performance.now() - begun);
  }
  took.sort((a, b) => a - b);
  const at = (part: number) => took[Math.floor(part * (took.length - 1))]!.toFixed(1).padStart(8);
  console.log(`${what.padEnd(30)} p50 ${at(0.5)} ms   p95 ${at(0.95)} ms`);
}
