/**
 * Streams that their clients cut off, and what each of them is charged.
 *
 * @module
 */
import type { Row } from "@libsql/client";
import { assert, assertEquals } from "@std/assert";
import type { RandomBelow } from "../support/random.ts";
import { LedgerFolder, orderOf, send } from "./ledger_folder.ts";
import { serveProgram } from "./served_program.ts";
import { costOfOrder, type Served, startVendorLog } from "./vendor_log.ts";

/** Clients at a time. */
const clients = 16;

/** What was seen. */
export interface AbortCounts {
  streams: number;
  /** Rows with what the vendor reported, and with what was counted. */
  reported: number;
  counted: number;
  /** Cut before anything was produced: only the input is charged. */
  empty: number;
}

/**
 * Lets clients leave at random places of their answers.
 *
 * @param onAbort What the vendor's provider does with an answer whose client has left.
 */
export async function runAborts(
  streams: number,
  onAbort: "drain" | "cancel",
  random: RandomBelow,
): Promise<AbortCounts> {
  await using vendor = startVendorLog(onAbort === "drain" ? "draining" : "openai");
  await using folder = await LedgerFolder.make(vendor);
  await Deno.writeTextFile(`${folder.path}/draining.ts`, drainingProvider(vendor.url));
  const env = { ...folder.env, XROUTER_PROVIDERS_DIR: folder.path };
  const key = await folder.makeKey({ credit: 1_000_000_000_000 });
  const read = new Map<string, number>();
  {
    await using router = await serveProgram(env);
    let next = 0;
    await Promise.all(Array.from({ length: clients }, async () => {
      while (next < streams) {
        const order = await orderOf(`stream ${next++}`, 1 + random(60), random(3));
        const cutAfter = random(order.words + 1);
        const controller = new AbortController();
        const { signal } = controller;
        const answer = send(router.url, key, order, vendor.model, true, { signal });
        if (cutAfter === 0) setTimeout(() => controller.abort(), random(6));
        read.set(order.id, await readWords(answer, cutAfter, controller));
      }
    }));
  }
  await folder.check();
  const { rows } = await folder.database.execute("SELECT * FROM usage");
  const counts: AbortCounts = { streams: read.size, reported: 0, counted: 0, empty: 0 };
  const byTag = new Map(rows.map((row) => [row.tag as string, row]));
  assertEquals(byTag.size, rows.length, "a stream has two rows");
  for (const [id, served] of vendor.served) {
    const row = byTag.get(id);
    assert(row !== undefined, `"${id}" has no row`);
    counts[checkRow(row, served, read.get(id)!)]++;
    if (onAbort === "drain") assertEquals(row.output_tokens, served.order.words, `"${id}"`);
  }
  const held = await folder.database.execute("SELECT * FROM holds");
  assertEquals(held.rows, []);
  return counts;
}

/** Reads so many words and leaves. @returns How many words had come by then. */
async function readWords(
  answer: Promise<Response>,
  cutAfter: number,
  controller: AbortController,
): Promise<number> {
  let text = "";
  const words = () => text.split('" word"').length - 1;
  try {
    const { ok, body } = await answer;
    for await (const part of body!.pipeThrough(new TextDecoderStream())) {
      text += part;
      assert(ok, text);
      if (cutAfter > 0 && words() >= cutAfter) controller.abort();
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  }
  return words();
}

function checkRow(
  row: Row,
  { order, words }: Served,
  read: number,
): "reported" | "counted" | "empty" {
  const { state, estimated, input_tokens, output_tokens, cost, charged } = row;
  const place = `"${order.id}" ${JSON.stringify(row)}`;
  assert(state === "aborted" || state === "completed", place);
  assertEquals(input_tokens, order.input);
  assert(read <= (output_tokens as number) && (output_tokens as number) <= words, place);
  assertEquals(cost, costOfOrder({ ...order, words: output_tokens as number }), place);
  assertEquals(charged, cost, place);
  if (estimated === 1) return output_tokens === 0 ? "empty" : "counted";
  assertEquals(output_tokens, order.words, place);
  return "reported";
}

function drainingProvider(url: string): string {
  return `import { defineProvider } from "xrouter/provider";
export default defineProvider({ name: "draining", baseUrl: "${url}", onAbort: "drain" });
`;
}
