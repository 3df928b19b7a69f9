import { assertEquals } from "@std/assert";
import { ConfigError } from "../../core/config.ts";
import { createLog } from "../../core/log.ts";
import { Reloader } from "../../core/reloader.ts";

Deno.test("Reloader never reloads twice at once, and once more after a change meanwhile", async () => {
  const steps = [1, 2, 3].map(() => Promise.withResolvers<string[]>());
  let begun = 0;
  let ended = 0;
  const lines: string[] = [];
  const log = createLog((line) => {
    const { level, changes, problems } = JSON.parse(line);
    lines.push(`${level} ${changes ?? problems}`);
  });
  const reloader = new Reloader(async () => {
    assertEquals(begun, ended);
    const step = steps[begun++]!;
    return await step.promise.finally(() => ended++);
  }, log);
  const first = reloader.request();
  assertEquals(begun, 1);
  const others = [reloader.request(), reloader.request()];
  steps[0]!.reject(new ConfigError([{ at: "a.ts", message: "is wrong" }]));
  steps[1]!.resolve(["b"]);
  await Promise.all([first, ...others]);
  assertEquals([begun, lines], [2, ["error a.ts: is wrong", "info b"]]);
  // Nothing has changed, and then it stops.
  steps[2]!.resolve([]);
  const last = reloader.request();
  await reloader.stop(10_000);
  assertEquals(ended, 3);
  await last;
  await reloader.request();
  assertEquals([begun, lines.length], [3, 2]);
});

Deno.test("Reloader stops although a reload never ends, and says no more of it", async () => {
  const endless = Promise.withResolvers<string[]>();
  const lines: string[] = [];
  const reloader = new Reloader(() => endless.promise, createLog((line) => lines.push(line)));
  const running = reloader.request();
  await reloader.stop(5);
  assertEquals(reloader.stopped, true);
  endless.reject(new Error("late"));
  await running;
  assertEquals(lines, []);
});
