import { assertEquals, assertThrows } from "@std/assert";
import { formatAmount, parseAmount } from "../../core/ledger/money.ts";
import { seededRandom } from "../support/random.ts";

Deno.test("parseAmount reads units into whole millionths", () => {
  const amounts: [text: string, millionths: number][] = [
    ["0", 0],
    ["-0", 0],
    ["-0.00", 0],
    ["1", 1_000_000],
    ["100.50", 100_500_000],
    ["100.5", 100_500_000],
    ["-5", -5_000_000],
    ["0.000001", 1],
    ["-0.000001", -1],
    ["007", 7_000_000],
    ["0.1", 100_000],
    ["1.005", 1_005_000],
    ["1234567.891234", 1_234_567_891_234],
    ["9007199254.740991", Number.MAX_SAFE_INTEGER],
    ["-9007199254.740991", -Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, millionths] of amounts) assertEquals(parseAmount(text), millionths, text);
  assertEquals(Object.is(parseAmount("-0"), 0), true);
});

Deno.test("parseAmount says how to write what it refuses", () => {
  for (const text of ["100,50", "1,000", "1,000.50", "1.000,50"]) {
    const message = `"${text}" has a comma. Write decimals after a point`;
    assertThrows(() => parseAmount(text), Error, message);
  }
  assertThrows(() => parseAmount("1.0000001"), Error, '"1.0000001" has more than six decimals');
  for (const text of ["9007199254.740992", "9007199255", "9".repeat(30), `-${"9".repeat(400)}`]) {
    assertThrows(() => parseAmount(text), Error, "too large to be counted exactly");
  }
  const wrong = ["", " ", " 1", "1 ", "+1", "--1", "1.", ".5", "-", ".", "1e3", "0x10", "1_000"];
  for (
    const text of [...wrong, "1 000", "١٢", "−5", "100 RUB", "NaN", "Infinity", "1.5.5", "1\n"]
  ) {
    assertThrows(() => parseAmount(text), Error, "is not an amount. Write one such as 100");
  }
});

Deno.test("formatAmount writes two decimals, and more where they are needed", () => {
  const amounts: [millionths: number, text: string][] = [
    [0, "0.00"],
    [-0, "0.00"],
    [1, "0.000001"],
    [-1, "-0.000001"],
    [10_000, "0.01"],
    [120_000, "0.12"],
    [123_000, "0.123"],
    [100_500_000, "100.50"],
    [-3_000_000, "-3.00"],
    [Number.MAX_SAFE_INTEGER, "9007199254.740991"],
    [-Number.MAX_SAFE_INTEGER, "-9007199254.740991"],
    [9_007_199_253_999_999, "9007199253.999999"],
  ];
  for (const [millionths, text] of amounts) assertEquals(formatAmount(millionths), text);
  assertEquals(formatAmount(1_500_000, "RUB"), "1.50 RUB");
  for (const wrong of [0.5, NaN, Infinity, Number.MAX_SAFE_INTEGER + 1]) {
    assertThrows(() => formatAmount(wrong), RangeError, "must be whole millionths");
  }
});

Deno.test("parseAmount reads what formatAmount writes", () => {
  const random = seededRandom();
  for (let i = 0; i < 2_000; i++) {
    // Of every size from a few millionths to the most there is.
    const size = 2 ** random(22);
    const millionths = (random(2) === 0 ? 1 : -1) * (random(2 ** 31) * size + random(size));
    assertEquals(parseAmount(formatAmount(millionths)), millionths);
  }
});
