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

async function newExchange(): Promise<LiveExchange> {
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
  return x;
}

/** An exchange with a ledger, and what its hold has of the answer after a look. */
async function startExchange() {
  const file = await openSharedFile();
  const { database, ledger } = file.processes[0];
  const keeper = new Keeper(ledger, new Margins(), { currency: "RUB", unpriced: "record" });
  const x = await newExchange();
  const checkpoint = async () => {
    await ledger.look();
    return (await database.execute("SELECT output_tokens FROM holds")).rows[0]!.output_tokens;
  };
  return { file, database, ledger, keeper, x, checkpoint };
}

Deno.test("a checkpoint counts no try that has an entry: it would be charged twice after a death", async () => {
  const { file, database, ledger, keeper, x, checkpoint } = await startExchange();
  await using _file = file;
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

Deno.test("a checkpoint that was counted before a move does not undo it", async () => {
  const { file, database, ledger, keeper, x, checkpoint } = await startExchange();
  await using _file = file;
  const first = attemptOf(1);
  await keeper.hold(x, first);
  x.attempts.push(first);
  const tally = new Tally(encoding);
  const asked = Promise.withResolvers<void>();
  const counted = Promise.withResolvers<number>();
  tally.soFar = () => {
    asked.resolve();
    return counted.promise;
  };
  x.produces(first, tally);
  const late = checkpoint();
  await asked.promise;
  first.usage = { input: 10, output: 17, cached: 0, estimated: true };
  first.durationMs = 7;
  await keeper.hold(x, attemptOf(2));
  await database.execute("UPDATE holds SET expires_at = 1");
  counted.resolve(17);
  assertEquals(await late, 0);
  // The lease is renewed all the same.
  const { rows } = await database.execute("SELECT expires_at > 1 AS renewed FROM holds");
  assertEquals(rows[0]!.renewed, 1);
  await ledger.close();
});

Deno.test("a checkpoint leaves what ends while another is counted as it was", async () => {
  const { file, database, ledger, keeper, x: first } = await startExchange();
  await using _file = file;
  const second = await newExchange();
  const counts = [Promise.resolve(3), Promise.resolve(17)];
  const attempts = [];
  for (const [place, x] of [first, second].entries()) {
    const attempt = attemptOf(1);
    const tally = new Tally(encoding);
    const count = () => counts[place]!;
    tally.soFar = count;
    await keeper.hold(x, attempt);
    x.attempts.push(attempt);
    x.produces(attempt, tally);
    attempts.push(attempt);
  }
  const tokens = async () => {
    const { rows } = await database.execute("SELECT request_id, output_tokens FROM holds");
    return [first, second].map(({ id }) =>
      rows.find((row) => row.request_id === id)?.output_tokens
    );
  };
  await ledger.look();
  assertEquals(await tokens(), [3, 17]);
  const slow = Promise.withResolvers<number>();
  counts[0] = slow.promise;
  const look = ledger.look();
  const attempt = attempts[1]!;
  const usage = { input: 10, output: 20, cached: 0, estimated: false };
  Object.assign(attempt, { usage, durationMs: 7 });
  const { target } = attempt;
  // Its entry must not come before the checkpoint: that is what a death in between would leave.
  await database.execute(
    "CREATE TRIGGER late BEFORE INSERT ON usage BEGIN SELECT raise(ABORT, 'late'); END",
  );
  keeper.settle(second, {
    ...{ state: "completed", status: 200, target, attempt, usage, cost: 210, durationMs: 7 },
  });
  slow.resolve(4);
  await look;
  assertEquals(await tokens(), [4, 17]);
  await database.execute("DROP TRIGGER late");
  await ledger.flush();
  assertEquals(await tokens(), [4, undefined]);
  await ledger.close();
});
