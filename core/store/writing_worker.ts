/**
 * The thread of {@linkcode WritingThread}.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { LibsqlError } from "@libsql/client";
import { PreparedWrites } from "./prepared_writes.ts";
import { type Answer, carriers, cells, type Order } from "./writing_thread.ts";

let writes: PreparedWrites | undefined;
let shared: Int32Array | undefined;

function carryOut(order: Order): Answer {
  if (order === "close") {
    try {
      writes?.close();
    } finally {
      Atomics.store(shared!, cells.closed, 1);
      Atomics.notify(shared!, cells.closed);
    }
    return 0;
  }
  if ("path" in order) {
    writes = new PreparedWrites(order.path, order.timeoutMs, order.pragmas);
    shared = new Int32Array(order.shared);
    return 0;
  }
  try {
    if ("sql" in order) return writes!.run(order.sql, order.args).rowsAffected;
    writes!.exec(order.exec);
    return 0;
  } catch (error) {
    if (!(error instanceof LibsqlError)) return { message: String(error) };
    const { message, code, extendedCode, rawCode } = error;
    // The class writes its code before the message, here and once more where it is made anew.
    return { message: message.replace(`${code}: `, ""), code, extendedCode, rawCode };
  }
}

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  // The other side may have given this thread up, and carried the order out by itself.
  const carrier = shared && Atomics.compareExchange(shared, cells.carrier, 0, carriers.thread);
  if (carrier !== carriers.caller) self.postMessage(carryOut(data));
});
