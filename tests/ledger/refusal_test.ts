import { assertEquals } from "@std/assert";
import { type ErrorMetadata, RouterError } from "../../core/errors.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { LimitChanges } from "../../core/ledger/limits.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import { makeKey } from "../support/usage_client.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";

// A known encoding: then a hold has no margin. Each request may cost 10 × 65 + 5 × 130.
const models = {
  "openai/vendor-model": {
    price: { currency: "RUB", input: 65, output: 130 },
    encoding: "o200k_base",
  },
};
const body = (model = "vendor-model") => ask(model, "one two three", { max_tokens: 5 });

interface Refusal {
  /** What the key's account, or its owner's, is given before. */
  credit?: number;
  limits?: LimitChanges;
  spent?: number;
  held?: number;
  model?: string;
  expected: [status: number, code: string, metadata: Omit<ErrorMetadata, "scope">];
}

const refusals: Record<string, Refusal> = {
  "credit that does not suffice": {
    credit: 3_000,
    held: 2_000,
    expected: [402, "insufficient_credits", {
      held: 0.002,
      left: 0.001,
      needed: 0.0013,
      currency: "RUB",
    }],
  },
  "a limit that does not suffice": {
    limits: { limit: { amount: 4_000, period: "month" } },
    spent: 1_000,
    held: 2_000,
    expected: [402, "insufficient_credits", {
      limit: 0.004,
      used: 0.001,
      held: 0.002,
      left: 0.001,
      needed: 0.0013,
      currency: "RUB",
      renews_at: nextMonth(),
    }],
  },
  "a limit that was exceeded": {
    limits: { limit: { amount: 500, period: "month" } },
    spent: 1_000,
    expected: [402, "insufficient_credits", {
      limit: 0.0005,
      used: 0.001,
      held: 0,
      left: 0,
      needed: 0.0013,
      currency: "RUB",
      renews_at: nextMonth(),
    }],
  },
  "too many requests at a time": {
    limits: { parallel: 1 },
    held: 100,
    expected: [429, "rate_limited", { limit: 1, used: 1, left: 0 }],
  },
  "a model without a price": {
    credit: 3_000,
    model: "openai/unknown",
    expected: [402, "insufficient_credits", { currency: "RUB" }],
  },
  "the most that a request may cost": {
    limits: { holdCap: 700 },
    expected: [402, "insufficient_credits", { limit: 0.0007, needed: 0.0013, currency: "RUB" }],
  },
};

for (const [what, { credit, limits, spent, held, model, expected }] of Object.entries(refusals)) {
  Deno.test(`a refusal for ${what} has its numbers for programs`, async () => {
    await using vendor = startUpstream(() => wholeAnswer());
    await using router = await startRouter(vendor.env, { models });
    const { database } = router.program;
    const accounts = new AccountStore(database);
    for (const scope of ["key", "owner"] as const) {
      const key = await makeKey(router, scope, { owner: scope });
      const account = scope === "key" ? key.id : `owner:${scope}`;
      const own = { key_id: key.id, owner: scope };
      if (spent !== undefined) await addUsage(database, { ...own, cost: spent });
      if (credit !== undefined) await accounts.credit(account, credit, "test");
      if (limits !== undefined) await accounts.setLimits(account, limits);
      if (held !== undefined) await addHold(database, { ...own, amount: held });
      const response = await fetch(`${router.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key.secret}`, "content-type": "application/json" },
        body: JSON.stringify(body(model)),
      });
      const { error } = await response.json();
      const [status, code, metadata] = expected;
      assertEquals([response.status, error.code, error.metadata], [
        status,
        code,
        { scope, ...metadata },
      ]);
    }
    assertEquals(vendor.seen.length, 0);
  });
}

function nextMonth(): string {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
}

Deno.test("RouterError tells its numbers only where it has some, and its message may be read", () => {
  const metadata = { scope: "key", left: 0 } as const;
  const told = (code: "rate_limited" | "internal") =>
    new RouterError(code, "no", { metadata }).body().error.metadata;
  assertEquals([told("rate_limited"), told("internal")], [metadata, undefined]);
  assertEquals(Object.keys(new RouterError("rate_limited", "no").body().error), [
    "message",
    "type",
    "code",
    "param",
  ]);
});
