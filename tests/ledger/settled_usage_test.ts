import { assertEquals, assertRejects } from "@std/assert";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { withLedger } from "./ledger_place.ts";

Deno.test("a settled request is neither deleted nor changed, whatever it was", () =>
  withLedger(async ({ client }) => {
    const { rows: before, columns } = await client.execute("SELECT * FROM usage");
    assertEquals(before.length > 3, true);
    for (const { request_id } of before) {
      const args = [request_id!];
      const drop = { sql: "DELETE FROM usage WHERE request_id = ?", args };
      await assertRejects(() => client.execute(drop), Error, "a settled request is never deleted");
      for (const column of columns) {
        if (column === "charged") continue;
        // What is there already: the database refuses the change, and not its value.
        const sql = `UPDATE usage SET ${column} = ${column} WHERE request_id = ?`;
        const change = () => client.execute({ sql, args });
        await assertRejects(change, Error, "a settled request is never changed", column);
      }
      const more = { sql: "UPDATE usage SET charged = charged + 1 WHERE request_id = ?", args };
      await assertRejects(() => client.execute(more), Error, "a charge never grows");
    }
    assertEquals((await client.execute("SELECT * FROM usage")).rows, before);
    assertEquals((await checkLedger(client)).mismatches, []);
  }));

Deno.test("a charge that was lowered by hand is found", () =>
  withLedger(async ({ client, keys }) => {
    await client.execute({
      sql: "UPDATE usage SET charged = charged - 1 WHERE key_id = ? AND charged > 0",
      args: [keys[2]!],
    });
    const { mismatches } = await checkLedger(client);
    assertEquals(mismatches.map(({ what }) => what), [
      "balance",
      "spending",
      "charged",
      "charged, its cost: it was answered, and no account is prepaid",
    ]);
  }));
