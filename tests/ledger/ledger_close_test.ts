import { assertEquals } from "@std/assert";
import { holdWriteLock } from "../store/write_lock.ts";
import { openSharedFile } from "./ledger_processes.ts";
import { entryOf, price } from "./ledger_state.ts";

Deno.test("Ledger.close writes the end of a request whose hold is still on its way", async () => {
  await using file = await openSharedFile();
  const { ledger, database } = file.processes[0];
  const hold = {
    requestId: "r",
    keyId: null,
    owner: null,
    amount: 5,
    openedAt: Date.now(),
    provider: "p",
    model: "m",
    modelAsked: "m",
    tag: null,
    stream: false,
    inputTokens: 7,
    price,
  };
  const { rows } = await database.execute("PRAGMA database_list");
  const lock = await holdWriteLock(rows[0]!.file as string);
  const held = ledger.hold(hold, () => 0, () => undefined);
  // Its client leaves, and the program is told to stop.
  ledger.settle(entryOf(hold, null));
  const closed = ledger.close();
  await lock.release();
  await held;
  await closed;
  const usage = await database.execute("SELECT request_id, state, charged FROM usage");
  assertEquals(usage.rows.map((row) => [...Object.values(row)]), [["r", "completed", 0]]);
  assertEquals((await database.execute("SELECT * FROM holds")).rows, []);
});
