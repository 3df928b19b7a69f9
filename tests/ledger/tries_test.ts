import { assertEquals } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { openDatabase } from "../../core/store/database.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import {
  delta,
  ending,
  type Seen,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const price = { currency: "RUB", input: 1, output: 10 };
const json = { "content-type": "application/json" };
const words = ["One ", "two ", "three ", "four."];

interface Row {
  readonly id: string;
  readonly model: string;
  readonly state: string;
  readonly cost: number;
  readonly charged: number;
  readonly output: number;
}

/** Asks `first`, then `second`, with credit. @returns The rows, the request's own first. */
async function booked(
  answer: (seen: Seen) => Response | Promise<Response>,
  body: object,
  headers: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<{ rows: Row[]; text: string; balance: number }> {
  await using upstream = startUpstream(answer);
  await using router: TestRouter = await startRouter(
    { ...upstream.env, XROUTER_RETRIES: "0", ...env },
    {
      models: {
        "openai/first": { price },
        "openai/second": { price },
        "openai/dear": { price: { currency: "RUB", input: 1_000, output: 1_000_000 } },
      },
      routes: {
        both: ["openai/first", "openai/second"],
        dearer: ["openai/first", "openai/dear"],
        hedged: { targets: ["openai/first", "openai/second"], hedgeAfter: 30 },
      },
    },
  );
  await new AccountStore(router.program.database).credit(router.keyId, 1_000_000, "test");
  const response = await router.chat({ ...ask("both", "hi"), ...body }, { headers });
  const text = await response.text();
  await router.stop();
  const database = await openDatabase({ url: router.databaseUrl });
  try {
    const found = await database.execute(
      "SELECT request_id AS id, model, state, cost, charged, output_tokens AS output FROM usage ORDER BY try_of IS NOT NULL, request_id",
    );
    const account = await database.execute("SELECT balance, held FROM accounts WHERE prepaid = 1");
    assertEquals(account.rows[0]!.held, 0);
    assertEquals((await checkLedger(database)).mismatches, []);
    return {
      rows: found.rows.map((row) => ({ ...row }) as unknown as Row),
      text,
      balance: Number(account.rows[0]!.balance),
    };
  } finally {
    database.close();
  }
}

const sum = (rows: readonly Row[]) => rows.reduce((total, { charged }) => total + charged, 0);

Deno.test("a provider that did not answer in time is booked, and charged to nobody", async () => {
  const { rows, balance } = await booked(
    async ({ body, closed }) => {
      if (body.model === "first") await closed;
      return streamed(delta("fine"), ...ending());
    },
    { stream: true },
    {},
    { XROUTER_FIRST_BYTE_MS: "60" },
  );
  const [own, late] = rows;
  assertEquals([own?.model, own?.state, own?.charged], ["second", "completed", 60]);
  assertEquals([late?.model, late?.state, late?.charged, late?.output], ["first", "failed", 0, 0]);
  assertEquals([late!.cost > 0, rows.length, balance], [true, 2, 1_000_000 - 60]);
});

Deno.test("a request whose only provider did not answer in time is charged nothing", async () => {
  const { rows, balance } = await booked(
    async ({ closed }) => {
      await closed;
      return wholeAnswer();
    },
    { model: "openai/first" },
    {},
    { XROUTER_WHOLE_MS: "60" },
  );
  const [own] = rows;
  assertEquals([own?.state, own?.charged, own!.cost > 0], ["failed", 0, true]);
  assertEquals([rows.length, balance], [1, 1_000_000]);
});

for (
  const [what, broken] of [
    ["half of whose JSON came", () => new Response('{"half":1,', { headers: json })],
    [
      "that is something else",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    ],
    ["whose stream said nothing", () => streamed(delta("", { choices: [] }))],
  ] as const
) {
  for (const stream of [true, false]) {
    Deno.test(`an answer ${what} is booked, and charged to nobody, ${stream ? "" : "not "}as a stream`, async () => {
      const { rows, balance } = await booked(
        ({ body }) => {
          if (body.model === "first") return broken();
          return stream ? streamed(delta("fine"), ...ending()) : wholeAnswer();
        },
        { stream },
      );
      const [own, useless] = rows;
      assertEquals([own?.model, own?.state, rows.length], ["second", "completed", 2]);
      assertEquals([useless?.model, useless?.state, useless?.charged], ["first", "failed", 0]);
      assertEquals([useless!.cost > 0, balance], [true, 1_000_000 - own!.charged]);
    });
  }
}

Deno.test("both parts of an answer that was gone on with are charged to their models", async () => {
  const { rows, balance, text } = await booked(
    ({ body }) =>
      body.model === "first"
        ? streamed(...words.slice(0, 2).map((word) => delta(word)))
        : streamed(...words.map((word) => delta(word)), ...ending()),
    { stream: true, stream_options: { include_usage: true } },
    { "x-xrouter-on-break": "continue" },
  );
  const [own, first] = rows;
  assertEquals([own?.model, own?.charged], ["second", 60]);
  assertEquals([first?.model, first?.state, first!.charged > 0], ["first", "failed", true]);
  assertEquals(balance, 1_000_000 - sum(rows));
  // The client reads the same amount.
  const report = text.split("\n\n").findLast((frame) => frame.includes('"cost"'))!;
  assertEquals(JSON.parse(report.slice(6)).usage.cost, sum(rows) / 1e6);
});

Deno.test("both targets of a hedge are charged", async () => {
  const { rows, balance } = await booked(async ({ body, closed }) => {
    if (body.model === "first") await closed;
    return streamed(delta("fine"), ...ending());
  }, { model: "hedged", stream: true });
  const [own, loser] = rows;
  assertEquals([own?.model, own?.state, own?.charged], ["second", "completed", 60]);
  assertEquals([loser?.model, loser?.state, loser?.output], ["first", "aborted", 0]);
  assertEquals([loser!.charged > 0, balance], [true, 1_000_000 - sum(rows)]);
});

Deno.test("an answer that was thrown away is charged beside the one that was shown", async () => {
  const { rows, text } = await booked(
    ({ body }) =>
      body.model === "first"
        ? streamed(...words.slice(0, 2).map((word) => delta(word)))
        : streamed(delta("fine"), ...ending()),
    { stream: true },
    { "x-xrouter-on-break": "whole" },
  );
  assertEquals([text.includes("One "), text.includes("fine")], [false, true]);
  assertEquals(rows.map(({ model, charged }) => [model, charged > 0]), [["second", true], [
    "first",
    true,
  ]]);
});

for (const onBreak of ["continue", "whole"]) {
  for (const [what, model] of [["fails", "both"], ["cannot be paid", "dearer"]] as const) {
    Deno.test(`a broken answer is charged once, on break ${onBreak}, where the next target ${what}`, async () => {
      const { rows, balance } = await booked(
        ({ body }) =>
          body.model === "first"
            ? streamed(...words.slice(0, 2).map((word) => delta(word)))
            : Response.json({ error: { message: "no" } }, { status: 503 }),
        { stream: true, model, max_tokens: 50 },
        { "x-xrouter-on-break": onBreak },
      );
      const charged = rows.filter((row) => row.charged > 0);
      assertEquals(charged.map(({ model }) => model), ["first"]);
      assertEquals([rows[0]?.state, balance], ["failed", 1_000_000 - sum(charged)]);
    });
  }
}
