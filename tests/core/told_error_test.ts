import { assertEquals } from "@std/assert";
import { type ErrorCode, errorTable, RouterError } from "../../core/errors.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { toldError } from "../../core/told_error.ts";
import { inProcess, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";

/** Each is told rather than any that follows it; those of a row are told as they come. */
const ranks: readonly (readonly ErrorCode[])[] = [
  ["upstream_busy"],
  ["upstream_unavailable", "timeout", "unfit_answer", "queue_full"],
  ["circuit_open"],
  ["insufficient_credits"],
  ["context_length_exceeded"],
  ["insufficient_quota"],
  ["provider_failed"],
  ["upstream_rejected"],
  ["model_not_found"],
];

const failure = (code: ErrorCode, retryAfterMs?: number) =>
  new RouterError(code, "It failed", retryAfterMs === undefined ? {} : { retryAfterMs });

Deno.test("toldError takes what may pass soonest, whoever was asked first", () => {
  const all = ranks.flatMap((codes, rank) => codes.map((code) => ({ code, rank })));
  const further = Object.keys(errorTable).filter((code) => failure(code as ErrorCode).fallback);
  assertEquals(all.map(({ code }) => code).sort(), further.sort() as ErrorCode[]);
  for (const before of all) {
    for (const last of all) {
      const { code } = before.rank < last.rank ? before : last;
      assertEquals(toldError(failure(before.code), failure(last.code)).code, code);
    }
  }
});

Deno.test("toldError goes by the time that a vendor names, and takes what ends the asking", () => {
  const soon = failure("upstream_unavailable", 2_000);
  const late = failure("upstream_busy", 60_000);
  assertEquals([toldError(soon, late), toldError(late, soon)], [soon, soon]);
  const final = failure("content_filter");
  assertEquals(toldError(soon, final), final);
});

const question = ask("first/m");

const refusal = (status: number) =>
  Response.json({ error: { message: "The model does not exist" } }, { status });

/** What a client reads. */
async function read(response: Response) {
  const { error } = await response.json();
  return [response.status, error.code, response.headers.get("x-should-retry")];
}

/** What two are told to answer, in either order, and what the client reads then. */
const cases: [statuses: [number, number], status: number, code: ErrorCode, retry: string | null][] =
  [
    [[500, 404], 502, "upstream_unavailable", null],
    [[429, 404], 429, "upstream_busy", null],
    [[429, 402], 429, "upstream_busy", null],
    [[402, 404], 429, "insufficient_quota", "false"],
    [[402, 401], 429, "insufficient_quota", "false"],
    [[401, 404], 502, "upstream_rejected", "false"],
    [[404, 404], 404, "model_not_found", null],
  ];

for (const [pair, status, code, retry] of cases) {
  for (const statuses of [pair, pair.toReversed()]) {
    Deno.test(`two accounts that answer ${statuses.join(" and ")} are told as ${code}`, async () => {
      // Whichever account is asked first.
      let calls = 0;
      const provider: Provider = {
        ...inProcess(() => refusal(statuses[calls++]!), { name: "first" }),
        accounts: () => ["a", "b"].map((name) => ({ name, settings: {} })),
      };
      await using kernel = startKernel({ providers: [provider] });
      assertEquals(await read(await kernel.chat(question)), [status, code, retry]);
      assertEquals(calls, 2);
    });

    Deno.test(`two targets that answer ${statuses.join(" and ")} are told as ${code}`, async () => {
      const providers = ["first", "second"].map((name, place) =>
        inProcess(() => refusal(statuses[place]!), { name })
      );
      await using kernel = startKernel({ providers });
      const response = await kernel.chat({ ...question, models: ["second/m"] });
      assertEquals(response.headers.get("x-xrouter-attempts"), "2");
      assertEquals(await read(response), [status, code, retry]);
    });
  }
}

Deno.test("a failure that passes is tried again, although another account has no such model", async () => {
  const answers = [500, 404, 200];
  const provider = defineProvider({
    ...inProcess(() => {
      const status = answers.shift()!;
      return status === 200
        ? Response.json({ choices: [{ index: 0, message: { content: "!" } }] })
        : refusal(status);
    }, { name: "first" }),
    accounts: () => ["a", "b"].map((name) => ({ name, settings: {} })),
  });
  await using kernel = startKernel({ providers: [provider], route: { retries: 1 } });
  const response = await kernel.chat(question);
  assertEquals([response.status, answers], [200, []]);
  await response.body!.cancel();
});
