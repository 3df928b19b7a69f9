import { assertEquals, assertGreaterOrEqual, assertLess, assertStringIncludes } from "@std/assert";
import type { Attempt, Hooks } from "../../core/plugin.ts";
import type { Provider } from "../../core/provider.ts";
import { inParts, inProcess, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, event, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

const [stop, , done] = ending() as [string, string, string];

function refusal(status: number, headers: Record<string, string> = {}, message = "no"): Response {
  return Response.json({ error: { message } }, { status, headers });
}

type Counted = Provider & { calls: number };

/** A provider that answers its calls in turn, and counts them. */
function inTurn(name: string, ...answers: (() => Response)[]): Counted {
  const next = () => answers[Math.min(provider.calls++, answers.length - 1)]!();
  const provider: Counted = { ...inProcess(next, { name }), calls: 0 };
  return provider;
}

const well = () => wholeAnswer("fine");

Deno.test("Kernel asks again after an error that may pass", async () => {
  for (const status of [500, 502, 503, 429, 408]) {
    const vendor = inTurn("vendor", () => refusal(status), well);
    await using kernel = startKernel({ providers: [vendor], route: { retries: 1 } });
    const response = await kernel.chat(ask("vendor/m"));
    assertEquals(response.status, 200, `HTTP ${status}`);
    assertEquals(response.headers.get("x-xrouter-attempts"), "2");
    assertEquals(response.headers.get("x-xrouter-provider"), "vendor");
    await response.body?.cancel();
    const { state, error, usage } = await kernel.ended();
    assertEquals([state, error, usage?.output], ["completed", undefined, 5]);
    const [line] = kernel.log.filter(({ level }) => level === "warn");
    assertEquals(line?.attempt, 1);
    assertStringIncludes(String(line?.detail), `HTTP ${status}`);
  }
});

Deno.test("Kernel waits as long as the vendor asks before it asks again", async () => {
  const times: number[] = [];
  await using upstream = startUpstream((_seen, number) => {
    times.push(performance.now());
    return number === 1 ? refusal(429, { "retry-after": "0.2" }) : well();
  });
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    route: { retries: 1 },
  });
  const response = await kernel.chat(ask("vendor/m"));
  await response.body?.cancel();
  assertEquals([response.status, times.length], [200, 2]);
  // A timer may fire a little early by this clock.
  assertGreaterOrEqual(times[1]! - times[0]!, 198);
});

Deno.test("Kernel tells the client how long to wait when it does not itself", async () => {
  const vendor = inTurn("vendor", () => refusal(429, { "retry-after": "3600" }));
  await using kernel = startKernel({ providers: [vendor], route: { retries: 3 } });
  const response = await kernel.chat(ask("vendor/m"));
  assertEquals([response.status, response.headers.get("retry-after")], [429, "3600"]);
  assertEquals(vendor.calls, 1);
  assertEquals((await response.json()).error.code, "upstream_busy");
});

Deno.test("Kernel does not ask again what was wrong in itself", async () => {
  for (const status of [400, 422]) {
    const vendor = inTurn("vendor", () => refusal(status, {}, "temperature is too hot"), well);
    const other = inTurn("other", well);
    await using kernel = startKernel({ providers: [vendor, other], route: { retries: 3 } });
    const response = await kernel.chat(ask("vendor/m", "hi", { models: ["other/m"] }));
    assertEquals(response.status, 400);
    assertStringIncludes((await response.json()).error.message, "temperature is too hot");
    assertEquals([vendor.calls, other.calls], [1, 0]);
    const { state, status: told, error } = await kernel.ended();
    assertEquals([state, told, error?.code], ["failed", 400, "invalid_request"]);
  }
});

/** What makes the next target the one to ask, without a second try of this one. */
const fallbacks: [name: string, answer: () => Response, stream: boolean][] = [
  ["refuses our key", () => refusal(401), false],
  ["wants our money", () => refusal(402), false],
  ["has no such model", () => refusal(404, {}, "no such model"), false],
  ["has no such path", () => refusal(404), false],
  ["finds the prompt too long", () => refusal(413), false],
  ["is busy for an hour", () => refusal(429, { "retry-after": "3600" }), false],
];

for (const [name, answer, stream] of fallbacks) {
  Deno.test(`Kernel asks the next target at once when a vendor ${name}`, async () => {
    const [first, second] = [inTurn("first", answer), inTurn("second", well)];
    await using kernel = startKernel({ providers: [first, second], route: { retries: 1 } });
    const response = await kernel.chat(ask("first/m", "hi", { models: ["second/n"], stream }));
    await response.body?.cancel();
    assertEquals([response.status, first.calls, second.calls], [200, 1, 1]);
    assertEquals(response.headers.get("x-xrouter-provider"), "second");
    assertEquals((await kernel.ended()).target?.model, "n");
  });
}

/** What is no beginning of an answer, so that another may still give one. */
const beginnings: [name: string, answer: () => Response][] = [
  ["sends an error first", () => inParts([event({ error: { message: "lost" } }), done])],
  [
    "sends a comment and an error",
    () => inParts([": hi\n\n", event({ error: { message: "lost" } })]),
  ],
  ["sends nothing", () => inParts([])],
  ["sends only the end", () => inParts([done])],
  ["sends a page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
  ["sends an error with status 200", () => Response.json({ error: { message: "lost" } })],
  ["breaks the connection", () => {
    throw new TypeError("connection reset");
  }],
];

for (const [name, answer] of beginnings) {
  Deno.test(`Kernel falls back when a vendor ${name}`, async () => {
    const first = inTurn("first", answer);
    const second = inTurn("second", () => inParts([delta("fine"), stop, done]));
    await using kernel = startKernel({ providers: [first, second] });
    const body = ask("first/m", "hi", { models: ["second/m"], stream: true });
    const response = await kernel.chat(body);
    assertEquals(await response.text(), delta("fine") + stop + done);
    assertEquals(response.headers.get("x-xrouter-attempts"), "2");
    assertEquals((await kernel.ended()).state, "completed");
  });
}

Deno.test("Kernel ends the call of a vendor that begins with an error and stays open", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  const first = { name: "first", baseUrl: upstream.url };
  const second = inTurn("second", () => inParts([delta("fine"), stop, done]));
  await using kernel = startKernel({ providers: [first, second] });
  await script.send(event({ error: { message: "lost" } }));
  const body = ask("first/m", "hi", { models: ["second/m"], stream: true });
  assertEquals(await (await kernel.chat(body)).text(), delta("fine") + stop + done);
  await upstream.seen[0]!.closed;
});

Deno.test("Kernel falls back when nobody listens, and when nobody answers in time", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const deserted = `http://127.0.0.1:${listener.addr.port}/v1`;
  listener.close();
  await using silent = startUpstream(async ({ closed }) => {
    await closed;
    return well();
  });
  const third = inTurn("third", well);
  await using kernel = startKernel({
    providers: [
      { name: "first", baseUrl: deserted },
      { name: "second", baseUrl: silent.url },
      third,
    ],
    route: { timeouts: { firstByte: 50 } },
  });
  const response = await kernel.chat(ask("first/a", "hi", { models: ["second/b", "third/c"] }));
  await response.body?.cancel();
  assertEquals(response.headers.get("x-xrouter-provider"), "third");
  const codes = kernel.log.filter(({ level }) => level === "warn").map(({ code }) => code);
  assertEquals(codes, ["upstream_unavailable", "timeout"]);
  await silent.seen[0]!.closed;
});

Deno.test("Kernel asks targets in the client's order, each for its own model", async () => {
  await using upstream = startUpstream(({ body }) =>
    body.model === "third" ? well() : refusal(404, {}, "no such model")
  );
  const attempts: Attempt[] = [];
  const hooks: Hooks = {
    onAttempt: (_x, attempt) => void attempts.push(attempt),
    onFinish: (x) => assertEquals([...x.attempts], attempts),
  };
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ hooks }],
  });
  const models = ["vendor/first", "vendor/second", "vendor/third", "vendor/fourth"];
  const response = await kernel.chat(ask("vendor/first", "hi", { models, top_k: 7 }));
  await response.body?.cancel();
  const question = [{ role: "user", content: "hi" }];
  assertEquals(
    upstream.seen.map(({ body }) => body),
    ["first", "second", "third"].map((model) => ({ model, messages: question, top_k: 7 })),
  );
  await kernel.ended();
  assertEquals(attempts.map(({ number, error }) => [number, error?.code]), [
    [1, "model_not_found"],
    [2, "model_not_found"],
    [3, undefined],
  ]);
});

Deno.test("Kernel has one budget of attempts, of which each target keeps a try", async () => {
  const budgets: [attempts: number, calls: number[]][] = [
    [2, [1, 1, 0]],
    [3, [1, 1, 1]],
    [4, [2, 1, 1]],
    [9, [2, 2, 2]],
  ];
  for (const [attempts, calls] of budgets) {
    const failing = ["first", "second", "third"].map((name) => inTurn(name, () => refusal(500)));
    await using kernel = startKernel({ providers: failing, route: { attempts, retries: 1 } });
    const models = ["first/m", "second/m", "third/m"];
    const response = await kernel.chat(ask("first/m", "hi", { models }));
    const made = calls.reduce((sum, each) => sum + each);
    assertEquals(response.status, 502);
    assertEquals(response.headers.get("x-xrouter-attempts"), String(made));
    assertEquals((await response.json()).error.code, "upstream_unavailable");
    assertEquals(failing.map((vendor) => vendor.calls), calls);
    const { state, status, target } = await kernel.ended();
    assertEquals([state, status], ["failed", 502]);
    assertEquals(target?.provider, calls[2] === 0 ? "second" : "third");
  }
});

Deno.test("Kernel does not wait for a try that would come too late", async () => {
  const vendor = inTurn("vendor", () => refusal(503, { "retry-after": "10" }));
  await using kernel = startKernel({
    providers: [vendor],
    route: { retries: 3, time: 5_000 },
  });
  const response = await kernel.chat(ask("vendor/m"));
  await response.body?.cancel();
  assertEquals([response.status, vendor.calls], [502, 1]);
  assertLess((await kernel.ended()).durationMs, 5_000);
});

Deno.test("Kernel shares one total limit among all tries", async () => {
  await using silent = startUpstream(async ({ closed }) => {
    await closed;
    return well();
  });
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: silent.url }],
    route: { time: 120, timeouts: { firstByte: 80 } },
  });
  const models = ["vendor/a", "vendor/b", "vendor/c", "vendor/d"];
  const response = await kernel.chat(ask("vendor/a", "hi", { models }));
  assertEquals(response.status, 504);
  await response.body?.cancel();
  // Four targets with 80 ms each would have had 320.
  assertLess(silent.seen.length, 3);
});

Deno.test("Kernel asks vendors for their usage in every stream, and only there", async () => {
  await using upstream = startUpstream(({ body }) =>
    body.stream ? inParts([delta("a"), stop, done]) : well()
  );
  await using kernel = startKernel({ providers: [{ name: "vendor", baseUrl: upstream.url }] });
  for (
    const rest of [{}, { stream: true }, {
      stream: true,
      stream_options: { include_usage: false, own: 1 },
    }]
  ) {
    await (await kernel.chat(ask("vendor/m", "hi", rest))).text();
  }
  assertEquals(upstream.seen.map(({ body }) => body.stream_options), [
    undefined,
    { include_usage: true },
    { include_usage: true, own: 1 },
  ]);
});
