import { assertEquals } from "@std/assert";
import { Chunk } from "../../core/chunk.ts";
import { LiveExchange } from "../../core/exchange.ts";
import { Keeper } from "../../core/ledger/keeper.ts";
import { settleLeftBehind } from "../../core/ledger/left_behind.ts";
import { Margins } from "../../core/ledger/margins.ts";
import type { Attempt } from "../../core/plugin.ts";
import { Tally } from "../../core/tally.ts";
import { openSharedFile } from "./ledger_processes.ts";

const encoding = "o200k_base";
const asked = { model: "m", messages: [{ role: "user" as const, content: "hi" }] };
const price = { currency: "RUB", input: 1, output: 10 };

function attemptOf(number: number): Attempt {
  const target = { provider: "p", model: `m${number}`, facts: { price, encoding } } as const;
  return { number, target, body: { ...asked }, headers: {}, exactInput: 10 };
}

Deno.test("a checkpoint counts no try that has an entry: it would be charged twice after a death", async () => {
  await using file = await openSharedFile();
  const { database, ledger } = file.processes[0];
  const keeper = new Keeper(ledger, new Margins(), { currency: "RUB", unpriced: "record" });
  const body = new TextEncoder().encode(JSON.stringify(asked));
  const x = new LiveExchange(
    new Request("http://router/v1/chat/completions"),
    "/v1/chat/completions",
    () => Promise.resolve(body),
    () => {},
  );
  await x.readBody();
  x.answered();
  x.state.inputTokens = 10;
  const checkpoint = async () => {
    await ledger.look();
    return (await database.execute("SELECT output_tokens FROM holds")).rows[0]!.output_tokens;
  };

  const first = attemptOf(1);
  await keeper.hold(x, first);
  const tally = new Tally(encoding);
  const choices = [{ index: 0, delta: { content: "word " } }];
  // The last few are counted at the end.
  for (let i = 0; i < 20; i++) tally.add(Chunk.fromJson({ choices }, false));
  x.produces(first, tally);
  x.attempts.push(first);
  const output = await x.producedTokens();
  assertEquals([output > 0, await checkpoint()], [true, output]);
  first.usage = { input: 10, output, cached: 0, estimated: true };
  // Over, but without an entry: the checkpoint is all that there is of it.
  first.durationMs = 7;
  assertEquals(await checkpoint(), output);
  await keeper.hold(x, attemptOf(2));
  assertEquals(await checkpoint(), 0);

  await ledger.close();
  await database.execute("UPDATE holds SET expires_at = 1");
  await settleLeftBehind(database, [], []);
  const { rows } = await database.execute(
    "SELECT model, output_tokens FROM usage ORDER BY model",
  );
  assertEquals(rows.map((row) => [...Object.values(row)]), [["m1", output], ["m2", 0]]);
});
