import { assertAlmostEquals, assertEquals, assertGreater, assertLess } from "@std/assert";
import { Margins } from "../../core/ledger/margins.ts";
import { addUsage } from "../support/usage_rows.ts";
import { openSharedFile } from "./ledger_processes.ts";

const target = { provider: "vendor", model: "m", facts: {} };

Deno.test("Margins follow what a vendor reports, up at once and down slowly", () => {
  const margins = new Margins();
  assertEquals(margins.of({ ...target, facts: { encoding: "o200k_base" } }), 1);
  assertEquals(margins.of(target), 1.2);
  for (let i = 0; i < 10; i++) margins.learn(target, 100, 150);
  assertAlmostEquals(margins.of(target), 1.5, 0.01);
  margins.learn(target, 100, 100);
  assertGreater(margins.of(target), 1.48);
  for (let i = 0; i < 300; i++) margins.learn(target, 100, 100);
  assertAlmostEquals(margins.of(target), 1, 0.01);
});

Deno.test("Margins heed no report that makes no sense", () => {
  const margins = new Margins();
  margins.learn(target, 0, 100);
  margins.learn(target, 100, 0);
  assertEquals(margins.of(target), 1.2);
  for (let i = 0; i < 100; i++) margins.learn(target, 1, 1_000_000);
  assertLess(margins.of(target), 4.01);
  assertEquals(margins.of({ ...target, model: "other" }), 1.2);
});

Deno.test("Margins learn from the records, so that a new process knows them", async () => {
  await using file = await openSharedFile();
  const { database } = file.processes[0];
  const report = { provider: "vendor", model: "m", estimated: 0, counted_tokens: 100 };
  for (let i = 0; i < 10; i++) await addUsage(database, { ...report, input_tokens: 200 });
  // What XRouter counted itself teaches nothing.
  await addUsage(database, { ...report, estimated: 1, input_tokens: 400 });
  const margins = new Margins();
  await margins.load(database);
  assertAlmostEquals(margins.of(target), 2, 0.01);
});
