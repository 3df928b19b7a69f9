import type { Client } from "@libsql/client";
import { assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import type { PriceSource, SourceTariff } from "../../core/prices/price_book.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import { PriceStore } from "../../core/prices/price_store.ts";
import { stepAt } from "../../core/prices/tariff.ts";
import { HeldClock } from "../support/clock.ts";
import { serveHrana } from "./hrana_server.ts";

const migrations = fileURLToPath(new URL("../../migrations", import.meta.url));
const day = 86_400_000;

async function withPrices(
  run: (
    prices: PriceStore,
    more: { clock: HeldClock; client: Client; folder: string; url: string },
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter prices " });
  const url = `file:${folder}/x.db`;
  const client = await openDatabase({ url });
  try {
    await migrate(client, migrations);
    using clock = new HeldClock();
    await run(new PriceStore(client), { clock, client, folder, url });
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const rub = (input: number) => ({ currency: "RUB", input, output: 2 * input, cached: 0 });

function says(source: PriceSource, model: string, ...steps: [from: number, input: number][]) {
  const tariff = steps.map(([from, input]) => ({ from, price: rub(input) }));
  return { provider: "alpha", model, source, tariff } satisfies SourceTariff;
}

/** The rows of a model as [source, from, input], times from `start` on. */
async function rows(prices: PriceStore, start = 0, model = "m") {
  return (await prices.list()).filter((row) => row.model === model)
    .map(({ source, from, price }) => [source, from === 0 ? 0 : from - start, price?.input]);
}

Deno.test("PriceStore.set keeps a price to the millionth, and cached tokens at their price", () =>
  withPrices(async (prices, { client }) => {
    const price = { currency: "RUB", input: 0.000001, output: 1234.567891, cached: 0.1 };
    const now = Date.now();
    await prices.set("alpha", "org/m", price);
    const { cached: _cached, ...full } = price;
    await prices.set("alpha", "full", full, now + day);
    assertEquals(await prices.list(), [
      {
        provider: "alpha",
        model: "full",
        source: "command",
        from: now + day,
        setAt: now,
        price: { ...full, cached: 0.000001 },
      },
      { provider: "alpha", model: "org/m", source: "command", from: now, setAt: now, price },
    ]);
    const { rows } = await client.execute("SELECT input, output, cached FROM prices");
    assertEquals(rows.map(({ input, output, cached }) => [input, output, cached]), [
      [1, 1_234_567_891, 1],
      [1, 1_234_567_891, 100_000],
    ]);
  }));

Deno.test("PriceStore.readSet has what is set, the later of two with one beginning, and nothing else", () =>
  withPrices(async (prices, { clock }) => {
    const start = Date.now();
    await prices.recordDeclared([says("file", "m", [0, 1]), says("provider", "other", [0, 1])]);
    await prices.set("alpha", "m", rub(2), start + day);
    // Within one millisecond, and even with a clock that goes back, what is set later holds.
    await prices.set("alpha", "m", rub(3), start + day);
    clock.pass(-1_000);
    await prices.set("alpha", "m", rub(4), start + day);
    await prices.set("beta", "m", rub(5), start + day);
    assertEquals(await prices.readSet(), [
      says("command", "m", [start + day, 4]),
      { ...says("command", "m", [start + day, 5]), provider: "beta" },
    ]);
    assertEquals((await rows(prices, start)).length, 5);
  }));

Deno.test("PriceStore.unset takes back what is set, also for later, and keeps it as history", () =>
  withPrices(async (prices, { clock }) => {
    const start = Date.now();
    await prices.set("alpha", "m", rub(2));
    await prices.set("alpha", "m", rub(3), start + day);
    await prices.set("alpha", "n", rub(4));
    clock.pass(1_000);
    await prices.unset("alpha", "m");
    const [m, n] = await prices.readSet();
    assertEquals(m!.tariff.map(({ from, price }) => [from - start, price?.input]), [
      [0, 2],
      [1_000, undefined],
    ]);
    assertEquals(n, says("command", "n", [start, 4]));
    assertEquals(await rows(prices, start), [
      ["command", 0, 2],
      ["command", day, 3],
      ["command", 1_000, undefined],
    ]);
    for (const model of ["m", "never", "alpha"]) {
      await assertRejects(
        () => prices.unset("alpha", model),
        Error,
        `No price of "alpha/${model}" is set by command`,
      );
    }
    clock.pass(1_000);
    await prices.set("alpha", "m", rub(5));
    const [again] = await prices.readSet();
    assertEquals(stepAt(again!.tariff, start + 2 * day)?.price, rub(5));
  }));

Deno.test("PriceStore.recordDeclared records the first ever since ever, and later ones from now on", () =>
  withPrices(async (prices, { clock }) => {
    const start = Date.now();
    await prices.recordDeclared([says("provider", "m", [0, 1]), says("file", "m", [0, 2])]);
    clock.pass(1_000);
    await prices.recordDeclared([says("provider", "m", [0, 1]), says("file", "m", [0, 2])]);
    assertEquals(await rows(prices, start), [["provider", 0, 1], ["file", 0, 2]]);
    await prices.recordDeclared([says("provider", "m", [0, 3]), says("file", "m", [0, 2])]);
    clock.pass(1_000);
    await prices.recordDeclared([says("provider", "m", [0, 3])]);
    clock.pass(1_000);
    await prices.recordDeclared([says("provider", "m", [0, 3]), says("file", "m", [0, 2])]);
    assertEquals(await rows(prices, start), [
      ["provider", 0, 1],
      ["file", 0, 2],
      ["provider", 1_000, 3],
      ["file", 2_000, undefined],
      ["file", 3_000, 2],
    ]);
    assertEquals(await prices.readSet(), []);
  }));

Deno.test("PriceStore.recordDeclared records what is known to come, and what is no longer planned", () =>
  withPrices(async (prices, { clock }) => {
    const start = Date.now();
    await prices.recordDeclared([says("file", "m", [0, 1], [start + day, 2])]);
    clock.pass(1_000);
    await prices.recordDeclared([says("file", "m", [0, 1], [start + day, 3])]);
    await prices.recordDeclared([says("file", "m", [0, 1])]);
    clock.pass(2 * day);
    await prices.recordDeclared([says("file", "m", [0, 1], [start + day, 3])]);
    assertEquals(await rows(prices, start), [
      ["file", 0, 1],
      ["file", day, 2],
      ["file", day, 3],
      ["file", 1_000, undefined],
      ["file", 1_000, 1],
      ["file", 2 * day + 1_000, 3],
    ]);
  }));

Deno.test("PriceStore.recordDeclared leaves alone what is set by command", () =>
  withPrices(async (prices) => {
    await prices.set("alpha", "m", rub(2));
    await prices.recordDeclared([says("file", "m", [0, 2])]);
    await prices.recordDeclared([]);
    assertEquals((await prices.readSet())[0]!.tariff.map(({ price }) => price), [rub(2)]);
  }));

Deno.test("PriceStore.recordDeclared of several processes that start at once records once", () =>
  withPrices(async (prices, { url }) => {
    const models = Array.from({ length: 20 }, (_, i) => says("provider", `m${i}`, [0, 1]));
    const clients = await Promise.all(Array.from({ length: 4 }, () => openDatabase({ url })));
    await Promise.all(clients.map((client) => new PriceStore(client).recordDeclared(models)));
    for (const client of clients) client.close();
    assertEquals((await prices.list()).length, models.length);
  }));

Deno.test("PriceStore.recordDeclared takes no lock where there is nothing to record", () =>
  withPrices(async (prices, { url }) => {
    const declared = [says("provider", "m", [0, 1])];
    await prices.recordDeclared(declared);
    const other = await openDatabase({ url });
    const transaction = await other.transaction("write");
    await prices.recordDeclared(declared);
    transaction.close();
    other.close();
  }));

Deno.test("PriceStore works on a server", () =>
  withPrices(async (_prices, { clock, folder }) => {
    await using server = serveHrana(`${folder}/remote.db`);
    const client = await openDatabase({ url: `http://${server.host}` });
    await migrate(client, migrations);
    const prices = new PriceStore(client);
    const start = Date.now();
    await prices.recordDeclared([says("file", "m", [0, 1]), says("provider", "m", [0, 2])]);
    await prices.recordDeclared([says("file", "m", [0, 1]), says("provider", "m", [0, 2])]);
    await prices.set("alpha", "m", rub(3));
    clock.pass(1_000);
    await prices.unset("alpha", "m");
    assertEquals(await rows(prices, start), [
      ["file", 0, 1],
      ["provider", 0, 2],
      ["command", 0, 3],
      ["command", 1_000, undefined],
    ]);
    client.close();
  }));
