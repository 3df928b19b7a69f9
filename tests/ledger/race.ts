/**
 * Many calls at once on a key that can pay for few of them.
 *
 * @module
 */
import { assert, assertEquals, assertLessOrEqual, assertMatch } from "@std/assert";
import { LedgerFolder, orderOf, type PayingKey, send } from "./ledger_folder.ts";
import { RouterProcess } from "./router_process.ts";
import { serveProgram } from "./served_program.ts";
import { costOfOrder, startVendorLog, type VendorLog } from "./vendor_log.ts";

/** What ends the served ones. */
const limitedBy = ["credit", "limit", "parallel"] as const;

/** One race. */
interface Race {
  /** The processes, asked in turn. */
  readonly urls: readonly string[];
  readonly calls: number;
  readonly limitedBy: typeof limitedBy[number];
  /** Every call streamed, none, or every other one. */
  readonly stream: boolean | "both";
}

const affordable = 10;
const atATime = 3;
let races = 0;

/** Every race on one process. @returns How many calls were made. */
export async function raceOneProcess(calls: number): Promise<number> {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  await using router = await serveProgram(folder.env);
  for (const limit of limitedBy) {
    for (const stream of [true, false]) {
      await runRace(folder, vendor, { urls: [router.url], calls, limitedBy: limit, stream });
    }
  }
  await folder.check();
  return 2 * limitedBy.length * calls;
}

/** Every race on several processes that share a database. @returns How many calls were made. */
export async function raceProcesses(count: number, calls: number): Promise<number> {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  await using stack = new AsyncDisposableStack();
  const routers = await Promise.all(
    Array.from({ length: count }, () => RouterProcess.start(folder.path, folder.env)),
  );
  for (const router of routers) stack.use(router);
  const urls = routers.map(({ url }) => url);
  for (const limit of limitedBy) {
    await runRace(folder, vendor, { urls, calls, limitedBy: limit, stream: "both" });
  }
  await folder.check();
  return limitedBy.length * calls;
}

/** Runs a race and asserts that exactly as many calls were served as the key can pay for. */
async function runRace(folder: LedgerFolder, vendor: VendorLog, race: Race): Promise<void> {
  const prefix = `race ${++races}`;
  const example = await orderOf(prefix, 20);
  const cost = costOfOrder(example);
  const key = await folder.makeKey(
    {
      credit: { credit: affordable * cost },
      limit: { limit: { amount: affordable * cost, period: "day" as const } },
      parallel: { parallel: atATime },
    }[race.limitedBy],
  );
  const most = race.limitedBy === "parallel" ? atATime : affordable;
  // With this, none that is served ends before all others are refused.
  const gate = Promise.withResolvers<void>();
  if (race.limitedBy === "parallel") vendor.gate = gate.promise;
  vendor.mostOpen = 0;
  let refused = 0;
  const answers = await Promise.all(Array.from({ length: race.calls }, async (_call, i) => {
    const stream = race.stream === "both" ? i % 2 === 0 : race.stream;
    const order = { ...example, id: `${prefix} call ${i}` };
    const response = await send(race.urls[i % race.urls.length]!, key, order, vendor.model, stream);
    if (!response.ok && ++refused === race.calls - most) gate.resolve();
    return { status: response.status, text: await response.text(), order };
  }));
  vendor.gate = Promise.resolve();
  const served = answers.filter(({ status }) => status === 200);
  const reached = [...vendor.served.keys()].filter((id) => id.startsWith(`${prefix} `)).sort();
  assertEquals(reached, served.map(({ order }) => order.id).sort());
  const others = new Set(answers.filter(({ status }) => status !== 200).map(({ text }) => text));
  assertEquals(served.length, most, [...others].slice(0, 5).join("\n"));
  assertEquals(vendor.repeated, []);
  for (const { status, text } of answers.filter((answer) => !served.includes(answer))) {
    assertEquals(status, race.limitedBy === "parallel" ? 429 : 402, text);
    assertMatch(text, refusals[race.limitedBy]);
  }
  // Fewer where the last is still on its way to the vendor when the first has ended.
  if (race.limitedBy === "parallel") assertLessOrEqual(vendor.mostOpen, atATime);
  await settled(folder, key, race.calls);
  const account = await folder.accounts.read(key.id);
  const spent = most * cost;
  const { balance, held, open, used } = account!;
  assertEquals({ balance, held, open }, {
    balance: race.limitedBy === "credit" ? 0 : -spent,
    held: 0,
    open: 0,
  });
  if (race.limitedBy === "limit") assertEquals(used, spent);
}

const refusals = {
  credit: /Key \\"key \d+\\" has [\d.]+ RUB of credit/,
  limit: /Key \\"key \d+\\" may spend [\d.]+ RUB a day .* The limit renews at \d{4}-/,
  parallel: /Key \\"key \d+\\" has 3 requests under way and may have 3 at a time/,
};

/** Waits until every call has its row, as it has soon after its answer. */
async function settled(folder: LedgerFolder, key: PayingKey, calls: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { rows } = await folder.database.execute({
      sql:
        "SELECT count(*) AS rows, sum(state = 'completed') AS completed FROM usage WHERE key_id = ?",
      args: [key.id],
    });
    assert((rows[0]!.rows as number) <= calls, "a call has two rows");
    if (rows[0]!.rows === calls) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("Some calls have no row after ten seconds");
}
