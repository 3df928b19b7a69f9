/**
 * The thread of {@linkcode WritingThread}.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { LibsqlError } from "@libsql/client";
import { PreparedWrites } from "./prepared_writes.ts";
import { type Answer, carriers, type Order, slots } from "./writing_thread.ts";

let writes: PreparedWrites | undefined;
let shared: Int32Array | undefined;

function carryOut(order: Order): Answer {
  if (order === "close") {
    writes?.close();
    Atomics.store(shared!, slots.closed, 1);
    Atomics.notify(shared!, slots.closed);
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
  // Whoever has waited in vain carries it out without this thread.
  const carrier = shared && Atomics.compareExchange(shared, slots.carrier, 0, carriers.thread);
  if (carrier !== carriers.caller) self.postMessage(carryOut(data));
});
