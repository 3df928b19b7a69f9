/**
 * The thread of {@linkcode WritingThread}.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { LibsqlError } from "@libsql/client";
import { PreparedWrites } from "./prepared_writes.ts";
import type { Answer, Order } from "./writing_thread.ts";

let writes: PreparedWrites | undefined;
let closed: Int32Array | undefined;

/** @returns What is answered, if something is. */
function carryOut(order: Order): Answer | undefined {
  if (order === "close") {
    writes?.close();
    Atomics.store(closed!, 0, 1);
    Atomics.notify(closed!, 0);
    return undefined;
  }
  if ("path" in order) {
    writes = new PreparedWrites(order.path, order.timeoutMs, order.pragmas);
    closed = new Int32Array(order.closed);
    return undefined;
  }
  try {
    if ("sql" in order) return writes!.run(order.sql, order.args).rowsAffected;
    writes!.exec(order.exec);
    return 0;
  } catch (error) {
    if (!(error instanceof LibsqlError)) return { message: String(error), code: "UNKNOWN" };
    const { message, code, extendedCode, rawCode } = error;
    return { message, code, extendedCode, rawCode };
  }
}

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  const answer = carryOut(data);
  if (answer !== undefined) self.postMessage(answer);
});
