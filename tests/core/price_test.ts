import { assertEquals } from "@std/assert";
import {
  costOf,
  costSql,
  isSamePrice,
  priceSchema,
  toMillionths,
} from "../../core/prices/price.ts";
import { openDatabase } from "../../core/store/database.ts";
import { seededRandom } from "../support/random.ts";

const price = { currency: "RUB", input: 65, output: 260, cached: 6.5 };

Deno.test("costOf counts each kind of token at its price", () => {
  assertEquals(costOf({ input: 100, output: 0, cached: 0 }, price), 6500);
  assertEquals(costOf({ input: 0, output: 10, cached: 0 }, price), 2600);
  assertEquals(costOf({ input: 100, output: 10, cached: 40 }, price), 60 * 65 + 40 * 6.5 + 2600);
});

Deno.test("costOf takes cached tokens at the full price where no other is known", () => {
  const { cached: _cached, ...full } = price;
  assertEquals(costOf({ input: 100, output: 0, cached: 40 }, full), 6500);
});

Deno.test("costOf counts no more cached tokens than there are", () => {
  assertEquals(costOf({ input: 10, output: 0, cached: 1000 }, price), 65);
});

Deno.test("costOf is a whole number, rounded once", () => {
  // 3 × 0.15 + 3 × 0.15 = 0.9; rounded one by one it would be 0.
  assertEquals(
    costOf({ input: 3, output: 3, cached: 0 }, {
      currency: "USD",
      input: 0.15,
      output: 0.15,
    }),
    1,
  );
  const random = seededRandom();
  for (let i = 0; i < 1000; i++) {
    const input = random(1_000_000);
    const usage = { input, output: random(100_000), cached: random(input + 1) };
    const cost = costOf(usage, { ...price, input: random(1e6) / 1000 });
    assertEquals(Number.isSafeInteger(cost) && cost >= 0, true, JSON.stringify(usage));
  }
});

Deno.test("costOf rounds what is written, and not what binary fractions make of it", () => {
  // 50 × 0.29 is 14.499999999999998 in floating point.
  const usage = { input: 50, output: 0, cached: 0 };
  assertEquals(costOf(usage, { currency: "RUB", input: 0.29, output: 0 }), 15);
});

Deno.test("costOf is the sum of whole millionths, rounded half up, and so is costSql", async () => {
  const random = seededRandom();
  const digits = () => random(1_000_000) * 10 ** (random(10) - 3) + random(2) / 2;
  const client = await openDatabase({ url: "file::memory:" });
  try {
    for (let i = 0; i < 1000; i++) {
      const usage = { input: random(2_000), output: random(2_000), cached: random(3_000) };
      const price = { currency: "RUB", input: digits() % 1e9, output: digits() % 1e9 };
      const all = { ...price, cached: random(3) === 0 ? price.input : digits() % 1e9 };
      const [input, output, cached] = [all.input, all.output, all.cached].map(toMillionths);
      const row = `SELECT ${usage.input} AS input_tokens, ${usage.output} AS output_tokens,
        ${usage.cached} AS cached_tokens, ${input} AS price_input, ${output} AS price_output,
        ${cached} AS price_cached`;
      const { rows } = await client.execute(`SELECT ${costSql("cached_tokens")} FROM (${row})`);
      const fromCache = Math.min(usage.cached, usage.input);
      const exact = BigInt(usage.input - fromCache) * BigInt(input!) +
        BigInt(fromCache) * BigInt(cached!) + BigInt(usage.output) * BigInt(output!);
      const expected = Number((exact + 500_000n) / 1_000_000n);
      assertEquals([costOf(usage, all), rows[0]![0]], [expected, expected], row);
    }
  } finally {
    client.close();
  }
});

Deno.test("costOf and costSql never pass what sums of the ledger can bear", async () => {
  const dear = { currency: "RUB", input: 1_000_000_000, output: 1_000_000_000 };
  const most = costOf({ input: 100_000_000, output: 100_000_000, cached: 0 }, dear);
  assertEquals(most, 10_000_000_000_000);
  assertEquals(Number.isSafeInteger(900 * most), true);
  const client = await openDatabase({ url: "file::memory:" });
  try {
    const millionths = toMillionths(dear.input);
    const row = `SELECT 100000000 AS input_tokens, 100000000 AS output_tokens, ${millionths} AS
      price_input, ${millionths} AS price_output, ${millionths} AS price_cached`;
    const { rows } = await client.execute(`SELECT ${costSql("0")} AS cost FROM (${row})`);
    assertEquals(rows[0]!.cost, most);
  } finally {
    client.close();
  }
});

Deno.test("toMillionths writes a price as whole millionths", () => {
  assertEquals([65, 0.1, 0.15, 1.1, 0].map(toMillionths), [65e6, 100_000, 150_000, 1_100_000, 0]);
});

Deno.test("isSamePrice compares to the millionth, and takes cached tokens at their price", () => {
  const { cached: _cached, ...full } = price;
  assertEquals(isSamePrice(price, { ...price, input: 65.0000001 }), true);
  assertEquals(isSamePrice(full, { ...full, cached: 65 }), true);
  assertEquals(isSamePrice(undefined, undefined), true);
  const others = [full, { ...price, currency: "USD" }, { ...price, input: 65.000001 }];
  for (const other of [...others, { ...price, output: 0 }, { ...price, cached: 0 }, undefined]) {
    assertEquals(isSamePrice(price, other), false, JSON.stringify(other));
    assertEquals(isSamePrice(other, price), false, JSON.stringify(other));
  }
});

Deno.test("priceSchema takes prices in a currency, and nothing below nothing", () => {
  assertEquals(priceSchema.safeParse(price).success, true);
  for (
    const wrong of [
      { ...price, currency: "rub" },
      { ...price, currency: "RUBLES" },
      { ...price, input: -1 },
      { ...price, output: "65" },
      { ...price, input: Infinity },
      { ...price, input: 1_000_000_001 },
      { ...price, perMonth: 1 },
      { currency: "RUB", input: 1 },
    ]
  ) assertEquals(priceSchema.safeParse(wrong).success, false, JSON.stringify(wrong));
});
