import { assert, assertEquals, assertRejects } from "@std/assert";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { UsageStore } from "../../core/report/usage_store.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { seededRandom } from "../support/random.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import { hold, type Place, settle, withAccounts } from "./account_place.ts";
import { MovedTime } from "./moved_time.ts";

const dayMs = 86_400_000;
const periods = ["day", "week", "month"] as const;
type Period = typeof periods[number];

const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** The first day of a period, so many periods later, by arithmetic without SQL's dates. */
function startOf(period: Period, at: number, later = 0): string {
  const day = Math.floor(at / dayMs);
  if (period === "day") return dayOf((day + later) * dayMs);
  // 1970-01-01 was a Thursday: the fourth day of its week.
  if (period === "week") return dayOf((Math.floor((day + 3) / 7) * 7 - 3 + later * 7) * dayMs);
  const date = new Date(at);
  return dayOf(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + later, 1));
}

/** Every day of each span, both ends included: ends of years, of leap and common Februaries. */
const spans = [
  ["1999-12-20", "2000-03-06"],
  ["2023-02-20", "2023-03-06"],
  ["2023-12-20", "2024-03-06"],
  ["2026-11-20", "2027-03-06"],
  ["2028-02-20", "2028-03-06"],
  ["2100-02-20", "2100-03-06"],
] as const;

/** One more key for each period, with a limit of 100. */
async function limitedKeys({ client, accounts }: Place): Promise<Record<Period, string>> {
  const keys = new KeyStore(client);
  const made = await Promise.all(periods.map(async (period) => {
    const { key: { id } } = await keys.create({ name: period });
    await accounts.setLimits(id, { limit: { amount: 100, period } });
    return [period, id] as const;
  }));
  return Object.fromEntries(made) as Record<Period, string>;
}

Deno.test("limits count from the first day of their period until its last, on any date", () =>
  withAccounts(async (place) => {
    const { client, accounts } = place;
    const random = seededRandom();
    const keys = await limitedKeys(place);
    const time = await MovedTime.install(client);
    const usage = new UsageStore(time.client);
    const spent = new Map<string, number>();
    let days = 0;
    for (const [first, last] of spans) {
      for (let day = Date.parse(first); day <= Date.parse(last); day += dayMs, days++) {
        const charged = 1 + random(1_000_000);
        spent.set(dayOf(day), charged);
        await client.execute({
          sql: "INSERT INTO spending SELECT value, ?, ? FROM json_each(?)",
          args: [dayOf(day), charged, JSON.stringify(Object.values(keys))],
        });
        for (const at of [day, day + random(dayMs), day + dayMs - 1]) {
          const now = new Date(at).toISOString();
          await time.set(now);
          const since = (start: string) =>
            [...spent].reduce((sum, [each, amount]) => each >= start ? sum + amount : sum, 0);
          for (const period of periods) {
            const { periodStart, renews, used } = (await accounts.read(keys[period]))!;
            const start = startOf(period, at);
            const expected = [start, startOf(period, at, 1), since(start)];
            assertEquals([periodStart, renews, used], expected, `${period} at ${now}`);
          }
          const { today, week, month } = (await usage.spent([keys.day])).get(keys.day)!;
          const expected = periods.map((period) => since(startOf(period, at)));
          assertEquals([today, week, month], expected, now);
        }
      }
    }
    assert(days > 250);
  }));

Deno.test("a limit that is used up renews at midnight of UTC, and not a millisecond earlier", () =>
  withAccounts(async (place) => {
    const { client } = place;
    const keys = await limitedKeys(place);
    const time = await MovedTime.install(client);
    const cases: [period: Period, spent: string, refused: string[], renewed: string][] = [
      ["day", "2026-12-31T00:00:00.000Z", [], "2027-01-01T00:00:00.000Z"],
      ["day", "2028-02-28T12:00:00.000Z", [], "2028-02-29T00:00:00.000Z"],
      // From a Monday to a Sunday, over the end of a year.
      [
        "week",
        "2026-12-28T00:00:00.000Z",
        ["2027-01-01T00:00:00.000Z"],
        "2027-01-04T00:00:00.000Z",
      ],
      ["week", "2028-03-05T23:59:59.999Z", [], "2028-03-06T00:00:00.000Z"],
      [
        "month",
        "2027-02-01T00:00:00.000Z",
        ["2027-02-08T00:00:00.000Z"],
        "2027-03-01T00:00:00.000Z",
      ],
      [
        "month",
        "2028-02-01T00:00:00.000Z",
        ["2028-02-29T00:00:00.000Z"],
        "2028-03-01T00:00:00.000Z",
      ],
      ["month", "2028-12-31T23:59:59.999Z", [], "2029-01-01T00:00:00.000Z"],
    ];
    for (const [period, spent, refused, renewed] of cases) {
      const key = keys[period];
      await time.set(spent);
      await settle(client, await hold(client, key, null, 100), key, null, 100);
      const last = new Date(Date.parse(renewed) - 1).toISOString();
      for (const at of [...refused, last]) {
        await time.set(at);
        await assertRejects(() => hold(client, key, null, 1), Error, "the hold does not fit", at);
      }
      await time.set(renewed);
      const request = await hold(client, key, null, 100);
      await client.execute({ sql: "DELETE FROM holds WHERE request_id = ?", args: [request] });
    }
    assertEquals((await checkLedger(client)).mismatches, []);
  }));

Deno.test("a request that begins before midnight counts for the day on which it is settled", () =>
  withAccounts(async (place) => {
    const { client, accounts } = place;
    const { day: key } = await limitedKeys(place);
    const time = await MovedTime.install(client);
    const before = "2026-11-30T23:59:59.999Z";
    await time.set(before);
    const written = { key_id: key, created_at: Date.parse(before) };
    const request_id = await addHold(client, { ...written, amount: 60 });
    await time.set("2026-12-01T00:00:00.000Z");
    // Until it is settled its hold bounds the new day as it did the old one.
    await assertRejects(() => hold(client, key, null, 41), Error, "does not fit");
    await addUsage(client, { ...written, request_id, cost: 60 });
    const spending = await client.execute("SELECT day, charged FROM spending");
    assertEquals(spending.rows.map((row) => [...Object.values(row)]), [["2026-12-01", 60]]);
    assertEquals((await accounts.read(key))!.used, 60);
    await assertRejects(() => hold(client, key, null, 41), Error, "does not fit");
    // Reports list it where it arrived.
    const reports = await client.execute("SELECT day, charged FROM usage_daily");
    assertEquals(reports.rows.map((row) => [...Object.values(row)]), [["2026-11-30", 60]]);
  }));

Deno.test("the database's own clock renews limits too: what was spent before does not count", () =>
  withAccounts(async (place) => {
    const { client, accounts } = place;
    const keys = await limitedKeys(place);
    /** Whether a hold of so much fits; it is gone again. */
    const fits = async (key: string, amount: number) => {
      const request = await hold(client, key, null, amount).catch(() => undefined);
      await client.execute("DELETE FROM holds");
      return request !== undefined;
    };
    for (const period of periods) {
      const key = keys[period];
      let now: number;
      let found: unknown[];
      do {
        now = Date.now();
        const start = startOf(period, now);
        await client.execute("DELETE FROM spending");
        await client.execute({
          sql: "INSERT INTO spending VALUES (?1, ?2, 1000), (?1, ?3, 40)",
          args: [key, dayOf(Date.parse(start) - dayMs), start],
        });
        found = [(await accounts.read(key))!.used, await fits(key, 61), await fits(key, 60)];
        // Once more if a midnight has passed meanwhile.
      } while (dayOf(Date.now()) !== dayOf(now));
      assertEquals(found, [40, false, true], period);
    }
  }));
