import { assertEquals, assertRejects } from "@std/assert";
import { Keeper } from "../../core/ledger/keeper.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { Margins } from "../../core/ledger/margins.ts";
import type { Attempt, Exchange, Outcome, Usage } from "../../core/plugin.ts";
import { timeOrderedId } from "../../core/time_ordered_id.ts";
import { RouterError } from "../../core/errors.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { openSharedFile, type SharedFile } from "./ledger_processes.ts";

/** A million tokens of input cost so many roubles; output costs ten times as much. */
function target(model: string, input = 1) {
  const price = { currency: "RUB", input, output: input * 10 };
  return { provider: "p", model, facts: { price, encoding: "o200k_base" as const } };
}

/** One exchange that a test leads as the kernel would: 10 tokens of input, 5 of output at most. */
class Trial {
  readonly x: Exchange;
  /** What each try's provider counts; `undefined` where nobody asks it. */
  exactInput: number | undefined = 10;
  readonly #keeper: Keeper;
  readonly #attempts: Attempt[] = [];

  constructor(keeper: Keeper, keyId: string, body: object = { max_tokens: 5 }) {
    this.#keeper = keeper;
    const id = timeOrderedId(Date.now());
    const limits = { prepaid: true, limited: false, holdCap: null };
    const state = {
      caller: { id: keyId, owner: null, limits, ownerLimits: null },
      inputTokens: 10,
    };
    const whole = { model: "asked", messages: [], ...body };
    this.x = {
      id,
      startedAt: Date.now(),
      headers: new Headers(),
      body: whole,
      parsedBody: whole,
      state,
      attempts: this.#attempts,
      replyHeaders: {},
      producedTokens: () => 0,
    } as unknown as Exchange;
  }

  /** Begins a try; rejects as the ledger does. */
  async begin(model: string, input?: number, prefilled?: number): Promise<Attempt> {
    const number = this.#attempts.length + 1;
    const body = { ...this.x.body };
    const attempt: Attempt = {
      number,
      target: target(model, input),
      body,
      headers: {},
      ...this.exactInput !== undefined && { exactInput: this.exactInput },
      ...prefilled !== undefined && { prefilled },
    };
    await this.#keeper.hold(this.x, attempt);
    this.#attempts.push(attempt);
    return attempt;
  }

  /** Ends a try: nobody uses its answer. */
  fail(attempt: Attempt, usage?: Usage): void {
    attempt.durationMs = 7;
    attempt.error = new RouterError("timeout", "It took too long");
    if (usage !== undefined) attempt.usage = usage;
  }

  finish(end: Partial<Outcome> = {}): void {
    const last = this.#attempts.at(-1);
    this.#keeper.settle(this.x, {
      state: "completed",
      status: 200,
      ...(last !== undefined && { target: last.target }),
      durationMs: 9,
      ...end,
    });
  }
}

/** Tokens that cost `output` times ten, and ten for the input, at the usual price. */
function used(output: number): Usage {
  return { input: 10, output, cached: 0, estimated: true };
}

interface Context {
  file: SharedFile;
  keeper: Keeper;
  keyId: string;
  held: () => Promise<number[]>;
  rows: () => Promise<unknown[][]>;
  balance: () => Promise<number>;
}

/** Runs a test with a key that has so much credit, in millionths. */
async function withKeeper(credit: number, run: (context: Context) => Promise<void>) {
  await using file = await openSharedFile();
  const { database, ledger } = file.processes[0];
  const { key } = await new KeyStore(database).create({ name: "k" });
  await new AccountStore(database).credit(key.id, credit, "test");
  const keeper = new Keeper(ledger, new Margins(), { currency: "RUB", unpriced: "record" });
  const read = async (sql: string) => {
    await ledger.flush();
    return (await database.execute(sql)).rows;
  };
  await run({
    file,
    keeper,
    keyId: key.id,
    held: async () =>
      (await read("SELECT amount FROM holds ORDER BY request_id")).map(({ amount }) =>
        amount as number
      ),
    rows: async () =>
      (await read(
        `SELECT substr(request_id, 38) AS try, model, state, error_code, output_tokens, cost, charged
          FROM usage ORDER BY request_id`,
      )).map((row) => [...Object.values(row)]),
    balance: async () => (await read("SELECT balance FROM accounts"))[0]!.balance as number,
  });
  await ledger.flush();
  assertEquals((await checkLedger(database)).mismatches, []);
}

Deno.test("Keeper charges a try that was of no use before the next, and holds for the next alone", () =>
  withKeeper(1_000, async ({ keeper, keyId, held, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    const first = await trial.begin("one");
    assertEquals(await held(), [60]);
    trial.fail(first, used(3));
    await trial.begin("two", 2);
    assertEquals([await held(), await balance()], [[120], 960]);
    assertEquals(await rows(), [["1", "one", "failed", "timeout", 3, 40, 40]]);
    trial.finish({ usage: used(4), cost: 100 });
    assertEquals(await rows(), [
      ["", "two", "completed", null, 4, 100, 100],
      ["1", "one", "failed", "timeout", 3, 40, 40],
    ]);
    assertEquals([await held(), await balance()], [[], 860]);
  }));

Deno.test("Keeper holds for the words, too, that a try goes on from", () =>
  withKeeper(1_000, async ({ keeper, keyId, held }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("one"));
    await trial.begin("one", 1, 7);
    assertEquals(await held(), [67]);
    trial.finish();
  }));

Deno.test("Keeper frees what a try needed that has cost nothing", () =>
  withKeeper(120, async ({ keeper, keyId, held, rows }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("dear", 2));
    await trial.begin("cheap", 1);
    assertEquals(await held(), [60]);
    trial.finish();
    assertEquals((await rows()).length, 1);
  }));

Deno.test("Keeper writes nothing for a second try of the same target", () =>
  withKeeper(60, async ({ file, keeper, keyId, held }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("one"));
    const { database } = file.processes[0];
    const execute = database.execute;
    database.execute = () => Promise.reject(new Error("It writes"));
    await trial.begin("one");
    database.execute = execute;
    assertEquals(await held(), [60]);
    trial.finish();
  }));

Deno.test("Keeper holds for all tries that run, and charges each of them", () =>
  withKeeper(1_000, async ({ keeper, keyId, held, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    const first = await trial.begin("one");
    const second = await trial.begin("two", 2);
    assertEquals(await held(), [180]);
    trial.fail(second, used(1));
    await trial.begin("three", 3);
    assertEquals([await held(), await balance()], [[60 + 180], 960]);
    // Given up, since the third was quicker; its tokens were counted.
    first.durationMs = 5;
    first.usage = used(0);
    trial.finish({ usage: used(1), cost: 60 });
    assertEquals(await rows(), [
      ["", "three", "completed", null, 1, 60, 60],
      ["1", "one", "aborted", "aborted", 0, 10, 10],
      ["2", "two", "failed", "timeout", 1, 40, 40],
    ]);
    assertEquals([await held(), await balance()], [[], 1_000 - 60 - 10 - 40]);
  }));

Deno.test("Keeper orders tries that come at once one after the other", () =>
  withKeeper(1_000, async ({ keeper, keyId, held }) => {
    const trial = new Trial(keeper, keyId);
    await trial.begin("one");
    await Promise.all([trial.begin("two"), trial.begin("three")]);
    assertEquals(await held(), [180]);
    trial.finish();
    assertEquals(await held(), []);
  }));

Deno.test("Keeper refuses a try that the rest of the credit does not pay, and charges the one before", () =>
  withKeeper(100, async ({ keeper, keyId, held, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("one"), used(4));
    const error = await assertRejects(() => trial.begin("dear", 2), RouterError);
    assertEquals(error.code, "insufficient_credits");
    assertEquals([await balance(), await held()], [50, [10]]);
    // Nor does a second one of the same price fit.
    await assertRejects(() => trial.begin("one"), RouterError, "0.00006");
    await trial.begin("cheap", 0.5);
    assertEquals(await held(), [30]);
    trial.finish({ usage: used(5), cost: 30 });
    assertEquals([await balance(), await held()], [20, []]);
    assertEquals((await rows()).length, 2);
  }));

Deno.test("Keeper cuts each try as its own price demands, and tells what the last was cut to", () =>
  withKeeper(3_210, async ({ keeper, keyId, held }) => {
    const trial = new Trial(keeper, keyId, {});
    const dear = await trial.begin("dear", 10);
    const header = () => trial.x.replyHeaders["x-xrouter-max-tokens"];
    assertEquals([dear.body.max_tokens, header()], [31, "31"]);
    trial.fail(dear);
    const cheap = await trial.begin("cheap", 1);
    assertEquals([cheap.body.max_tokens, header(), await held()], [320, "320", [3_210]]);
    trial.fail(cheap);
    const again = await trial.begin("cheap", 1);
    assertEquals(again.body.max_tokens, 320);
    trial.fail(again);
    const free = await trial.begin("free", 0);
    // Nobody has said how long it may be.
    assertEquals([free.body.max_tokens, header(), await held()], [4_096, "4096", [0]]);
    trial.finish();
  }));

Deno.test("Keeper keeps the charge of a try in the credit, and what is beyond as a loss", () =>
  withKeeper(100, async ({ keeper, keyId, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("one"), used(500));
    await assertRejects(() => trial.begin("two"), RouterError);
    trial.finish({ state: "failed", status: 504 });
    assertEquals(await rows(), [
      ["", "one", "failed", null, null, null, 0],
      ["1", "one", "failed", "timeout", 500, 5_010, 100],
    ]);
    assertEquals(await balance(), 0);
  }));

Deno.test("what a dead process left is settled with all tries that ran, and none a second time", () =>
  withKeeper(1_000, async ({ file, keeper, keyId, held, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    trial.fail(await trial.begin("one"), used(2));
    await trial.begin("two", 2);
    await trial.begin("three", 3);
    const [dying, living] = file.processes;
    await dying.crash();
    await living.database.execute("UPDATE holds SET expires_at = 1");
    assertEquals(await living.ledger.recover(), 1);
    assertEquals(await rows(), [
      ["", "three", "interrupted", "internal", 0, 30, 30],
      ["1", "one", "failed", "timeout", 2, 30, 30],
      ["2", "two", "interrupted", "internal", 0, 20, 20],
    ]);
    assertEquals([await held(), await balance()], [[], 1_000 - 30 - 30 - 20]);
  }));

Deno.test("a process that seemed dead replaces what was guessed of a request and of its tries", () =>
  withKeeper(1_000, async ({ file, keeper, keyId, rows, balance }) => {
    const trial = new Trial(keeper, keyId);
    const first = await trial.begin("one");
    const second = await trial.begin("two");
    await trial.begin("three");
    const [{ database }, other] = file.processes;
    await database.execute("UPDATE holds SET expires_at = 1");
    assertEquals(await other.ledger.recover(), 1);
    assertEquals((await rows()).map(([number, , state]) => [number, state]), [
      ["", "interrupted"],
      ["1", "interrupted"],
      ["2", "interrupted"],
    ]);
    trial.fail(first, used(1));
    // It has cost nothing after all.
    trial.fail(second);
    trial.finish({ usage: used(2), cost: 30 });
    assertEquals(await rows(), [
      ["", "three", "completed", null, 2, 30, 30],
      ["1", "one", "failed", "timeout", 1, 20, 20],
    ]);
    assertEquals(await balance(), 950);
  }));

Deno.test("Keeper learns nothing from a report on more than text, now or at the next start", () =>
  withKeeper(1_000_000, async ({ file, keeper, keyId, held }) => {
    const { database, ledger } = file.processes[0];
    const usage = { input: 20_000, output: 0, cached: 0, estimated: false };
    const holdFor = async (body: object) => {
      const trial = new Trial(keeper, keyId, { max_tokens: 5, ...body });
      trial.x.state.inputTokens = 1_000;
      trial.exactInput = undefined;
      await trial.begin("m");
      const amounts = await held();
      trial.finish({ usage, cost: 20_000 });
      return amounts;
    };
    const file_id = "file-1";
    const messages = [{ role: "user", content: [{ type: "file", file: { file_id } }] }];
    await holdFor({ messages });
    await ledger.flush();
    const next = new Margins();
    await next.load(database);
    assertEquals(next.expect(target("m"), 1_000), 1_000);
    assertEquals(await holdFor({}), [1_050]);
    // A report on text does teach.
    assertEquals(await holdFor({}), [2_550]);
  }));

Deno.test("Keeper marks what was not answered, which alone is charged to nobody", () =>
  withKeeper(1_000, async ({ file, keeper, keyId }) => {
    const { database, ledger } = file.processes[0];
    const trial = new Trial(keeper, keyId);
    const first = await trial.begin("one");
    trial.fail(first, used(1));
    first.unanswered = true;
    await trial.begin("two");
    const end = { usage: used(1), cost: 20, unanswered: true } as const;
    trial.finish({ state: "failed", status: 502, ...end });
    const answered = new Trial(keeper, keyId);
    await answered.begin("three");
    answered.finish({ usage: used(1), cost: 20 });
    await ledger.flush();
    const { rows } = await database.execute(
      "SELECT model, charged, unanswered FROM usage ORDER BY model",
    );
    assertEquals(rows.map((row) => [...Object.values(row)]), [
      ["one", 0, 1],
      ["three", 20, 0],
      ["two", 0, 1],
    ]);
    await assertRejects(
      () => database.execute("UPDATE usage SET unanswered = 1 WHERE model = 'three'"),
      Error,
      "never changed",
    );
  }));
