/** Every fault at a fifth of its time; `deno task faults` runs them in real time. */
import { assert, assertEquals } from "@std/assert";
import { cases, nameOf } from "./cases.ts";
import { runAll } from "./run_all.ts";
import { readTable, renderTable } from "./table.ts";
import { verdicts } from "./verdicts.ts";

Deno.test("faults: every case comes to the verdict that is expected of it", async (t) => {
  const results = await runAll({ pace: 0.2, width: 16 });
  for (const result of results) {
    const { one, verdict, reasons } = result;
    await t.step(`${nameOf(one)} ${one.fault}`, () => {
      const evidence = `${reasons.join("; ")}\n${renderTable([result])}`;
      assertEquals(verdict, verdicts[nameOf(one)], evidence);
    });
  }
});

Deno.test("faults: README.md has the cases and the verdicts that are expected", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", import.meta.url));
  const rows = cases.map((one) => [nameOf(one), one.fault, verdicts[nameOf(one)]!]);
  assertEquals(readTable(readme), rows, "The table is out of date: run `deno task faults`");
  assertEquals(Object.keys(verdicts).toSorted(), rows.map(([name]) => name!).toSorted());
  assert(new Set(rows.map(([name]) => name)).size === rows.length);
});
