import { assertEquals, assertRejects } from "@std/assert";
import { unlessAborted } from "../../core/unless_aborted.ts";

Deno.test("unlessAborted gives what the promise gives, or the signal's reason", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  assertEquals(await unlessAborted(Promise.resolve(1), signal), 1);
  await assertRejects(() => unlessAborted(Promise.reject(new Error("own")), signal), Error, "own");
  const waiting = unlessAborted(new Promise(() => {}), signal);
  controller.abort(new Error("left"));
  await assertRejects(() => waiting, Error, "left");
});

Deno.test("unlessAborted takes care of a failure that comes after the signal", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const left = unlessAborted(promise, AbortSignal.abort(new Error("left")));
  await assertRejects(() => left, Error, "left");
  // It would be an unhandled one, which ends the program.
  reject(new Error("late"));
  await new Promise((resolve) => setTimeout(resolve, 0));
});
