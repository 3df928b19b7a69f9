import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import type { CircuitChange } from "../../core/circuits.ts";
import { defineProvider } from "../../core/provider.ts";
import { HeldClock } from "../support/clock.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { inProcess, startKernel, type TestKernel } from "../support/kernel.ts";
import {
  delta,
  ending,
  Script,
  type Seen,
  startUpstream,
  streamed,
  type TestUpstream,
  wholeAnswer,
} from "../support/upstream.ts";

const hour = 3_600_000;
const messages = [{ role: "user", content: "?" }];
const withFallback = { model: "one/m", models: ["two/m"], messages };
const alone = { model: "one/m", messages };
const broken = () => Response.json({ error: { message: "disk full" } }, { status: 500 });

/** Two vendors as one route, the second of which always answers. */
function startPair(answer: (seen: Seen, number: number) => Response | Promise<Response>) {
  const one = startUpstream(answer);
  const two = startUpstream(() => wholeAnswer("From the second."));
  const kernel = startKernel({
    providers: [
      defineProvider({ name: "one", baseUrl: one.url, onAbort: "cancel" }),
      defineProvider({ name: "two", baseUrl: two.url }),
    ],
    env: { ONE_API_KEY: "k", TWO_API_KEY: "k" },
    // A held clock that is moved on ends no call.
    route: { time: hour, timeouts: { firstByte: hour, idle: hour } },
  });
  const changes: string[] = [];
  kernel.catalog.circuits.subscribe(({ provider, account, model, state, before }: CircuitChange) =>
    changes.push(`${provider}/${account}/${model} ${before} ${state}`)
  );
  return {
    one,
    two,
    kernel,
    changes,
    circuit: () => kernel.catalog.providers.get("one")!.circuit("m"),
    async [Symbol.asyncDispose]() {
      await kernel[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

/** Asks one after the other. @returns Who answered, or the error's code. */
async function ask(kernel: TestKernel, times: number, body: object = withFallback) {
  const answers: string[] = [];
  for (let i = 0; i < times; i++) {
    const response = await kernel.chat(body);
    const text = await response.text();
    const code = /"code":"(\w+)"/.exec(text)?.[1];
    answers.push(code ?? response.headers.get("x-xrouter-provider")!);
  }
  return answers;
}

/** Failed calls that open a circuit. */
const enough = 5;

Deno.test("a provider that fails is asked five times by twenty calls, and all are answered", async () => {
  using clock = new HeldClock();
  let fails = true;
  await using pair = startPair(() => fails ? broken() : wholeAnswer());
  const { one, two, kernel, changes } = pair;
  assertEquals(await ask(kernel, 20), Array.from({ length: 20 }, () => "two"));
  assertEquals([one.seen.length, two.seen.length], [5, 20]);
  assertEquals(changes, ["one//m closed open"]);
  // What was not asked is no attempt, and no line of the log.
  assertEquals(kernel.log.filter(({ message }) => message === "attempt failed").length, 5);

  // Three waits, each with its one try.
  for (const ms of [5_000, 10_000, 20_000]) {
    clock.pass(ms);
    assertEquals(await ask(kernel, 3), ["two", "two", "two"]);
  }
  assertEquals(one.seen.length, 8);
  fails = false;
  assertEquals(await ask(kernel, 1), ["two"], "it is open still");
  clock.pass(20_000);
  assertEquals(await ask(kernel, 4), ["one", "one", "one", "one"]);
  assertEquals(one.seen.length, 12);
  assertEquals(changes.slice(-2), ["one//m open half-open", "one//m half-open closed"]);
});

Deno.test("of fifty calls at a time one tries a half-open circuit, and the others fall back", async () => {
  using clock = new HeldClock();
  const trying = Promise.withResolvers<Response>();
  await using pair = startPair((_, number) => number <= 5 ? broken() : trying.promise);
  const { one, kernel } = pair;
  await ask(kernel, 5);
  clock.pass(5_000);
  const answers = Array.from({ length: 50 }, () => ask(kernel, 1));
  await kernel.ended(5 + 49);
  assertEquals([one.seen.length, pair.circuit().state], [6, "half-open"]);
  trying.resolve(wholeAnswer());
  const names = (await Promise.all(answers)).flat();
  assertEquals(names.filter((name) => name === "one").length, 1);
  assertEquals(names.filter((name) => name === "two").length, 49);
  assertEquals(pair.circuit(), { state: "closed", retryAfterMs: 0 });
});

Deno.test("a single target whose circuit is open is refused at once with 503 and retry-after", async () => {
  await using pair = startPair(() => broken());
  const { one, kernel } = pair;
  await ask(kernel, 5, alone);
  const started = performance.now();
  const response = await kernel.chat(alone);
  const { error } = await response.json();
  assertLess(performance.now() - started, 1_000);
  assertEquals([response.status, error.code, error.type], [503, "circuit_open", "upstream_error"]);
  assertEquals(response.headers.get("retry-after"), "5");
  assertMatch(
    error.message,
    /^Provider "one" is not asked for the model "m" now: 5 of the last 5 calls failed\. It is asked again in 5 seconds$/,
  );
  const { state, target } = await kernel.ended(6);
  assertEquals([one.seen.length, state, target], [5, "refused", undefined]);
  assertEquals(pair.circuit().state, "open");
});

Deno.test("a target whose circuit is open for what no waiting ends is refused with that", async () => {
  using clock = new HeldClock();
  for (const [status, code] of [[402, "insufficient_quota"], [401, "upstream_rejected"]] as const) {
    let answer = () => new Response(null, { status });
    await using pair = startPair(() => answer());
    const { one, kernel } = pair;
    for (let i = 0; i < 8; i++) {
      const response = await kernel.chat(alone);
      const { error } = await response.json();
      assertEquals([error.code, response.headers.get("x-should-retry")], [code, "false"]);
      assertEquals(response.headers.get("retry-after"), null);
      assertMatch(error.message, new RegExp(`HTTP ${status}`));
    }
    // What was not asked is no line of the log.
    assertEquals(kernel.log.filter(({ message }) => message === "attempt failed").length, 5);
    // The alerts go by the circuit.
    assertEquals([one.seen.length, pair.circuit().state], [5, "open"]);
    answer = () => broken();
    clock.pass(5_000);
    assertEquals(await ask(kernel, 2, alone), ["upstream_unavailable", "circuit_open"]);
    answer = () => wholeAnswer();
    clock.pass(10_000);
    assertEquals(await ask(kernel, 2, alone), ["one", "one"]);
  }
});

Deno.test("a target most of whose failures may pass is not refused with the one that lasts", async () => {
  await using pair = startPair((_, number) =>
    number === 5 ? new Response(null, { status: 401 }) : broken()
  );
  const { one, kernel } = pair;
  const codes = [...Array.from({ length: 4 }, () => "upstream_unavailable"), "upstream_rejected"];
  assertEquals(await ask(kernel, 5, alone), codes);
  const response = await kernel.chat(alone);
  assertEquals((await response.json()).error.code, "circuit_open");
  assertEquals(response.headers.get("x-should-retry"), null);
  assertEquals([response.headers.get("retry-after"), one.seen.length], ["5", 5]);
});

const cut: Record<string, (script: Script) => Promise<void>> = {
  "breaks off": (script) => script.break(),
  "ends without an end": (script) => script.close(),
  "ends with an error": (script) => script.send('data: {"error":{"message":"no"}}\n\n'),
  "falls silent": () => Promise.resolve(),
};
for (const [how, end] of Object.entries(cut)) {
  Deno.test(`a stream that ${how} after its first words counts as failed`, async () => {
    const scripts: Script[] = [];
    await using vendor = startUpstream(() => {
      scripts.push(new Script());
      return scripts.at(-1)!.response();
    });
    await using kernel = startKernel({
      providers: [defineProvider({ name: "one", baseUrl: vendor.url })],
      env: { ONE_API_KEY: "k" },
      route: { timeouts: { idle: 100 } },
    });
    for (let i = 0; i < enough; i++) {
      const asked = vendor.nextChat();
      const answer = kernel.chat({ ...alone, stream: true });
      await asked;
      await scripts.at(-1)!.send(delta("Hi"));
      const response = await answer;
      await end(scripts.at(-1)!);
      assertEquals((await readWholeStream(response)).done, false);
      assertEquals((await kernel.ended(i + 1)).state, "failed");
    }
    assertEquals(kernel.catalog.providers.get("one")!.circuit("m").state, "open");
    assertEquals(await ask(kernel, 1, alone), ["circuit_open"]);
    for (const script of scripts) await script.close().catch(() => {});
  });
}

Deno.test("streams that are complete keep the circuit closed, and a complete one closes it", async () => {
  using clock = new HeldClock();
  let fails = false;
  await using pair = startPair(() => fails ? broken() : streamed(delta("Hi"), ...ending()));
  const { kernel, one } = pair;
  const stream = { ...alone, stream: true };
  await ask(kernel, 6, stream);
  fails = true;
  await ask(kernel, 5, alone);
  assertEquals(pair.circuit().state, "closed", "5 of 11");
  await ask(kernel, 1, alone);
  assertEquals(pair.circuit().state, "open", "6 of 12");
  fails = false;
  clock.pass(5_000);
  await ask(kernel, 1, stream);
  assertEquals([pair.circuit().state, one.seen.length], ["closed", 13]);
});

Deno.test("streams whose first token comes late open the circuit, and no whole answers", async () => {
  for (
    const [stream, ms, state] of [
      [true, 10_001, "open"],
      [true, 9_999, "closed"],
      [false, 60_000, "closed"],
    ] as const
  ) {
    using clock = new HeldClock();
    const all = Promise.withResolvers<void>();
    const late = Promise.withResolvers<void>();
    await using pair = startPair(async (_, number) => {
      if (number === enough) all.resolve();
      await late.promise;
      return stream ? streamed(delta("Hi"), ...ending()) : wholeAnswer();
    });
    const answers = Array.from({ length: enough }, () => ask(pair.kernel, 1, { ...alone, stream }));
    await all.promise;
    clock.pass(ms);
    late.resolve();
    await Promise.all(answers);
    await pair.kernel.ended(enough);
    assertEquals(pair.circuit().state, state, `${stream} ${ms}`);
  }
});

Deno.test("a busy provider, a wrong request and a client that leaves open no circuit", async () => {
  const refuse = (status: number) =>
    Response.json({ error: { message: "no such model" } }, { status });
  await using vendor = startUpstream(async ({ body, closed }) => {
    if (body.model !== "hangs") return refuse(Number(body.model));
    await closed;
    return wholeAnswer();
  });
  await using kernel = startKernel({
    providers: [
      defineProvider({ name: "one", baseUrl: vendor.url }),
      defineProvider({ name: "quits", baseUrl: vendor.url, onAbort: "cancel" }),
    ],
    env: { ONE_API_KEY: "k", QUITS_API_KEY: "k" },
    drainMs: 20,
  });
  const { catalog } = kernel;
  const stateOf = (name: string) => {
    const slash = name.indexOf("/");
    return catalog.providers.get(name.slice(0, slash))!.circuit(name.slice(slash + 1)).state;
  };
  const expected = {
    "one/429": "closed",
    "one/400": "closed",
    "one/401": "open",
    "one/404": "closed",
  };
  for (const [model, state] of Object.entries(expected)) {
    await ask(kernel, 10, { model, messages });
    assertEquals(stateOf(model), state, model);
  }
  let ended = kernel.outcomes.length;
  for (const provider of ["one", "quits"]) {
    for (let i = 0; i < 6; i++) {
      const client = new AbortController();
      const asked = vendor.nextChat();
      const answer = kernel.chat({ model: `${provider}/hangs`, messages, stream: i % 2 === 0 }, {
        signal: client.signal,
      });
      await asked;
      client.abort();
      await answer.catch(() => {});
      assertEquals((await kernel.ended(++ended)).state, "aborted");
    }
    assertEquals(stateOf(`${provider}/hangs`), "closed");
  }
});

Deno.test("a client that leaves gives the try back, and the next call tries", async () => {
  using clock = new HeldClock();
  const script = new Script();
  await using pair = startPair((_, number) =>
    number <= 5 ? broken() : number === 6 ? script.response() : wholeAnswer()
  );
  const { kernel, one } = pair;
  await ask(kernel, 5);
  clock.pass(5_000);
  const client = new AbortController();
  const asked = one.nextChat();
  const answer = kernel.chat({ ...alone, stream: true }, { signal: client.signal });
  await asked;
  await script.send(delta("Hi"));
  await (await answer).body!.getReader().read();
  assertEquals(await ask(kernel, 1), ["two"]);
  client.abort();
  await kernel.ended(7);
  assertEquals(pair.circuit(), { state: "half-open", retryAfterMs: 0 });
  assertEquals(await ask(kernel, 2), ["one", "one"]);
  assertEquals(
    pair.changes.map((each) => each.slice("one//m ".length)),
    ["closed open", "open half-open", "half-open closed"],
  );
  await script.close().catch(() => {});
});

Deno.test("an account whose circuit is open is left out, and why the others failed is told", async () => {
  using clock = new HeldClock();
  const bad = new Set(["Bearer a"]);
  await using vendor = startUpstream(({ headers }) =>
    bad.has(headers.get("authorization")!) ? broken() : wholeAnswer()
  );
  const provider = defineProvider({
    name: "one",
    baseUrl: vendor.url,
    accounts: () => ["a", "b"].map((apiKey) => ({ name: apiKey, settings: { apiKey } })),
  });
  await using kernel = startKernel({ providers: [provider], env: { ONE_API_KEY: "k" } });
  const transport = kernel.catalog.providers.get("one")!;
  const states = () =>
    transport.circuits().map(({ account, state }) => `${account} ${state}`).sort();
  // After each failure the account is avoided for five seconds.
  for (let i = 0; i < 5; i++) {
    // An account that has answered a conversation gets it again.
    for (const content of [`a${i}`, `b${i}`]) {
      const other = { ...alone, messages: [{ role: "user", content }] };
      assertEquals(await ask(kernel, 1, other), ["one"]);
    }
    clock.pass(5_001);
  }
  assertEquals(states(), ["a half-open", "b closed"]);
  const asked = () =>
    vendor.seen.filter(({ headers }) => headers.get("authorization") === "Bearer a");
  assertEquals(asked().length, 5);
  assertEquals(transport.circuit("m").state, "closed");
  bad.add("Bearer b");
  // Account a is tried, and b fails: that is told, and not that a was left out.
  assertEquals(await ask(kernel, 1, alone), ["upstream_unavailable"]);
  assertEquals(asked().length, 6);
  assertEquals(await ask(kernel, 1, alone), ["upstream_unavailable"]);
  assertEquals(asked().length, 6);
});

Deno.test("embeddings have circuits too", async () => {
  await using pair = startPair(() => broken());
  const { kernel, one } = pair;
  for (let i = 0; i < 8; i++) {
    const response = await fetch(`http://127.0.0.1:${kernel.port}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "one/m", input: "Hi" }),
    });
    assertEquals(response.status, i < 5 ? 502 : 503);
    await response.body?.cancel();
  }
  assertEquals(one.seen.length, 5);
});

Deno.test("a provider that does not heed the end of a try keeps neither the try nor the verdict", async () => {
  const provider = inProcess(() => new Promise<Response>(() => {}), { name: "one" });
  await using kernel = startKernel({
    providers: [provider],
    env: { ONE_API_KEY: "k" },
    route: { timeouts: { firstByte: 30 } },
  });
  const codes = await ask(kernel, 6, { ...alone, stream: true });
  assertEquals(codes, [...Array.from({ length: 5 }, () => "timeout"), "circuit_open"]);
});

Deno.test("circuits of models that clients make up are forgotten, and those in use are not", async () => {
  await using kernel = startKernel({
    providers: [inProcess(() => broken(), { name: "one" })],
    env: { ONE_API_KEY: "k" },
  });
  await ask(kernel, enough, alone);
  for (let i = 0; i < 400; i++) await ask(kernel, 1, { model: `one/made-up-${i}`, messages });
  const transport = kernel.catalog.providers.get("one")!;
  assertEquals(transport.circuits().length, 256);
  assertEquals(transport.circuit("m").state, "open");
});

Deno.test("a listener that throws breaks no call, and one that has gone is told nothing", async () => {
  await using kernel = startKernel({
    providers: [inProcess(() => broken(), { name: "one" })],
    env: { ONE_API_KEY: "k" },
  });
  let told = 0;
  kernel.catalog.circuits.subscribe(() => {
    throw new Error("a listener's own mistake");
  });
  const leave = kernel.catalog.circuits.subscribe(() => told++);
  assertEquals((await ask(kernel, 6, alone)).at(-1), "circuit_open");
  assertEquals(told, 1);
  leave();
  await ask(kernel, 6, { model: "one/n", messages });
  assertEquals(told, 1);
});

Deno.test("a model runs as many calls at a time as it may, and the next one waits in the queue", async () => {
  const scripts: Script[] = [];
  await using vendor: TestUpstream = startUpstream(({ body }) => {
    if (body.model !== "m") return wholeAnswer();
    scripts.push(new Script());
    return scripts.at(-1)!.response();
  });
  await using kernel = startKernel({
    providers: [
      defineProvider({
        name: "one",
        baseUrl: vendor.url,
        models: { m: { parallel: 1 } },
        accounts: () => ["a", "b"].map((apiKey) => ({ name: apiKey, settings: { apiKey } })),
      }),
    ],
    env: { ONE_API_KEY: "k" },
    keepAliveMs: 20,
  });
  const stream = { ...alone, stream: true };
  const asked = vendor.nextChat();
  const first = kernel.chat(stream);
  await asked;
  await scripts[0]!.send(delta("Hi"));
  const second = await kernel.chat(stream);
  assertEquals(second.headers.get("x-xrouter-queue"), "1");
  assertEquals(scripts.length, 1);
  assertEquals(await ask(kernel, 1, { model: "one/other", messages }), ["one"]);
  const next = vendor.nextChat();
  await scripts[0]!.send(...ending());
  await scripts[0]!.close();
  assertEquals((await readWholeStream(await first)).done, true);
  await next;
  await scripts[1]!.send(delta("Hi"), ...ending());
  await scripts[1]!.close();
  assert((await second.text()).endsWith("data: [DONE]\n\n"));
});
