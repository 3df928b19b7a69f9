/**
 * The thread that writes, which dies with its third order: carried out, and its answer sent.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import "../../core/store/writing_worker.ts";
import { cells, type Order } from "../../core/store/writing_thread.ts";

let shared: Int32Array | undefined;
let orders = 0;

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  if (typeof data === "object" && "shared" in data) shared = new Int32Array(data.shared);
  if (++orders < 3) return;
  Atomics.store(shared!, cells.closed, 1);
  Atomics.notify(shared!, cells.closed);
  throw new Error("It dies");
});
