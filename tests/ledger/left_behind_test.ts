import { assertEquals } from "@std/assert";
import { settleLeftBehind } from "../../core/ledger/left_behind.ts";
import { ProcessLock } from "../../core/ledger/process_lock.ts";
import { createLog } from "../../core/log.ts";
import { addHold } from "../support/usage_rows.ts";
import { withLedger } from "./ledger_place.ts";

Deno.test("settleLeftBehind goes by who lives, and by leases where nobody can tell", () =>
  withLedger(async ({ client }) => {
    await client.execute("DELETE FROM holds");
    const holds: [tag: string, process: string | null, expires_at: number][] = [
      ["dead", "d", Date.now() + 60_000],
      ["living", "l", Date.now() + 60_000],
      ["stopped for a while", "l", 1],
      ["of a lease that is over", "u", 1],
      ["of no process", null, 1],
      ["of no process, leased", null, Date.now() + 60_000],
    ];
    for (const [tag, process, expires_at] of holds) {
      await addHold(client, { tag, process, expires_at, key_id: null });
    }
    assertEquals(await settleLeftBehind(client, ["d"], ["l"]), 3);
    const { rows } = await client.execute("SELECT tag FROM holds ORDER BY tag");
    assertEquals(rows.map(({ tag }) => tag), [
      "living",
      "of no process, leased",
      "stopped for a while",
    ]);
  }));

Deno.test("ProcessLock names the living too, itself among them", () =>
  withLedger(async ({ client }) => {
    const log = createLog(() => {});
    const [one, two] = [
      (await ProcessLock.take(client, log))!,
      (await ProcessLock.take(client, log))!,
    ];
    const living = await one.forDead((_dead, ids) => Promise.resolve(ids));
    assertEquals(living.toSorted(), [one.id, two.id].toSorted());
    await two.release(false);
    const seen = await one.forDead((dead, ids) => Promise.resolve({ dead, ids }));
    assertEquals(seen, { dead: [two.id], ids: [one.id] });
    await one.release(true);
  }));
