import { assert, assertEquals } from "@std/assert";
import { RetryBudget } from "../../core/retry_budget.ts";

function takeAll(budget: RetryBudget, now: number): number {
  let taken = 0;
  while (budget.take(now)) taken++;
  return taken;
}

Deno.test("RetryBudget lets a fifth of the requests be tried again, beside a small reserve", () => {
  const budget = new RetryBudget();
  const reserve = takeAll(budget, 0);
  assertEquals(reserve, 10);
  for (let i = 0; i < 100; i++) budget.request(0);
  assert(Math.abs(takeAll(budget, 0) - 20) <= 1);
});

Deno.test("RetryBudget gives one try a second to a service with few requests", () => {
  const budget = new RetryBudget();
  takeAll(budget, 0);
  assertEquals(takeAll(budget, 3_000), 3);
  // A clock that steps back gives nothing.
  assertEquals(takeAll(budget, 1_000), 0);
});

Deno.test("RetryBudget saves up no storm", () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 100_000; i++) budget.request(i);
  assertEquals(takeAll(budget, 100_000), 100);
});
