import { assertEquals } from "@std/assert";
import { costOf } from "../../core/prices/price.ts";
import { addHold } from "../support/usage_rows.ts";
import { openSharedFile } from "./ledger_processes.ts";

Deno.test("Ledger.recover charges by the arithmetic of costOf, whatever the price", async () => {
  await using file = await openSharedFile();
  const { ledger, database } = file.processes[0];
  // The last product has more digits than the database's numbers.
  const prices = [0.000001, 0.49999, 0.5, 65, 1_234.567891, 9_000_000, 1_000_000_000];
  const tokens = { input: 100_001, output: 333 };
  for (const price of prices) {
    await addHold(database, {
      expires_at: 1,
      input_tokens: tokens.input,
      output_tokens: tokens.output,
      price_input: Math.round(price * 1_000_000),
      price_output: Math.round(price * 3_000_000),
      price_cached: 0,
      tag: String(price),
    });
  }
  assertEquals(await ledger.recover(), prices.length);
  const { rows } = await database.execute("SELECT tag, cost FROM usage ORDER BY request_id");
  assertEquals(
    Object.fromEntries(rows.map(({ tag, cost }) => [tag, cost])),
    Object.fromEntries(prices.map((price) => [
      String(price),
      costOf({ ...tokens, cached: 0 }, { currency: "RUB", input: price, output: 3 * price }),
    ])),
  );
});
