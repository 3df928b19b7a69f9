import { assert, assertEquals } from "@std/assert";
import type { Target } from "../../core/model.ts";
import { Traffic } from "../../core/routing/traffic.ts";

const target = (model: string): Target => ({ provider: "acme", model, facts: {} });

Deno.test("Traffic counts the tries under way, each once", () => {
  const traffic = new Traffic();
  const [first, second] = [traffic.begin(target("m")), traffic.begin(target("m"))];
  assertEquals(traffic.of(target("m")).running, 2);
  first();
  first();
  assertEquals(traffic.of(target("m")).running, 1);
  second();
  assertEquals(traffic.of(target("m")).running, 0);
});

Deno.test("Traffic follows the time to the first token", () => {
  const traffic = new Traffic();
  assertEquals(traffic.of(target("m")).firstTokenMs, undefined);
  traffic.note(target("m"), 100);
  assertEquals(traffic.of(target("m")).firstTokenMs, 100);
  for (let i = 0; i < 40; i++) traffic.note(target("m"), 500);
  const { firstTokenMs = 0 } = traffic.of(target("m"));
  assert(firstTokenMs > 490 && firstTokenMs <= 500, `${firstTokenMs}`);
});

Deno.test("Traffic forgets idle targets, however many models clients name, and no busy one", () => {
  const traffic = new Traffic();
  const end = traffic.begin(target("busy"));
  traffic.note(target("idle"), 1);
  for (let i = 0; i < 2_000; i++) traffic.note(target(`m${i}`), 1);
  assertEquals([traffic.of(target("idle")).firstTokenMs, traffic.of(target("busy")).running], [
    undefined,
    1,
  ]);
  end();
});
