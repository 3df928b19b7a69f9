// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Attempt, ChatReply, Exchange, Hooks, Outcome } from "../../core/plugin.ts";
import { RouterError } from "../../core/errors.ts";
import { inParts, inProcess, type KernelSetup, limits, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, startUpstream, wholeAnswer } from "../support/upstream.ts";

const [stop, , done] = ending() as [string, string, string];

/** A vendor that answers as it is asked. */
const vendor = inProcess(async (request) => {
  const { stream } = await request.json();
  return stream ? inParts([delta("Hello"), stop, done]) : wholeAnswer("Hello");
});

/** A plugin that only notes how exchanges end. */
function witness(): { hooks: Hooks; seen: Outcome[] } {
  const seen: Outcome[] = [];
  return { seen, hooks: { onFinish: (_x, outcome) => void seen.push(outcome) } };
}

/** Runs one request between two witnesses. @returns Its answer, and the one outcome of all. */
async function between(
  hooks: Hooks,
  body: object = ask("vendor/m"),
  rest: { onError?: "reject" | "skip" } & Partial<KernelSetup> = {},
) {
  const { onError = "reject", ...setup } = rest;
  const [first, last] = [witness(), witness()];
  await using kernel = startKernel({
    providers: [vendor],
    plugins: [first, { name: "middle", onError, hooks }, last],
    ...setup,
  });
  const response = await kernel.chat(body);
  const text = await response.text();
  const outcome = await kernel.ended();
  await kernel.kernel.drain(1_000);
  assertEquals([first.seen, last.seen, [...kernel.outcomes]], [[outcome], [outcome], [outcome]]);
  assertEquals(kernel.kernel.running, 0);
  const errors = kernel.log.filter(({ level }) => level === "error").map((line) => line.message);
  const access = kernel.log.filter(({ message }) => message === "access");
  assertEquals(access.length, 1);
  return { response, text, outcome, errors, access: access[0]! };
}

const routed = {
  attempts: 1,
  retries: 0,
  time: 1000,
  timeouts: limits({ firstByte: 1000, idle: 1000 }),
  onBreak: "error",
} as const;

Deno.test("Kernel leads an exchange through the six moments, in order", async () => {
  const calls: string[] = [];
  const note = (name: string, answers = false): Hooks => ({
    onRequest: () => void calls.push(`onRequest ${name}`),
    onRoute() {
      calls.push(`onRoute ${name}`);
      if (!answers) return undefined;
      const target = { provider: "vendor", model: "theirs", facts: {} };
      return { ...routed, targets: [target] };
    },
    onAttempt: (_x, { number }) => void calls.push(`onAttempt ${name} ${number}`),
    onChunk: (_x, { text }) => void calls.push(`onChunk ${name} ${text}`),
    onFinish: () => void calls.push(`onFinish ${name}`),
  });
  await using kernel = startKernel({
    providers: [inProcess(() => inParts([delta("1") + delta("2"), stop, done]))],
    plugins: [{ hooks: note("a") }, { hooks: note("b", true) }, { hooks: note("c") }],
  });
  await (await kernel.chat(ask("x", "hi", { stream: true }))).text();
  await kernel.ended();
  assertEquals(calls, [
    ...["onRequest a", "onRequest b", "onRequest c", "onRoute a", "onRoute b"],
    ...["onAttempt a 1", "onAttempt b 1", "onAttempt c 1"],
    ...["onChunk a 1", "onChunk b 1", "onChunk c 1", "onChunk a 2", "onChunk b 2", "onChunk c 2"],
    ...["onChunk a ", "onChunk b ", "onChunk c ", "onFinish a", "onFinish b", "onFinish c"],
  ]);
});

Deno.test("Kernel calls hooks as methods, so that a class can be a plugin", async () => {
  class Counter {
    #requests = 0;
    onRequest(x: Exchange) {
      x.replyHeaders["x-count"] = String(++this.#requests);
    }
  }
  const { response } = await between(new Counter());
  assertEquals(response.headers.get("x-count"), "1");
});

Deno.test("Kernel tells every plugin of a refusal", async () => {
  const refuse: Hooks = {
    onRequest() {
      throw new RouterError("unauthorized", "Who are you", {
        headers: { "www-authenticate": "Bearer" },
      });
    },
  };
  const { response, text, outcome } = await between(refuse);
  assertEquals(response.status, 401);
  assertEquals(response.headers.get("www-authenticate"), "Bearer");
  assertEquals(JSON.parse(text).error, {
    message: "Who are you",
    type: "authentication_error",
    code: "unauthorized",
    param: null,
  });
  const { state, status, error, target, usage } = outcome;
  assertEquals([state, status, error?.code], ["refused", 401, "unauthorized"]);
  assertEquals([target, usage], [undefined, undefined]);
});

Deno.test("Kernel tells every plugin of a body that is wrong", async () => {
  const { response, outcome } = await between({}, { model: "vendor/m" });
  assertEquals([response.status, outcome.state, outcome.status], [400, "refused", 400]);
});

Deno.test("Kernel tells every plugin of a request that nobody routes", async () => {
  const { response, text, outcome } = await between({
    onRoute: () => ({ ...routed, targets: [] }),
  });
  assertEquals([response.status, outcome.state], [404, "refused"]);
  assertStringIncludes(text, 'No plugin has a route for the model \\"vendor/m\\"');
});

const reply: ChatReply = {
  id: "cached",
  choices: [{ index: 0, message: { role: "assistant", content: "ready" }, finish_reason: "stop" }],
};

Deno.test("Kernel answers with what a plugin has, whole or streamed", async () => {
  const usage = { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 };
  for (const given of [reply, { ...reply, usage }]) {
    for (const stream of [false, true]) {
      const { response, text, outcome } = await between(
        { onRequest: () => given },
        ask("vendor/m", "hi", { stream }),
      );
      assertEquals(response.headers.get("x-xrouter-attempts"), null);
      if (stream) {
        assertStringIncludes(text, '"delta":{"role":"assistant","content":"ready"}');
        assertEquals(text.endsWith(done), true);
      } else {
        // What no provider was asked for costs nothing.
        const { usage: told, created: _created, ...rest } = JSON.parse(text);
        const filled = { object: "chat.completion", model: "vendor/m" };
        assertEquals({ ...rest, cost: told.cost }, { ...reply, ...filled, cost: 0 });
        if (given !== reply) assertEquals(told, { ...usage, cost: 0 });
      }
      const { state, status, target, usage: used } = outcome;
      assertEquals([state, status, target], ["completed", 200, undefined]);
      assertEquals([used?.output, used?.estimated], [1, given === reply]);
    }
  }
});

/** The hooks that may crash, and how. */
const crashes: [hook: Exclude<keyof Hooks, "routes" | "ready" | "dispose">, isAsync: boolean][] = [
  ["onRequest", false],
  ["onRequest", true],
  ["onRoute", false],
  ["onRoute", true],
  ["onAttempt", false],
  ["onAttempt", true],
  ["onChunk", false],
  ["onFinish", false],
  ["onFinish", true],
];

for (const onError of ["reject", "skip"] as const) {
  for (const stream of [false, true]) {
    Deno.test(`Kernel ends once whatever crashes: ${onError}, stream ${stream}`, async () => {
      for (const [hook, isAsync] of crashes) {
        const crash = () => {
          const error = new TypeError("a slip");
          if (isAsync) return Promise.reject(error);
          throw error;
        };
        const { response, text, outcome, errors } = await between(
          { [hook]: crash },
          ask("vendor/m", "hi", { stream }),
          { onError },
        );
        const matters = onError === "reject" && hook !== "onFinish";
        assertEquals(outcome.error?.code, matters ? "internal" : undefined, hook);
        assertEquals(text.includes("a slip"), false, hook);
        assertEquals(text.includes('"internal"'), matters, hook);
        const begun = !matters || (hook === "onChunk" && stream);
        assertEquals([response.status, outcome.status], begun ? [200, 200] : [500, 500], hook);
        const state = !matters ? "completed" : hook === "onChunk" ? "failed" : "refused";
        assertEquals(outcome.state, state, hook);
        assertEquals(stream && text.endsWith(done), stream && !matters, hook);
        // The log has the reason, and where to look; a crash in onChunk comes with each chunk.
        assertMatch(String(errors[0]), new RegExp(`plugin "middle" .*${hook}`));
        assertEquals(errors.length, stream && hook === "onChunk" && !matters ? 2 : 1, hook);
      }
    });
  }
}

Deno.test("Kernel lets a plugin refuse whose crashes are skipped", async () => {
  for (const hook of ["onRequest", "onRoute", "onAttempt", "onChunk"] as const) {
    const refuse = () => {
      throw new RouterError("forbidden", "Not you");
    };
    const { response, outcome } = await between({ [hook]: refuse }, ask("vendor/m"), {
      onError: "skip",
    });
    assertEquals([response.status, outcome.error?.code], [403, "forbidden"], hook);
  }
});

Deno.test("Kernel sends what hooks have edited, each try its own copy", async () => {
  await using upstream = startUpstream((_seen, number) =>
    number === 1 ? new Response(null, { status: 500 }) : wholeAnswer()
  );
  const hooks: Hooks = {
    onRequest({ body }) {
      body.messages!.push({ role: "user", content: "and more" });
    },
    onAttempt(_x, attempt: Attempt) {
      if (attempt.number === 1) attempt.body.first = true;
      attempt.headers["x-try"] = String(attempt.number);
    },
  };
  const { response } = await between(hooks, ask("vendor/m", "hi", { models: ["vendor/m"] }), {
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 1 },
  });
  assertEquals(response.status, 200);
  const messages = [{ role: "user", content: "hi" }, { role: "user", content: "and more" }];
  assertEquals(upstream.seen.map(({ body }) => body), [
    { model: "m", messages, first: true },
    { model: "m", messages },
  ]);
  assertEquals(upstream.seen.map(({ headers }) => headers.get("x-try")), ["1", "2"]);
});

Deno.test("Kernel lets no plugin ask for a stream that the client does not want", async () => {
  for (const stream of [false, true]) {
    const turn: Hooks = { onAttempt: (_x, { body }) => void (body.stream = !stream) };
    const { response, errors } = await between(turn, ask("vendor/m", "hi", { stream }));
    assertEquals(response.status, 500);
    assertEquals(errors, [
      'plugin "middle" (middle.ts) onAttempt: changed "stream" of a try. It is the client\'s to choose',
    ]);
  }
});

Deno.test("Kernel answers although a plugin sets what no header can hold", async () => {
  const sign = (x: Exchange) => void (x.replyHeaders["x-name"] = "Ключ\n");
  // It would cut the answer off.
  const cut = (x: Exchange) => void (x.replyHeaders["content-length"] = "3");
  for (const [onRequest, stream] of [[sign, false], [sign, true], [cut, false]] as const) {
    const bad = { onRequest };
    const { response, text, outcome } = await between(bad, ask("vendor/m", "hi", { stream }));
    assertEquals([response.status, outcome.status, outcome.state], [500, 500, "failed"]);
    assertEquals(JSON.parse(text).error.code, "internal");
    assertMatch(response.headers.get("x-request-id")!, /^[0-9a-f-]{36}$/);
  }
});

Deno.test("Kernel records an exchange although its usage cannot be counted", async () => {
  const facts = { encoding: "klingon" as "o200k_base" };
  const hooks: Hooks = {
    onRoute: () => ({
      ...routed,
      targets: [{ provider: "vendor", model: "m", facts }],
    }),
  };
  const { text, outcome, errors } = await between(hooks, ask("x", "hi", { stream: true }));
  assertEquals(text.endsWith(done), true);
  assertEquals([outcome.state, outcome.usage], ["completed", undefined]);
  assertEquals(errors, ["usage cannot be counted"]);
});

Deno.test("Kernel takes a route to nowhere as a plugin's mistake", async () => {
  const { response, outcome, errors } = await between({}, ask("nobody/m"));
  assertEquals([response.status, outcome.error?.code], [500, "internal"]);
  assertEquals(errors, ['A route names the provider "nobody", which does not exist']);
});

Deno.test("Kernel logs who asked whom, and neither words nor secrets", async () => {
  const { response, access } = await between({}, ask("vendor/m", "my secret question"));
  const { time: _time, durationMs: _ms, ...line } = access;
  assertEquals(line, {
    level: "info",
    message: "access",
    requestId: response.headers.get("x-request-id"),
    method: "POST",
    path: "/v1/chat/completions",
    status: 200,
    state: "completed",
    model: "vendor/m",
    stream: false,
    provider: "vendor",
    attempts: 1,
  });
});
