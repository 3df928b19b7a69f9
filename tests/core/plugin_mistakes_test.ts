import {
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import type { Chunk } from "../../core/chunk.ts";
import { type ErrorCode, RouterError } from "../../core/errors.ts";
import type { Attempt, Hooks, Outcome } from "../../core/plugin.ts";
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

Deno.test("Kernel names the plugin that leaves a try what JSON cannot hold", async () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const mistakes: [(attempt: Attempt) => void, string][] = [
    [({ body }) => void (body.user = 1n), 'set "user" of a try to what JSON cannot hold: '],
    [({ body }) => void (body.metadata = cyclic), 'set "metadata" of a try to what JSON cannot'],
    [(attempt) => void (attempt.body = undefined as never), "left a try without a body"],
    [(attempt) => void (attempt.body = [] as never), "left a try without a body"],
    [
      ({ body }) => void (body.model = undefined as never),
      'set "model" of a try to what is no text',
    ],
    [({ body }) => void delete body.messages, "made another kind of request of a try"],
  ];
  for (const [change, expected] of mistakes) {
    for (const onError of ["reject", "skip"] as const) {
      const { response, text, errors, outcome } = await withMistake({
        onAttempt: (_x: unknown, attempt: Attempt) => change(attempt),
      }, { onError });
      assertEquals([response.status, JSON.parse(text).error.code], [500, "internal"], expected);
      assertStringIncludes(
        String(errors[0]!.message),
        `plugin "mistaken" (mistaken.ts) onAttempt: ${expected}`,
      );
      assertEquals(outcome.usage, undefined);
    }
  }
});

Deno.test("Kernel blames no vendor for messages that a plugin has made no JSON of in place", async () => {
  const cyclic: Record<string, unknown> = { role: "user", content: "hi" };
  cyclic.self = cyclic;
  for (const message of [{ role: "user", content: 1n }, cyclic]) {
    await using kernel = startKernel({
      providers: [vendor],
      plugins: [{
        hooks: { onAttempt: (_x, { body }) => void (body.messages as unknown[]).push(message) },
      }],
      route: { retries: 2 },
    });
    for (let asked = 1; asked <= 6; asked++) {
      const response = await kernel.chat(ask("vendor/m"));
      assertEquals([response.status, (await response.json()).error.code], [500, "internal"]);
      await kernel.ended(asked);
    }
    const errors = kernel.log.filter(({ level }) => level === "error");
    assertMatch(
      String(errors[0]!.message),
      /^A plugin made the body of a try for provider "vendor" what JSON cannot hold: /,
    );
    assertEquals(kernel.catalog.providers.get("vendor")!.circuit("m").state, "closed");
  }
});

Deno.test("Kernel takes a chunk's replacement that is no JSON object as that plugin's crash", async () => {
  const replacements = [5, null, [], "text", { choices: 1n }] as unknown as ChatReply[];
  for (const replacement of replacements) {
    for (const stream of [false, true]) {
      const hooks: Hooks = { onChunk: (_x, chunk) => chunk.replace(replacement) };
      const body = ask("vendor/m", "hi", { stream });
      const skipped = await withMistake(hooks, { onError: "skip", body });
      assertEquals(skipped.outcome.state, "completed");
      assertStringIncludes(skipped.text, "Hello");
      assertEquals(skipped.errors[0]!.message, 'plugin "mistaken" crashed in onChunk');
      const rejected = await withMistake(hooks, { body });
      assertEquals(rejected.outcome.error?.code, "internal");
      assertMatch(String(rejected.errors[0]!.message), /^plugin "mistaken" .* onChunk: /);
    }
  }
});

Deno.test("Kernel makes a plugin's own answer one that OpenAI might have given", async () => {
  const answer = { choices: [{ message: { content: "from a cache" } }] };
  const whole = await withMistake({ onRequest: () => answer });
  const { id, created, ...rest } = JSON.parse(whole.text);
  assertEquals(id, `chatcmpl-${whole.response.headers.get("x-request-id")}`);
  assertLess(Math.abs(Date.now() / 1000 - created), 60);
  assertEquals([rest.object, rest.model], ["chat.completion", "vendor/m"]);
  assertEquals(rest.choices, [
    { index: 0, message: { role: "assistant", content: "from a cache" }, finish_reason: "stop" },
  ]);
  assertEquals(answer, { choices: [{ message: { content: "from a cache" } }] });

  const body = ask("vendor/m", "hi", { stream: true });
  const streamed = await withMistake({ onRequest: () => answer }, { body });
  const events = streamed.text.split("\n\n").filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice("data: ".length)));
  for (const event of events) {
    assertEquals([event.object, event.model], ["chat.completion.chunk", "vendor/m"]);
    assertEquals([event.id, typeof event.created], [events[0].id, "number"]);
    assertEquals(event.choices[0].index, 0);
  }
  assertEquals(events.map(({ choices }) => choices[0].finish_reason), [null, "stop"]);

  const full = { id: "own", object: "mine", created: 5, model: "cache", extra: 1 };
  const own = await withMistake({
    onRequest: () => ({ ...full, choices: [{ index: 3, message: { role: "tool" } }] }),
  });
  assertEquals(JSON.parse(own.text), {
    ...JSON.parse(own.text),
    ...full,
    choices: [{ index: 3, message: { role: "tool" }, finish_reason: "stop" }],
  });
});

Deno.test("Kernel tells a client whose whole answer was withheld, streamed or not", async () => {
  const withhold: Hooks = { onChunk: () => false };
  const whole = await withMistake(withhold);
  assertEquals([whole.response.status, JSON.parse(whole.text).error.code], [400, "content_filter"]);
  const body = ask("vendor/m", "hi", { stream: true, stream_options: { include_usage: true } });
  const streamed = await withMistake(withhold, { body });
  assertEquals(streamed.text.match(/data: /g)?.length, 1);
  assertStringIncludes(streamed.text, '"code":"content_filter"');
  const { state, error, usage } = streamed.outcome;
  assertEquals([state, error?.code, usage?.output], ["failed", "content_filter", 5]);
  // Whoever withholds a part lets the rest be an answer.
  const part = await withMistake({
    onChunk: (_x: unknown, chunk: Chunk) => chunk.text === "" ? undefined : false,
  }, { body });
  assertMatch(part.text, /data: \[DONE\]\n\n$/);
  assertEquals(part.outcome.state, "completed");
});
