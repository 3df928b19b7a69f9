import { assertEquals } from "@std/assert";
import type { Hold } from "../../core/ledger/hold_writer.ts";
import { Ledger } from "../../core/ledger/ledger.ts";
import { ProcessLock } from "../../core/ledger/process_lock.ts";
import { createLog } from "../../core/log.ts";
import { holdWriteLock } from "../store/write_lock.ts";
import { openSharedFile } from "./ledger_processes.ts";
import { entryOf, price } from "./ledger_state.ts";

function holdOf(requestId: string): Hold {
  return {
    requestId,
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
}

Deno.test("Ledger.close writes the end of a request whose hold is still on its way", async () => {
  await using file = await openSharedFile();
  const { ledger, database } = file.processes[0];
  const hold = holdOf("r");
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

Deno.test("what Ledger.close leaves open is settled by the next start, whatever its lease says", async () => {
  await using file = await openSharedFile();
  const { database } = file.processes[0];
  const log = createLog(() => {});
  const open = async () => {
    const process = await ProcessLock.take(database, log);
    return new Ledger({ database, log, currency: "RUB", leaseMs: 86_400_000, process });
  };
  const [closed, living] = [await open(), await open()];
  for (const ledger of [closed, living]) {
    await ledger.hold(holdOf(ledger === closed ? "left" : "running"), () => 0, () => undefined);
  }
  await closed.close();
  const next = await open();
  assertEquals(await next.recover(), 1);
  const { rows } = await database.execute("SELECT request_id, state FROM usage");
  assertEquals(rows.map((row) => [...Object.values(row)]), [["left", "interrupted"]]);
  await living.close();
  assertEquals(await next.recover(), 1);
  await next.close();
});
