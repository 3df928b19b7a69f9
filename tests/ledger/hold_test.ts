import { assertEquals } from "@std/assert";
import { boundsOf } from "../../core/ledger/hold.ts";

const target = { provider: "p", model: "m", facts: {} };
const messages = [{ role: "user", content: "hi" }];

Deno.test("boundsOf takes the larger of two limits, since the vendor may heed either", () => {
  const limits = { max_tokens: 100, max_completion_tokens: 1 };
  const bounds = boundsOf({ model: "m", messages, ...limits }, target, 4, 5);
  assertEquals(bounds, { input: 5, output: 100, choices: 1, asked: true, assumed: false });
});
