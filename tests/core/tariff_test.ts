import { assertEquals } from "@std/assert";
import {
  declaredPriceSchema,
  startOfDay,
  type Step,
  stepAt,
  stepsToward,
  type Tariff,
  toTariff,
  withStep,
} from "../../core/prices/tariff.ts";
import { seededRandom } from "../support/random.ts";

const rub = (input: number) => ({ currency: "RUB", input, output: 1 });

Deno.test("toTariff puts declared prices in order, and begins those without a day with time", () => {
  assertEquals(toTariff(rub(65)), [{ from: 0, price: rub(65) }]);
  assertEquals(
    toTariff([{ ...rub(80), from: "2027-01-01" }, rub(65), { ...rub(70), from: "2026-12-01" }]),
    [
      { from: 0, price: rub(65) },
      { from: Date.UTC(2026, 11, 1), price: rub(70) },
      { from: Date.UTC(2027, 0, 1), price: rub(80) },
    ],
  );
});

Deno.test("stepAt takes the last step that has begun, from its first millisecond on", () => {
  const tariff = toTariff([
    { ...rub(70), from: "2026-12-01" },
    { ...rub(80), from: "2027-01-01" },
  ]);
  const day = startOfDay("2026-12-01");
  const inputs = [day - 1, day, startOfDay("2027-01-01") - 1, startOfDay("2027-01-01"), Infinity]
    .map((now) => stepAt(tariff, now)?.price?.input);
  assertEquals(inputs, [undefined, 70, 70, 80, 80]);
  assertEquals(stepAt([], day), undefined);
});

Deno.test("declaredPriceSchema tells what is wrong with its place, in a price and in a list", () => {
  const problems = (value: unknown) => {
    const read = declaredPriceSchema.safeParse(value);
    return read.error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };
  const dated = { ...rub(65), from: "2026-12-01" };
  for (const right of [rub(65), dated, [rub(65)], [rub(65), dated]]) {
    assertEquals(problems(right), undefined, JSON.stringify(right));
  }
  assertEquals(problems({ ...rub(65), currency: "roubles" }), [
    'currency: must be an ISO 4217 code such as "RUB"',
  ]);
  assertEquals(problems([rub(65), { ...rub(65), from: "2026-02-30" }]), [
    "1.from: must be a day such as 2026-12-01",
  ]);
  assertEquals(problems({ ...rub(65), from: "2026-12-01T10:00" })?.length, 1);
  assertEquals(problems([]), [": must hold a price"]);
  for (const twice of [[rub(1), rub(2)], [dated, rub(1), dated]]) {
    assertEquals(problems(twice), [': must not hold two prices with one "from"']);
  }
  for (const wrong of [null, 65, "65", {}, [null], [[rub(65)]], { ...rub(65), until: 1 }]) {
    assertEquals(problems(wrong) !== undefined, true, JSON.stringify(wrong));
  }
});

Deno.test("withStep keeps what is planned after a price, and nothing after an end", () => {
  const planned = toTariff([rub(65), { ...rub(70), from: "2026-12-01" }]);
  const inputs = (tariff: Tariff) => tariff.map(({ from, price }) => [from, price?.input]);
  const day = startOfDay("2026-12-01");
  assertEquals(inputs(withStep(planned, { from: 1_000, price: rub(80) })), [
    [0, 65],
    [1_000, 80],
    [day, 70],
  ]);
  assertEquals(inputs(withStep(planned, { from: day, price: rub(80) })), [[0, 65], [day, 80]]);
  assertEquals(inputs(withStep(planned, { from: 1_000, price: undefined })), [
    [0, 65],
    [1_000, undefined],
  ]);
});

Deno.test("stepsToward adds nothing where all is said, and what is new from now on", () => {
  const old: Tariff = [{ from: 0, price: rub(65) }];
  assertEquals(stepsToward(old, old, 1_000), []);
  assertEquals(stepsToward([], old, 1_000), old);
  assertEquals(stepsToward(old, [{ from: 0, price: { ...rub(65), cached: 65 } }], 1_000), []);
  assertEquals(stepsToward(old, [{ from: 0, price: rub(70) }], 1_000), [
    { from: 1_000, price: rub(70) },
  ]);
  assertEquals(stepsToward(old, [], 1_000), [{ from: 1_000, price: undefined }]);
});

Deno.test("stepsToward takes back what was planned", () => {
  const planned: Tariff = [{ from: 0, price: rub(65) }, { from: 5_000, price: rub(70) }];
  assertEquals(stepsToward(planned, [{ from: 0, price: rub(65) }], 1_000), [
    { from: 1_000, price: undefined },
    { from: 1_000, price: rub(65) },
  ]);
  assertEquals(stepsToward(planned, [], 1_000), [{ from: 1_000, price: undefined }]);
  // What has begun is history.
  assertEquals(stepsToward(planned, [{ from: 0, price: rub(65) }], 6_000), [
    { from: 6_000, price: rub(65) },
  ]);
});

Deno.test("stepsToward leaves the past as it was and makes the rest what is wanted", () => {
  const random = seededRandom();
  const anyTariff = (ends: boolean) => {
    const steps: Step[] = [];
    for (let from = random(4); from < 20; from += 1 + random(8)) {
      steps.push({ from, price: ends && random(3) === 0 ? undefined : rub(random(3)) });
    }
    return random(8) === 0 ? [] : steps;
  };
  const at = (tariff: Tariff, now: number) => stepAt(tariff, now)?.price?.input;
  for (let i = 0; i < 2_000; i++) {
    const [recorded, wanted, now] = [anyTariff(true), anyTariff(false), random(20)];
    const added = stepsToward(recorded, wanted, now);
    const after = added.reduce(withStep, recorded);
    const told = JSON.stringify({ recorded, wanted, now, added });
    for (let time = 0; time < 22; time++) {
      const right = time < now && recorded.length > 0 ? recorded : wanted;
      assertEquals(at(after, time), at(right, time), `at ${time}: ${told}`);
    }
    assertEquals(stepsToward(after, wanted, now), [], told);
    // What is set then holds for good, whatever was planned before it was taken back.
    const ended = withStep(after, { from: now, price: undefined });
    assertEquals(at(withStep(ended, { from: now, price: rub(7) }), 21), 7, told);
  }
});
