// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Hooks, Outcome } from "../../core/plugin.ts";
import { inParts, inProcess, startKernel, type TestKernel } from "../support/kernel.ts";
import { readBeginning } from "../support/leaving_client.ts";
import { ask } from "../support/router.ts";
import { delta, ending, event, Script, startUpstream } from "../support/upstream.ts";

const streaming = { stream: true };
const [stop, usage, done] = ending() as [string, string, string];

/** What ends an answer that breaks off. */
function errorFrame(message: string, type: string, code: string): string {
  return event({
    error: { message, type, code, param: null },
    choices: [{ delta: {}, finish_reason: "error" }],
  });
}

/** The warnings of a kernel's log. */
function warnings({ log }: TestKernel): Record<string, unknown>[] {
  return log.filter(({ level }) => level === "warn");
}

/** An answer that broke off was neither complete nor for nothing. */
function assertFailed(outcome: Outcome, code: string): void {
  assertEquals([outcome.state, outcome.status, outcome.error?.code], ["failed", 200, code]);
  assertEquals([outcome.usage?.output, outcome.usage?.estimated], [3, true]);
  assertEquals(outcome.servedModel, "vendor-model-0613");
}

const opened = delta("one two three");

const incomplete = errorFrame(
  "The provider broke the answer off before it was complete",
  "upstream_error",
  "upstream_unavailable",
);

const overloaded = errorFrame(
  "The provider broke the answer off: overloaded",
  "upstream_error",
  "upstream_unavailable",
);

/** How a vendor's answer may break off, and the frame that tells the client so. */
const breaks: [name: string, rest: string[], seen: string, frame: string][] = [
  ["closes early", [], "", incomplete],
  ["closes in the middle of an event", [delta("never").slice(0, 60)], "", incomplete],
  [
    "sends an error",
    [event({ error: { message: "overloaded", code: 529 } }), done],
    "",
    overloaded,
  ],
  [
    "sends an error with the last words",
    [delta("") + event({ error: { message: "overloaded" } })],
    delta(""),
    overloaded,
  ],
  [
    "sends a regular event that says so, and the terminator",
    [
      event({
        model: "vendor-model-0613",
        error: { code: 502, message: "lost" },
        choices: [{ index: 0, delta: {}, finish_reason: "error" }],
      }),
      done,
    ],
    event({
      model: "vendor-model-0613",
      error: { code: 502, message: "lost" },
      choices: [{ index: 0, delta: {}, finish_reason: "error" }],
    }),
    incomplete,
  ],
];

for (const [name, rest, seen, frame] of breaks) {
  Deno.test(`Relay never lets an answer look finished whose vendor ${name}`, async () => {
    await using kernel = startKernel({
      providers: [inProcess(() => inParts([opened, ...rest]))],
      // The client has read the beginning: no other target may be asked then.
      route: { retries: 3 },
    });
    const response = await kernel.chat(ask("vendor/m", "hi", streaming));
    assertEquals(response.status, 200);
    assertEquals(await response.text(), opened + seen + frame);
    assertFailed(await kernel.ended(), "upstream_unavailable");
    assertEquals(warnings(kernel).length, 1);
    assertEquals(kernel.outcomes.length, 1);
  });
}

Deno.test("Relay never lets an answer look finished whose connection breaks", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "vendor", baseUrl: upstream.url }] });
  await script.send(opened);
  const client = await readBeginning(kernel);
  await script.break();
  const text = await client.readAll();
  const frame = errorFrame(
    "The provider's answer cannot be read",
    "upstream_error",
    "upstream_unavailable",
  );
  assertEquals(text, opened + frame);
  assertFailed(await kernel.ended(), "upstream_unavailable");
  assertMatch(String(warnings(kernel)[0]?.detail), /body/);
});

Deno.test("Relay keeps a usage report although the answer broke off after it", async () => {
  const report = { prompt_tokens: 8, completion_tokens: 2, total_tokens: 10 };
  await using kernel = startKernel({
    providers: [inProcess(() => inParts([delta("a", { usage: report })]))],
  });
  await (await kernel.chat(ask("vendor/m", "hi", streaming))).text();
  const { state, usage } = await kernel.ended();
  assertEquals([state, usage?.input, usage?.estimated], ["failed", 8, false]);
});

Deno.test("Relay ends the call of an answer that sent an error and stays open", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "vendor", baseUrl: upstream.url }] });
  await script.send(opened);
  const client = await readBeginning(kernel);
  await script.send(event({ error: { message: "overloaded" } }));
  assertStringIncludes(await client.readAll(), '"finish_reason":"error"');
  await upstream.seen[0]!.closed;
});

Deno.test("Relay ends an answer with an error frame when a plugin crashes", async () => {
  let chunks = 0;
  const hooks: Hooks = {
    onChunk() {
      if (++chunks === 2) throw new TypeError("out of bytes");
    },
  };
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: upstream.url }],
    plugins: [{ name: "filter", hooks }],
  });
  await script.send(opened);
  const client = await readBeginning(kernel);
  await script.send(delta(""));
  const text = await client.readAll();
  const hidden = "XRouter failed on this request. Its log has the reason under the request id.";
  assertEquals(text, opened + errorFrame(hidden, "server_error", "internal"));
  assertFailed(await kernel.ended(), "internal");
  await upstream.seen[0]!.closed;
  // What the client is promised: the log has the reason.
  const [line] = kernel.log.filter(({ level }) => level === "error");
  assertStringIncludes(String(line?.message), "out of bytes");
  assertStringIncludes(String(line?.message), 'plugin "filter" (filter.ts) onChunk');
});

Deno.test("Relay goes on when a plugin crashes that may be skipped", async () => {
  const hooks: Hooks = {
    onChunk() {
      throw new TypeError("out of bytes");
    },
  };
  await using kernel = startKernel({
    providers: [inProcess(() => inParts([opened, stop, usage, done]))],
    plugins: [{ name: "counter", onError: "skip", hooks }],
  });
  const response = await kernel.chat(ask("vendor/m", "hi", streaming));
  assertEquals(await response.text(), opened + stop + done);
  assertEquals((await kernel.ended()).state, "completed");
  const crashes = kernel.log.filter(({ message }) =>
    message === 'plugin "counter" crashed in onChunk'
  );
  assertEquals(crashes.length, 3);
});
