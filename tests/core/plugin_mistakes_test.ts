import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { type ErrorCode, RouterError } from "../../core/errors.ts";
import type { Hooks, Outcome } from "../../core/plugin.ts";
import { inParts, inProcess, limits, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, wholeAnswer } from "../support/upstream.ts";

const vendor = inProcess(async (request) => {
  const { stream } = await request.json();
  return stream ? inParts([delta("Hello"), ...ending()]) : wholeAnswer("Hello");
});

/** Asks once with a plugin that makes a mistake. */
async function withMistake(
  hooks: object,
  { onError = "reject", body = ask("vendor/m") }: { onError?: "reject" | "skip"; body?: object } =
    {},
) {
  await using kernel = startKernel({
    providers: [vendor],
    plugins: [{ name: "mistaken", onError, hooks: hooks as Hooks }],
  });
  const response = await kernel.chat(body);
  const text = await response.text();
  const outcome = await kernel.ended();
  await kernel.kernel.drain(1_000);
  assertEquals(kernel.kernel.running, 0);
  assertEquals(response.headers.get("x-request-id")?.length, 36);
  const errors = kernel.log.filter(({ level }) => level === "error");
  assertEquals(kernel.log.filter(({ message }) => message === "access").length, 1);
  return { response, text, outcome, errors };
}

Deno.test("RouterError has no code that is not in the table, and names those that are", () => {
  assertThrows(
    () => new RouterError("nonsense" as ErrorCode, "x"),
    TypeError,
    'A RouterError has no code "nonsense". Use one of invalid_request, ',
  );
  assertThrows(() => new RouterError("toString" as ErrorCode, "x"), TypeError);
});

Deno.test("Kernel answers and records whatever a plugin throws", async () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const thrown = [
    () => new RouterError("nonsense" as ErrorCode, "x"),
    () => Object.assign(new RouterError("forbidden", "x"), { code: "nonsense" }),
    () => new RouterError("forbidden", "x", { metadata: cyclic as never }),
    () => Object.create(null),
    () => undefined,
    () => Symbol("x"),
  ];
  for (const make of thrown) {
    for (const stream of [false, true]) {
      const { response, text, outcome } = await withMistake({
        onRequest() {
          throw make();
        },
      }, { body: ask("vendor/m", "hi", { stream }) });
      assertEquals([response.status, JSON.parse(text).error.code], [500, "internal"], String(make));
      assertEquals(outcome.state, "refused");
      assertEquals(response.headers.get("content-type"), "application/json");
    }
  }
});

Deno.test("Kernel logs where a plugin crashed, also where that fails the request", async () => {
  for (const onError of ["reject", "skip"] as const) {
    const { errors } = await withMistake({
      onRequest: function whereItIs() {
        throw new Error("a slip");
      },
    }, { onError });
    assertMatch(
      String(errors[0]!.error),
      /^Error: a slip\n +at .*whereItIs .*plugin_mistakes_test/,
    );
  }
});

const target = { provider: "vendor", model: "m", facts: {} };
const route = {
  targets: [target],
  attempts: 1,
  retries: 0,
  time: 1_000,
  timeouts: limits(),
  onBreak: "error",
};
const { idle: _idle, ...withoutIdle } = limits();

const wrongReturns: [hook: keyof Hooks, returned: unknown, expected: string][] = [
  ["onRequest", new Map(), 'must return a chat completion with "choices", or nothing'],
  ["onRequest", true, "this is of type boolean"],
  ["onRequest", { choices: [null] }, "must return a chat completion"],
  ["onRequest", Promise.resolve(5), "this is of type number"],
  ["onRoute", 5, 'must return a route whose "targets"'],
  ["onRoute", {}, 'must return a route whose "targets"'],
  ["onRoute", { ...route, targets: [{ provider: "vendor" }] }, '"provider", "model" and "facts"'],
  ["onRoute", { ...route, attempts: Number.NaN }, "the numbers attempts, retries and time"],
  ["onRoute", { ...route, timeouts: undefined }, "the numbers attempts, retries and time"],
  ["onRoute", { ...route, timeouts: withoutIdle }, '"timeouts" firstByte, firstToken, last, idle'],
  ["onRoute", { ...route, onBreak: "stop" }, '"onBreak" is one of error, continue, whole'],
  ["onChunk", Promise.resolve(), "must return false or nothing, without waiting"],
];

Deno.test("Kernel takes a hook's wrong return as that plugin's crash", async () => {
  for (const [hook, returned, expected] of wrongReturns) {
    for (const stream of [false, true]) {
      const body = ask("vendor/m", "hi", { stream });
      const skipped = await withMistake({ [hook]: () => returned }, { onError: "skip", body });
      assertEquals([skipped.response.status, skipped.outcome.state], [200, "completed"], expected);
      assertStringIncludes(skipped.text, "Hello");
      assertEquals(skipped.errors[0]!.message, `plugin "mistaken" crashed in ${hook}`);
      assertEquals(skipped.errors[0]!.file, "mistaken.ts");
      assertStringIncludes(String(skipped.errors[0]!.error), expected);

      const rejected = await withMistake({ [hook]: () => returned }, { body });
      const code = /"code":"(\w+)"/.exec(rejected.text)![1];
      assertEquals([code, rejected.outcome.error?.code], ["internal", "internal"], expected);
      const message = String(rejected.errors[0]!.message);
      assertStringIncludes(message, `plugin "mistaken" (mistaken.ts) ${hook}: `);
      assertStringIncludes(message, expected);
    }
  }
});

Deno.test("Kernel ignores what onFinish returns, but for what has to be awaited", async () => {
  for (const returned of [true, 5, {}, new Map()]) {
    const { errors } = await withMistake({ onFinish: () => returned });
    assertEquals(errors, []);
  }
  // A query builder begins once it is awaited.
  let begun = 0;
  const query = {
    then(resolve: () => void) {
      begun++;
      resolve();
    },
  };
  assertEquals((await withMistake({ onFinish: () => query })).errors, []);
  assertEquals(begun, 1);
});

Deno.test("Kernel hands out an outcome that no plugin changes for the next one", async () => {
  const changes: ((outcome: { -readonly [Key in keyof Outcome]: Outcome[Key] }) => void)[] = [
    (outcome) => outcome.state = "failed",
    (outcome) => outcome.usage!.input = 1e9,
    (outcome) => Object.assign(outcome.error!, { code: "x" }),
  ];
  for (const [i, change] of changes.entries()) {
    const { outcome, errors } = await withMistake(
      { onFinish: (_x: unknown, each: Outcome) => change(each) },
      { body: i === 2 ? { model: "vendor/m" } : ask("vendor/m") },
    );
    assertMatch(String(errors[0]!.error), /^TypeError: Cannot assign to read only property/);
    if (i === 2) assertEquals(outcome.error!.code, "invalid_request");
    else assertEquals([outcome.state, outcome.usage!.input < 100], ["completed", true]);
  }
});
