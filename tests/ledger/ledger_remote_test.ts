import type { Client, InStatement } from "@libsql/client";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { Hold } from "../../core/ledger/hold_writer.ts";
import { Ledger } from "../../core/ledger/ledger.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { createLog } from "../../core/log.ts";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { timeOrderedId } from "../../core/time_ordered_id.ts";
import { type HranaServer, serveHrana } from "../store/hrana_server.ts";
import { gone, runFault } from "./faults.ts";
import { entryOf, price } from "./ledger_state.ts";

interface Place {
  readonly server: HranaServer;
  readonly database: Client;
  /** A process that uses the server. */
  readonly ledger: Ledger;
  /** Another one. */
  readonly peer: Ledger;
  /** A prepaid key. */
  makeKey(credit: number): Promise<string>;
  /** Requests to the server while `run` runs. */
  count(run: () => Promise<unknown>): Promise<number>;
  /** The state of every request. */
  states(): Promise<Record<string, number>>;
}

async function withServer(run: (place: Place) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const server = serveHrana(`${folder}/x.db`);
  const database = await openDatabase({ url: `http://${server.host}` });
  const options = {
    database,
    log: createLog(() => {}),
    currency: "RUB",
    // Leases end where a test ends them.
    leaseMs: 86_400_000,
  };
  const [ledger, peer] = [new Ledger(options), new Ledger(options)];
  try {
    await migrate(database, migrationsFolder);
    await run({
      server,
      database,
      ledger,
      peer,
      async makeKey(credit) {
        const { key } = await new KeyStore(database).create({ name: "k" });
        await new AccountStore(database).credit(key.id, credit, "test");
        return key.id;
      },
      async count(action) {
        const before = server.authorizations.length;
        await action();
        return server.authorizations.length - before;
      },
      async states() {
        const { rows } = await database.execute(
          `SELECT state, count(*) AS requests FROM (
            SELECT 'open' AS state FROM holds UNION ALL SELECT state FROM usage
          ) GROUP BY state ORDER BY state`,
        );
        return Object.fromEntries(rows.map(({ state, requests }) => [state, requests as number]));
      },
    });
    assertEquals((await checkLedger(database)).mismatches, []);
  } finally {
    await ledger.close();
    await peer.close();
    database.close();
    await server[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}

function holdOf(keyId: string, amount: number): Hold {
  const now = Date.now();
  return {
    requestId: timeOrderedId(now),
    keyId,
    owner: null,
    amount,
    openedAt: now,
    provider: "p",
    model: "m",
    modelAsked: "m",
    tag: null,
    stream: false,
    inputTokens: 7,
    price,
  };
}

/** Holds, or says why not. */
async function outcomeOf(ledger: Ledger, hold: Hold): Promise<string> {
  try {
    await ledger.hold(hold, () => 0, () => undefined);
    return "held";
  } catch (error) {
    assert(error instanceof RouterError, String(error));
    return error.code;
  }
}

Deno.test("on a server 50 holds of one turn take one request, and 50 settlements another", () =>
  withServer(async ({ ledger, database, makeKey, count, states }) => {
    const key = await makeKey(1_000);
    const holds = Array.from({ length: 50 }, () => holdOf(key, 20));
    const outcomes: Promise<string>[] = [];
    const toHold = await count(() => {
      outcomes.push(...holds.map((hold) => outcomeOf(ledger, hold)));
      return Promise.all(outcomes);
    });
    assertEquals([toHold, new Set(await Promise.all(outcomes))], [1, new Set(["held"])]);
    assertEquals(await states(), { open: 50 });
    const toSettle = await count(async () => {
      for (const hold of holds) ledger.settle(entryOf(hold, 3));
      await ledger.flush();
    });
    assertEquals([toSettle, await states()], [1, { completed: 50 }]);
    const account = (await new AccountStore(database).read(key))!;
    assertEquals([account.balance, account.held, account.open], [850, 0, 0]);
  }));

Deno.test("on a server those who come first are served, and a poor key delays the others little", () =>
  withServer(async ({ ledger, makeKey, count, states }) => {
    const [rich, poor] = [await makeKey(1_000), await makeKey(100)];
    const holds = Array.from({ length: 50 }, (_, i) => holdOf(i === 30 ? poor : rich, 20));
    holds[30] = { ...holds[30]!, amount: 101 };
    const outcomes: Promise<string>[] = [];
    const requests = await count(() => {
      outcomes.push(...holds.map((hold) => outcomeOf(ledger, hold)));
      return Promise.all(outcomes.filter((_, i) => i !== 30));
    });
    assert(requests < 16, `${requests} requests`);
    assertEquals(await outcomes[30], "insufficient_credits");
    assertEquals((await Promise.all(outcomes)).filter((each) => each === "held").length, 49);
    const few = Array.from({ length: 12 }, () => holdOf(poor, 30));
    assertEquals(await Promise.all(few.map((hold) => outcomeOf(ledger, hold))), [
      ...Array(3).fill("held"),
      ...Array(9).fill("insufficient_credits"),
    ]);
    assertEquals(await states(), { open: 52 });
  }));

Deno.test("on a server what is written although its answer is lost counts once", () =>
  withServer(async ({ server, ledger, database, makeKey, states }) => {
    const key = await makeKey(1_000);
    const [lost, settled] = [holdOf(key, 20), holdOf(key, 20)];
    server.answersToLose = 1;
    assertEquals(await outcomeOf(ledger, lost), "unavailable");
    assertEquals(await states(), { open: 1 });
    ledger.settle(entryOf(lost, null));
    await ledger.flush();
    assertEquals(await outcomeOf(ledger, settled), "held");
    server.answersToLose = 2;
    ledger.settle(entryOf(settled, 5));
    await ledger.close();
    assertEquals(await states(), { completed: 2 });
    assertEquals((await new AccountStore(database).read(key))!.balance, 995);
  }));

Deno.test("on a server another process settles what is not renewed, and gives way to what is known", () =>
  withServer(async ({ ledger, peer, database, makeKey, states }) => {
    const key = await makeKey(1_000);
    const [left, slow, renewed] = [holdOf(key, 20), holdOf(key, 20), holdOf(key, 20)];
    for (const hold of [left, slow, renewed]) {
      const process = hold === renewed ? peer : ledger;
      await process.hold(hold, () => 2, () => undefined);
    }
    await database.execute("UPDATE holds SET expires_at = 1");
    // Its lease begins anew, with a checkpoint.
    await peer.look();
    assertEquals(await states(), { interrupted: 2, open: 1 });
    const before = (await new AccountStore(database).read(key))!.balance;
    assertEquals(before, 1_000 - 2 * 7 * 3);
    const { rows } = await database.execute("SELECT output_tokens FROM holds");
    assertEquals(rows[0]!.output_tokens, 2);
    ledger.settle(entryOf(slow, 30));
    await ledger.flush();
    assertEquals(await states(), { completed: 1, interrupted: 1, open: 1 });
    assertEquals((await new AccountStore(database).read(key))!.balance, before + 7 * 3 - 30);
    assertEquals(await peer.recover(), 0);
  }));

Deno.test("a server that goes while it is asked why a hold does not fit is told as such", () =>
  withServer(async ({ database, makeKey }) => {
    const hold = holdOf(await makeKey(30), 20);
    let asked = 0;
    const going = {
      execute: (statement: InStatement) =>
        JSON.stringify(statement).includes("account_room")
          ? Promise.reject(new Error(`gone ${++asked}`))
          : database.execute(statement),
    };
    const ledger = new Ledger({
      database: going as unknown as Client,
      log: createLog(() => {}),
      currency: "RUB",
      leaseMs: 86_400_000,
    });
    assertEquals(await outcomeOf(ledger, hold), "held");
    const move = () => ledger.move({ ...hold, amount: 31 }, () => undefined);
    const moved = await assertRejects(move, RouterError);
    assertEquals([moved.code, asked], ["unavailable", 1]);
    assertEquals(await outcomeOf(ledger, holdOf(hold.keyId!, 31)), "unavailable");
    ledger.settle(entryOf(hold, 3));
    await ledger.close();
  }));

Deno.test("a server that is gone refuses requests and loses no row", () => runFault(gone));
