/** Prices of a running router: what the next answer costs, and what the database remembers. */
import { assertEquals } from "@std/assert";
import { openDatabase } from "../core/store/database.ts";
import { PriceStore } from "../core/prices/price_store.ts";
import { startOfDay } from "../core/prices/tariff.ts";
import { HeldClock } from "./support/clock.ts";
import { dropIn } from "./support/drop_in.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { startUpstream, wholeAnswer } from "./support/upstream.ts";

const rub = (input: number) => ({ currency: "RUB", input, output: 100, cached: 0 });

/** What an answer of ten tokens in, four of them cached, and five out costs. */
const costAt = (input: number) => 6 * input + 5 * 100;

/** A router whose vendor's model has a price in the file, and whose clock the test moves. */
async function withPriced(run: (router: TestRouter, clock: HeldClock) => Promise<void>) {
  await using upstream = startUpstream(() => wholeAnswer());
  using clock = new HeldClock();
  await using router = await startRouter(upstream.env, {
    models: { "openai/vendor-model": { price: rub(65) } },
  });
  await run(router, clock);
}

async function answered(router: TestRouter, model = "openai/vendor-model"): Promise<void> {
  const response = await router.chat(ask(model));
  assertEquals(response.status, 200, await response.text());
}

/** Does something with the prices as another process does: by a connection of its own. */
async function elsewhere(router: TestRouter, run: (prices: PriceStore) => Promise<unknown>) {
  const database = await openDatabase({ url: router.databaseUrl });
  await run(new PriceStore(database));
  database.close();
}

async function shownPrice(router: TestRouter, model: string): Promise<unknown> {
  const { data } = await (await router.get("/v1/models")).json();
  return data.find(({ id }: { id: string }) => id === model)?.price;
}

Deno.test("a price that is set or unset while a router runs holds for what is asked two seconds later", () =>
  withPriced(async (router, clock) => {
    await answered(router);
    await elsewhere(router, (prices) => prices.set("openai", "vendor-model", rub(70)));
    clock.pass(2_000);
    await answered(router);
    assertEquals(await shownPrice(router, "openai/vendor-model"), rub(70));
    await elsewhere(router, (prices) => prices.set("openai", "unlisted", rub(80)));
    await elsewhere(router, (prices) => prices.unset("openai", "vendor-model"));
    clock.pass(2_000);
    await answered(router);
    // Rows of one millisecond are in any order.
    clock.pass(1);
    await answered(router, "openai/unlisted");
    assertEquals(await shownPrice(router, "openai/vendor-model"), rub(65));
    const rows = await router.usage();
    assertEquals(
      rows.map(({ cost, price_input }) => [cost, price_input]),
      [65, 70, 65, 80].map((input) => [costAt(input), input * 1_000_000]),
    );
  }));

Deno.test("a busy router heeds a price within two seconds, and no request waits for it", () =>
  withPriced(async (router, clock) => {
    await answered(router);
    await elsewhere(router, (prices) => prices.set("openai", "vendor-model", rub(70)));
    for (let i = 0; i < 20; i++) {
      clock.pass(100);
      await answered(router);
    }
    const inputs = (await router.usage()).map((row) => Number(row.price_input) / 1_000_000);
    assertEquals([inputs[0], inputs.at(-1)], [65, 70]);
    assertEquals(inputs.toSorted((a, b) => a - b), inputs);
  }));

Deno.test("a known change of tariff takes effect by itself, at its moment", async () => {
  await using upstream = startUpstream(() => wholeAnswer());
  using clock = new HeldClock();
  const inDays = (days: number) =>
    new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const days = [inDays(1), inDays(2), inDays(3)].map(startOfDay);
  await using providers = await dropIn({
    "tariffed.ts": `import { defineProvider } from "xrouter/provider";

export default defineProvider({
  name: "tariffed",
  baseUrl: "${upstream.url}",
  models: {
    one: {
      price: [
        { currency: "RUB", input: 10, output: 100, cached: 0 },
        { currency: "RUB", input: 20, output: 100, cached: 0, from: "${inDays(1)}" },
      ],
    },
  },
});
`,
  });
  await using router = await startRouter(
    { XROUTER_PROVIDERS_DIR: providers.path, TARIFFED_API_KEY: "key" },
    { models: { "tariffed/one": { price: [{ ...rub(30), from: inDays(2) }] } } },
  );
  await elsewhere(router, (prices) => prices.set("tariffed", "one", rub(40), days[2]));
  await answered(router, "tariffed/one");
  for (const day of days) {
    clock.pass(day - Date.now() - 1);
    await answered(router, "tariffed/one");
    clock.pass(1);
    await answered(router, "tariffed/one");
  }
  const rows = await router.usage();
  assertEquals(
    rows.map(({ cost }) => cost),
    [10, 10, 20, 20, 30, 30, 40].map(costAt),
  );
});

Deno.test("each start records the prices that the files have changed", async () => {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const start = async (...prices: unknown[]) => {
    const models = Object.fromEntries(prices.map((price) => ["echo/echo", { price }]));
    await using _router = await startRouter({ DATABASE_URL: `file:${folder}/x.db` }, { models });
  };
  const before = Date.now();
  await start(rub(65));
  await start(rub(65));
  await start(rub(70));
  await start();
  const database = await openDatabase({ url: `file:${folder}/x.db` });
  const rows = (await new PriceStore(database).list()).filter(({ model }) => model === "echo");
  database.close();
  assertEquals(rows.map(({ source, price }) => [source, price?.input]), [
    ["provider", 0],
    ["file", 65],
    ["file", 70],
    ["file", undefined],
  ]);
  assertEquals(rows.map(({ from }) => from >= before), [false, false, true, true]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a router goes on with the prices it knows when they cannot be read, and says so", () =>
  withPriced(async (router, clock) => {
    await elsewhere(router, (prices) => prices.set("openai", "vendor-model", rub(70)));
    clock.pass(2_000);
    await answered(router);
    await router.program.database.execute("ALTER TABLE prices RENAME TO hidden");
    for (let i = 0; i < 3; i++) {
      clock.pass(2_000);
      await answered(router);
    }
    const lines = router.log.filter(({ message }) => String(message).startsWith("prices cannot"));
    assertEquals(lines.map(({ level }) => level), ["error"]);
    const rows = await router.usage();
    assertEquals(rows.map(({ cost }) => cost), [70, 70, 70, 70].map(costAt));
  }));

Deno.test("a router that is closed reads no prices", async () => {
  using clock = new HeldClock();
  await using router = await startRouter();
  const { catalog } = router.program;
  await router.stop();
  clock.pass(5_000);
  assertEquals(catalog.target("echo", "echo").facts.price?.currency, "RUB");
  await catalog.prices.refresh();
  assertEquals(router.log.filter(({ level }) => level === "error"), []);
});

Deno.test("what GigaChat has cached is charged only where a price says so itself", async () => {
  await using fake = await startFakeGigachat();
  const price = { currency: "RUB", input: 80, output: 100 };
  await using router = await startRouter(fake.env, {
    models: {
      "gigachat/GigaChat-2": { price },
      "gigachat/GigaChat-3-Pro": { price: [{ ...price, from: "2026-01-01" }] },
      "gigachat/GigaChat-2-Max": { price: { ...price, cached: 8 } },
    },
  });
  const models = ["GigaChat-2", "GigaChat-3-Pro", "GigaChat-2-Max"];
  for (const [i, model] of models.entries()) {
    for (let turn = 0; turn < 2; turn++) await answered(router, `gigachat/${model}`);
    const cached = i < 2 ? 0 : 8;
    assertEquals(await shownPrice(router, `gigachat/${model}`), { ...price, cached });
  }
  await router.stop();
  const rows = await router.usage();
  for (const { model, cost, charged, ...row } of rows) {
    const [input, cached, output] = [row.input_tokens, row.cached_tokens, row.output_tokens]
      .map(Number) as [number, number, number];
    const rate = model === "GigaChat-2-Max" ? 8 : 0;
    const due = (input - cached) * 80 + cached * rate + output * 100;
    assertEquals([cost, charged, row.price_cached], [due, due, rate * 1_000_000], String(model));
  }
  assertEquals([...new Set(rows.map(({ model }) => model))].toSorted(), models.toSorted());
  assertEquals(rows.every(({ cached_tokens }) => Number(cached_tokens) > 0), true);
});
