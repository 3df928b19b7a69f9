import { assertAlmostEquals, assertEquals, assertGreater, assertLess } from "@std/assert";
import { Margins } from "../../core/ledger/margins.ts";
import { addUsage } from "../support/usage_rows.ts";
import { openSharedFile } from "./ledger_processes.ts";

const known = { provider: "vendor", model: "m", facts: { encoding: "o200k_base" } } as const;
const target = { provider: "vendor", model: "m", facts: {} };

Deno.test("Margins follow what a vendor reports of long prompts, up at once and down slowly", () => {
  const margins = new Margins();
  assertEquals(margins.expect(known, 10_000), 10_000);
  assertEquals(margins.expect(target, 10_000), 12_000);
  margins.learn(known, 10_000, 20_000);
  assertEquals(margins.expect(known, 10_000), 15_000);
  for (let i = 0; i < 10; i++) margins.learn(known, 10_000, 20_000);
  assertAlmostEquals(margins.expect(known, 10_000), 20_000, 20);
  margins.learn(known, 10_000, 10_000);
  assertGreater(margins.expect(known, 10_000), 19_700);
  for (let i = 0; i < 400; i++) margins.learn(known, 10_000, 5_000);
  assertAlmostEquals(margins.expect(known, 10_000), 10_000, 20);
});

Deno.test("Margins of long prompts stay as they are whatever is added to short ones", () => {
  const margins = new Margins();
  for (let i = 0; i < 100; i++) margins.learn(known, 8, 20);
  assertEquals(margins.expect(known, 8), 20);
  assertEquals(margins.expect(known, 100_000), 100_012);
  for (let i = 0; i < 100; i++) margins.learn(known, 8, 5_000);
  assertAlmostEquals(margins.expect(known, 100_000), 101_000, 1);
});

Deno.test("Margins do not take what is added to each prompt for the price of its tokens", () => {
  const margins = new Margins();
  for (let i = 0; i < 50; i++) margins.learn(known, 10, 510);
  for (let i = 0; i < 50; i++) margins.learn(known, 1_000, 1_500);
  assertAlmostEquals(margins.expect(known, 100_000), 100_500, 1);
});

Deno.test("Margins heed no report that makes no sense, and never expect less than was counted", () => {
  const margins = new Margins();
  margins.learn(target, 0, 100);
  margins.learn(target, 100, 0);
  assertEquals(margins.expect(target, 100), 120);
  for (let i = 0; i < 100; i++) margins.learn(known, 1_000, 1_000_000_000);
  assertLess(margins.expect(known, 1_000), 4_001);
  for (let i = 0; i < 1_000; i++) margins.learn(known, 1_000, 1);
  assertEquals(margins.expect(known, 1_000), 1_001);
  assertEquals(margins.expect({ ...target, model: "other" }, 100), 120);
});

Deno.test("Margins learn from the records, so that a new process knows them", async () => {
  await using file = await openSharedFile();
  const { database } = file.processes[0];
  const report = { provider: "vendor", model: "m", estimated: 0, counted_tokens: 1_000 };
  for (let i = 0; i < 10; i++) await addUsage(database, { ...report, input_tokens: 2_000 });
  // What XRouter counted itself teaches nothing, nor does what it could not count.
  await addUsage(database, { ...report, estimated: 1, input_tokens: 4_000 });
  await addUsage(database, { ...report, counted_tokens: null, input_tokens: 4_000 });
  const margins = new Margins();
  await margins.load(database);
  assertAlmostEquals(margins.expect(target, 1_000), 2_000, 5);
});
