import type { Client } from "@libsql/client";
import { assert, assertEquals } from "@std/assert";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { clearImmediate, setImmediate } from "node:timers";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { UsageFilter } from "../../core/report/usage_store.ts";
import { type UsageGroup, usageGroups } from "../../core/report/usage_totals.ts";
import { seededRandom } from "../support/random.ts";
import { watchStatements } from "../support/statements.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import {
  addRandom,
  type Any,
  days,
  firstDay,
  keep,
  minute,
  randomFilter,
  sumOf,
  valueOf,
  withUsage,
} from "./random_usage.ts";

Deno.test("UsageStore.totals are the sums of the requests, however filtered and grouped", () =>
  withUsage(async (usage, client, keys) => {
    const random = seededRandom();
    const rows = await addRandom(client, keys, random);
    assertEquals((await checkLedger(client)).mismatches, []);
    for (let i = 0; i < 200; i++) {
      const filter = randomFilter(keys, random);
      const groupBy = usageGroups.filter(() => random(3) === 0).sort(() => random(3) - 1);
      const context = JSON.stringify({ filter, groupBy });
      const expected = new Map<string, Any[]>();
      if (groupBy.length === 0) expected.set("[]", []);
      for (const row of keep(rows, filter)) {
        const group = JSON.stringify(groupBy.map((each) => valueOf[each](row)));
        expected.set(group, [...expected.get(group) ?? [], row]);
      }
      const totals = await usage.totals({ ...filter, groupBy });
      const found = totals.map(({ group, keyName, ...sums }) => {
        assertEquals(Object.keys(group), [...groupBy], context);
        const name = keys.find(({ id }) => id === group.key)?.name ?? null;
        assertEquals(keyName, name, context);
        return [JSON.stringify(groupBy.map((each) => group[each])), sums] as const;
      });
      assertEquals(
        Object.fromEntries(found),
        Object.fromEntries([...expected].map(([group, of]) => [group, sumOf(of)])),
        context,
      );
      assertEquals(found.length, expected.size, context);
      const values = (group: readonly (string | null)[]) => group.map((value) => value ?? "");
      const order = found.map(([group]) => JSON.stringify(values(JSON.parse(group))));
      assertEquals(order, [...order].sort(byCodePoints), context);
    }
  }));

/** The order of SQLite's texts; JavaScript compares the same way below the surrogates. */
function byCodePoints(a: string, b: string): number {
  const [left, right]: [string[], string[]] = [JSON.parse(a), JSON.parse(b)];
  const i = left.findIndex((value, at) => value !== right[at]);
  return i < 0 ? 0 : left[i]! < right[i]! ? -1 : 1;
}

Deno.test("UsageStore.totals reads no more groups than it is told to", () =>
  withUsage(async (usage, client, keys) => {
    await addRandom(client, keys, seededRandom());
    const groups = (groupBy: UsageGroup[], limit?: number) =>
      usage.totals({ groupBy, ...(limit !== undefined && { limit }) });
    assertEquals((await groups(["day"])).map(({ group }) => group.day!), days);
    assertEquals((await groups(["day"], 2)).map(({ group }) => group.day!), days.slice(0, 2));
    assertEquals((await groups(["key", "day"], 3)).length, 3);
  }));

Deno.test("UsageStore lets others have their turn while it reads a long period", () =>
  withUsage(async (usage, client, keys) => {
    await addRandom(client, keys, seededRandom());
    let turns = 0;
    let next: ReturnType<typeof setImmediate>;
    const count = () => {
      turns++;
      next = setImmediate(count);
    };
    count();
    for (
      const read of [
        () => usage.totals({ groupBy: ["day"] }),
        () => usage.rows({ model: "no such", limit: 9 }),
      ]
    ) {
      turns = 0;
      await read();
      assert(turns >= 2, `${turns} turns`);
    }
    clearImmediate(next!);
  }));

Deno.test("UsageStore.rows lists requests from the newest, page by page, and none twice", () =>
  withUsage(async (usage, client, keys) => {
    const random = seededRandom();
    const rows = await addRandom(client, keys, random);
    await client.execute("DROP TRIGGER usage_is_kept");
    for (let i = 0; i < 60; i++) {
      const filter = randomFilter(keys, random);
      const limit = 1 + random(40);
      const found: string[] = [];
      let after: string | undefined;
      for (;;) {
        const page = await usage.rows({ ...filter, after, limit });
        assert(page.length <= limit);
        found.push(...page.map(({ requestId }) => requestId));
        after = page.at(-1)?.requestId;
        if (page.length < limit) break;
        // What arrives meanwhile is on no later page.
        rows.push(...await addNewer(client));
      }
      const known = rows.filter(({ day }) => day !== "later");
      const expected = keep(known, filter).map(({ request_id }) => request_id as string);
      assertEquals(found, expected.sort().reverse(), JSON.stringify({ filter, limit }));
      await client.execute("DELETE FROM usage WHERE tag = 'later'");
    }
  }));

Deno.test("UsageStore.rows looks for requests only on days that have such", () =>
  withUsage(async (usage, client, [key, other]) => {
    for (const [i, day] of days.entries()) {
      await addUsage(client, {
        created_at: Date.parse(day) + 5,
        key_id: key!.id,
        provider: "echo",
        model: i === 1 ? "rare" : "small",
        tag: i === 2 ? "prod" : null,
      });
    }
    const statements = watchStatements(client);
    const keyId = key!.id;
    const looked: [UsageFilter, found: number, queries: number][] = [
      [{ keyId, model: "none" }, 0, 0],
      [{ keyId: other!.id, model: "rare" }, 0, 0],
      [{ keyId, model: "rare", tag: "prod" }, 0, 0],
      [{ keyId, model: "rare" }, 1, 1],
      [{ tag: "prod" }, 1, 1],
      [{ owner: "Anna" }, days.length, days.length],
      [{ owner: "Boris" }, 0, 0],
    ];
    for (const [filter, found, queries] of looked) {
      statements.length = 0;
      const rows = await usage.rows({ ...filter, limit: 9 });
      const read = statements.filter((sql) => /FROM usage\b/.test(sql));
      assertEquals([rows.length, read.length], [found, queries], JSON.stringify(filter));
    }
  }));

async function addNewer(client: Client): Promise<Any[]> {
  const request_id = await addUsage(client, {
    created_at: Date.parse(days.at(-1)!) + 1440 * minute,
    tag: "later",
  });
  return [{ request_id, day: "later" }];
}

Deno.test("UsageStore.one tells all that is known of a request", () =>
  withUsage(async (usage, client, [key]) => {
    const id = await addUsage(client, {
      created_at: firstDay,
      key_id: key!.id,
      owner: "Anna",
      tag: "prod",
      provider: "openai",
      model: "large",
      model_asked: "fast",
      model_served: "large-0613",
      stream: 1,
      input_tokens: 11,
      output_tokens: 12,
      cached_tokens: 3,
      estimated: 1,
      cost: 2_100, // 8 × 65 + 3 × 6.5 + 12 × 130, rounded
      charged: 400,
      price_input: 65_000_000,
      price_output: 130_000_000,
      price_cached: 6_500_000,
      state: "failed",
      status: 502,
      error_code: "upstream_unavailable",
      attempts: 3,
      duration_ms: 1234,
      first_token_ms: 321,
    });
    const row = {
      requestId: id,
      createdAt: firstDay,
      keyId: key!.id,
      owner: "Anna",
      tag: "prod",
      provider: "openai",
      model: "large",
      modelAsked: "fast",
      modelServed: "large-0613",
      stream: true,
      inputTokens: 11,
      outputTokens: 12,
      cachedTokens: 3,
      estimated: true,
      cost: 2_100,
      charged: 400,
      currency: "RUB",
      price: { input: 65_000_000, output: 130_000_000, cached: 6_500_000 },
      state: "failed",
      status: 502,
      errorCode: "upstream_unavailable",
      attempts: 3,
      durationMs: 1234,
      route: null,
      tryOf: null,
      firstTokenMs: 321,
    };
    assertEquals(await usage.one(id), row);
    assertEquals(await usage.rows({ limit: 9 }), [row]);
    assertEquals(await usage.one("nothing"), undefined);
  }));

Deno.test("UsageStore.one knows a request while it is under way, and its end afterwards", () =>
  withUsage(async (usage, client, [key]) => {
    const written = { key_id: key!.id, owner: "Anna", tag: "t" };
    const id = await addHold(client, { ...written, output_tokens: 7, price_input: 5 });
    const open = await usage.one(id);
    assertEquals(
      [open?.state, open?.status, open?.durationMs, open?.cost, open?.charged],
      ["open", null, null, null, 0],
    );
    assertEquals(
      [open?.keyId, open?.tag, open?.model, open?.inputTokens, open?.outputTokens],
      [key!.id, "t", "echo", 10, 7],
    );
    assertEquals(open!.createdAt > Date.now() - minute, true);
    assertEquals(await usage.rows({ limit: 9 }), []);
    await addUsage(client, { ...written, request_id: id });
    assertEquals((await usage.one(id))?.state, "completed");
  }));

Deno.test("UsageStore.spent counts from the beginnings of day, week and month", () =>
  withUsage(async (usage, client, [key]) => {
    const id = key!.id;
    const none = { today: 0, week: 0, month: 0, ever: 0, credited: 0 };
    assertEquals((await usage.spent([id])).get(id), none);
    const dayMs = 1440 * minute;
    const today = Math.floor(Date.now() / dayMs);
    const charged: number[] = [];
    for (let ago = 0; ago < 70; ago++) {
      charged.push(ago * ago + 1);
      await client.execute({
        sql: "INSERT INTO spending (account_id, day, charged) VALUES (?, ?, ?)",
        args: [id, new Date((today - ago) * dayMs).toISOString().slice(0, 10), charged[ago]!],
      });
    }
    await new AccountStore(client).credit(id, 5_000, "first");
    await new AccountStore(client).credit(id, -1_500, "second");
    const sum = (days: number) => charged.slice(0, days).reduce((a, b) => a + b, 0);
    const date = new Date(today * dayMs);
    assertEquals((await usage.spent([id])).get(id), {
      today: 1,
      week: sum((date.getUTCDay() + 6) % 7 + 1),
      month: sum(date.getUTCDate()),
      ever: sum(70),
      credited: 3_500,
    });
    assertEquals((await usage.spent(["owner:Anna"])).get("owner:Anna"), none);
  }));
