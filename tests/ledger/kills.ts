/**
 * Kills XRouter under load, again and again, and compares the ledger with the vendor's own log.
 *
 * @module
 */
import type { Row } from "@libsql/client";
import { assert, assertEquals } from "@std/assert";
import { setTimeout as delay } from "node:timers/promises";
import { loadTokenizer } from "../../core/tokens.ts";
import type { RandomBelow } from "../support/random.ts";
import { LedgerFolder, orderOf, type PayingKey, send } from "./ledger_folder.ts";
import { RouterProcess } from "./router_process.ts";
import {
  costOfOrder,
  type Order,
  type Served,
  startVendorLog,
  type VendorLog,
} from "./vendor_log.ts";

/** Requests at a time. */
const load = 12;

/** How the first of them are asked for: they last until the process dies. */
const lasting: readonly Ask[] = [
  { stream: true },
  { stream: true },
  { stream: true, headers: { "x-xrouter-on-break": "whole" } },
  { stream: false, inEvents: true },
];

/** The process that is not killed, and requests at a time there. */
const survivorName = "survivor";
const survivorLoad = 3;

/** Checkpoints are written every two seconds. */
const checkpointWithinMs = 3_000;

/** More than any lease and any pause between two searches for what was left open. */
const recoveredWithinMs = 30_000;

/** How an answer is asked for. */
interface Ask extends Pick<Order, "inEvents"> {
  readonly stream: boolean;
  readonly headers?: Record<string, string>;
}

/** What was seen. */
export interface KillCounts {
  kills: number;
  /** Requests that the vendor saw. */
  requests: number;
  /** Of them, settled with what the vendor reported. */
  completed: number;
  /** Of them, settled after their process had died. */
  interrupted: number;
  /** Of those, answers of events that had run long enough for a checkpoint. */
  checkpoints: number;
}

/**
 * Runs processes on one database after each other and kills each, beside one that lives on: what it
 * serves must not be taken for left behind.
 *
 * @param longEvery Every so many kills, the process runs long enough for checkpoints.
 */
export async function runKills(
  kills: number,
  longEvery: number,
  random: RandomBelow,
): Promise<KillCounts> {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  const keys = [await folder.makeKey({}), await folder.makeKey({ credit: 1_000_000_000 })];
  const due = new Map<string, number>();
  await using survivor = await RouterProcess.start(folder.path, folder.env);
  const end = new AbortController();
  const survivors = Array.from(
    { length: survivorLoad },
    (_client, i) =>
      runClient(`${survivorName} client ${i}`, {
        url: survivor.url,
        model: vendor.model,
        key: keys[i % keys.length]!,
        words: () => 1 + random(100),
        pauseMs: () => random(60),
        ask: () => ({ stream: random(3) > 0 }),
        stopped: end.signal,
      }),
  );
  for (let kill = 0; kill < kills; kill++) {
    const router = await RouterProcess.start(folder.path, folder.env);
    const isLong = kill % longEvery === 0;
    const stop = new AbortController();
    const clients = Array.from(
      { length: load },
      (_client, i) =>
        runClient(`kill ${kill} client ${i}`, {
          url: router.url,
          model: vendor.model,
          key: keys[i % keys.length]!,
          words: () => lasting[i] ? 1_000 : 1 + random(40),
          pauseMs: () => lasting[i] ? 20 : random(30),
          ask: () => lasting[i] ?? { stream: random(3) > 0 },
          stopped: stop.signal,
        }),
    );
    await delay(isLong ? 4_500 + random(1_000) : 50 + random(1_200));
    const then = performance.now() - checkpointWithinMs;
    for (const [id, { saidAt, finished }] of vendor.served) {
      const words = saidAt.filter((at) => at < then).length;
      if (id.startsWith(`kill ${kill} `) && !finished && words > 0) due.set(id, words);
    }
    stop.abort();
    await router.kill();
    await Promise.all(clients);
  }
  end.abort();
  await Promise.all(survivors);
  await untilRecovered(folder);
  return await compare(folder, vendor, kills, due);
}

interface ClientOptions {
  readonly url: string;
  readonly model: string;
  readonly key: PayingKey;
  readonly words: () => number;
  readonly pauseMs: () => number;
  readonly ask: () => Ask;
  readonly stopped: AbortSignal;
}

/** Asks again and again until its process dies. */
async function runClient(name: string, options: ClientOptions): Promise<void> {
  const { url, model, key, words, pauseMs, ask, stopped } = options;
  for (let call = 0; !stopped.aborted; call++) {
    const { stream, headers = {}, ...rest } = ask();
    const order = { ...await orderOf(`${name} call ${call}`, words(), pauseMs()), ...rest };
    try {
      const response = await send(url, key, order, model, stream, { headers });
      await response.text();
      assertEquals(response.status, 200);
    } catch (error) {
      // Whoever asks a process that is killed is cut off.
      if (!stopped.aborted) throw error;
    }
  }
}

async function untilRecovered({ database }: LedgerFolder): Promise<void> {
  const until = performance.now() + recoveredWithinMs;
  for (;;) {
    const { rows } = await database.execute("SELECT count(*) AS holds FROM holds");
    if (rows[0]!.holds === 0) return;
    assert(performance.now() < until, `${rows[0]!.holds} holds are left after half a minute`);
    await delay(100);
  }
}

async function compare(
  folder: LedgerFolder,
  vendor: VendorLog,
  kills: number,
  due: ReadonlyMap<string, number>,
): Promise<KillCounts> {
  await folder.check();
  assertEquals(vendor.repeated, []);
  const { rows } = await folder.database.execute("SELECT * FROM usage");
  const byTag = new Map(rows.map((row) => [row.tag as string, row]));
  assertEquals(byTag.size, rows.length, "a request has two rows");
  const counts = {
    kills,
    requests: vendor.served.size,
    completed: 0,
    interrupted: 0,
    checkpoints: due.size,
  };
  for (const [id, served] of vendor.served) {
    const row = byTag.get(id);
    assert(row !== undefined, `the vendor served "${id}", and the ledger has no row of it`);
    await checkRow(row, served, due.get(id));
    counts[row.state as "completed" | "interrupted"]++;
    byTag.delete(id);
    if (id.startsWith(survivorName)) assertEquals(row.state, "completed", `"${id}"`);
  }
  // These were cut off on their way to the vendor.
  for (const { state, output_tokens } of byTag.values()) {
    assertEquals({ state, output_tokens }, { state: "interrupted", output_tokens: 0 });
  }
  return counts;
}

/** @param due Words that must be in its last checkpoint. */
async function checkRow(row: Row, { order, words, finished }: Served, due = 0): Promise<void> {
  assertEquals(row.input_tokens, order.input);
  if (row.state === "completed") {
    assert(finished, `"${order.id}" is said to be complete`);
    assertEquals([row.output_tokens, row.estimated], [order.words, 0]);
    assertEquals(row.cost, costOfOrder(order));
  } else {
    assertEquals([row.state, row.estimated], ["interrupted", 1], `"${order.id}"`);
    // As many words as the vendor has sent, or fewer, but not those of long ago: one is one token.
    const produced = row.output_tokens as number;
    const tokenizer = await loadTokenizer("o200k_base");
    const [least, most] = [due, words].map((count) => tokenizer.count(" word".repeat(count)));
    const place = `"${order.id}": ${produced} of ${least} to ${most}`;
    assert(least! <= produced && produced <= most!, place);
    assertEquals(row.cost, costOfOrder({ ...order, words: produced }));
  }
  assertEquals(row.charged, row.cost);
}
