import { runSchedules } from "./ledger_property.ts";

Deno.test("Ledger does what its model does in random schedules of two processes", () =>
  runSchedules(1_000));
