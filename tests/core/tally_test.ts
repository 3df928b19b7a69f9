// deno-lint-ignore-file camelcase -- the names of the wire
import { assertAlmostEquals, assertEquals, assertStrictEquals } from "@std/assert";
import type { WireUsage } from "../../core/usage_report.ts";
import { Chunk } from "../../core/chunk.ts";
import { Tally } from "../../core/tally.ts";
import { loadTokenizer } from "../../core/tokens.ts";
import { delta, ending, event } from "../support/upstream.ts";

const encoder = new TextEncoder();

function tallyOf(...events: string[]): Tally {
  const tally = new Tally("o200k_base");
  for (const text of events) tally.add(Chunk.fromBytes(encoder.encode(text), false));
  return tally;
}

const nobodyAsks = () => {
  throw new Error("The input must not be counted where the provider reports it");
};

async function tokensIn(text: string): Promise<number> {
  return (await loadTokenizer("o200k_base")).count(text);
}

Deno.test("Tally takes the provider's report, at once", () => {
  const tally = tallyOf(delta("Hello"), ...ending().slice(0, 2));
  assertEquals(tally.usage(nobodyAsks), { input: 10, output: 5, cached: 0, estimated: false });
  assertEquals([tally.finished, tally.model], [true, "vendor-model-0613"]);
});

Deno.test("Tally reads the report of a whole answer", () => {
  const tally = new Tally("o200k_base");
  const usage = {
    prompt_tokens: 9,
    completion_tokens: 2,
    total_tokens: 11,
    prompt_tokens_details: { cached_tokens: 7 },
  };
  tally.add(Chunk.fromJson({ choices: [], usage }, true));
  assertEquals(tally.usage(nobodyAsks), { input: 9, output: 2, cached: 7, estimated: false });
});

Deno.test("Tally finds the report before a few events that follow it", () => {
  const extra = event({ choices: [], x: 1 });
  const tally = tallyOf(delta("Hello"), ...ending().slice(0, 2), extra, extra);
  assertEquals(tally.reported?.prompt_tokens, 10);
});

Deno.test("Tally counts the text when nothing was reported", async () => {
  const call = { index: 0, function: { name: "find", arguments: '{"q":1}' } };
  const tally = tallyOf(
    delta("Hello, "),
    event({ choices: [{ index: 0, delta: { reasoning_content: "because " } }] }),
    event({ choices: [{ index: 0, delta: { tool_calls: [call] } }] }),
  );
  const output = await tokensIn('Hello, because find{"q":1}');
  assertEquals(await tally.usage(() => 3), { input: 3, output, cached: 0, estimated: true });
  // The usage event for the client and the record ask for the same numbers.
  assertEquals(await tally.usage(() => 3), { input: 3, output, cached: 0, estimated: true });
});

Deno.test("Tally counts a whole answer without a report", async () => {
  const tally = new Tally("o200k_base");
  const message = { content: "Hello there" };
  tally.add(Chunk.fromJson({ choices: [{ index: 0, message }] }, true));
  const output = await tokensIn("Hello there");
  assertEquals(await tally.usage(() => 3), { input: 3, output, cached: 0, estimated: true });
});

Deno.test("Tally counts what the provider sent, not what a plugin made of it", async () => {
  const tally = new Tally("o200k_base");
  const chunk = Chunk.fromBytes(encoder.encode(delta("one two three")), false);
  tally.add(chunk);
  chunk.replace({ choices: [] });
  assertEquals((await tally.usage(() => 0)).output, await tokensIn("one two three"));
});

Deno.test("Tally forgets the events of a long answer, not their text", async () => {
  const tally = new Tally("o200k_base");
  const word = "wort ".repeat(200);
  for (let i = 0; i < 1500; i++) {
    tally.add(Chunk.fromBytes(encoder.encode(delta(word)), false));
  }
  assertEquals(tally.model, "vendor-model-0613");
  // Each of the parts that are counted by themselves may cost a token.
  assertAlmostEquals((await tally.usage(() => 0)).output, await tokensIn(word.repeat(1500)), 6);
});

Deno.test("Tally counts no text twice, however often it is asked meanwhile", async () => {
  const tally = new Tally("o200k_base");
  const word = "wort ".repeat(200);
  // The last events of each stretch are not counted before the next.
  for (let stretch = 1; stretch <= 6; stretch++) {
    for (let i = 0; i < 100; i++) {
      tally.add(Chunk.fromBytes(encoder.encode(delta(word)), false));
    }
    const expected = await tokensIn(word.repeat(100 * stretch - 4));
    assertAlmostEquals(await tally.soFar(), expected, 2 * stretch);
  }
});

Deno.test("Tally takes no report that is none", async () => {
  const reports: unknown[] = [
    "many",
    7,
    null,
    {},
    { prompt_tokens: 1 },
    { prompt_tokens: "1", completion_tokens: 2 },
    { prompt_tokens: 1.5, completion_tokens: 2 },
    { prompt_tokens: -1, completion_tokens: 2 },
    { prompt_tokens: 1, completion_tokens: 1e300 },
  ];
  for (const usage of reports) {
    const tally = tallyOf(event({ choices: [], usage }));
    assertStrictEquals(tally.reported, undefined, JSON.stringify(usage));
    assertEquals(await tally.usage(() => 3), { input: 3, output: 0, cached: 0, estimated: true });
  }
});

Deno.test("Tally takes cached tokens only as a count", () => {
  for (const cached of [-1, 0.5, "2", null, undefined, 1e300]) {
    const usage = {
      prompt_tokens: 9,
      completion_tokens: 2,
      total_tokens: 11,
      prompt_tokens_details: { cached_tokens: cached },
    } as WireUsage;
    const tally = tallyOf(event({ choices: [], usage }));
    assertEquals(tally.usage(nobodyAsks), { input: 9, output: 2, cached: 0, estimated: false });
  }
});

Deno.test("Tally bears any shape of JSON", async () => {
  const odd: unknown[] = [
    { choices: null },
    { choices: [null] },
    { choices: [{ delta: null }] },
    { choices: [{ delta: "text" }] },
    { choices: [{ delta: { content: 7, tool_calls: [null, {}, { function: null }] } }] },
    { choices: {}, model: 7 },
    [],
    null,
  ];
  const tally = tallyOf(...odd.map(event), "data: {broken\n\n", ": comment\n\n");
  assertEquals(tally.finished, false);
  assertStrictEquals(tally.model, undefined);
  assertEquals(await tally.usage(() => 3), { input: 3, output: 0, cached: 0, estimated: true });
});

Deno.test("Tally takes no report of nothing where something was said", async () => {
  const zeros = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  const early = { prompt_tokens: 10, completion_tokens: 0, total_tokens: 10 };
  for (const usage of [zeros, early]) {
    const stream = tallyOf(event({ choices: [], usage }), delta("one two three"));
    assertStrictEquals(stream.reported, undefined);
    const output = await tokensIn("one two three");
    assertEquals(await stream.usage(() => 3), { input: 3, output, cached: 0, estimated: true });
    const whole = new Tally("o200k_base");
    const message = { role: "assistant", content: "one two three" };
    whole.add(Chunk.fromJson({ choices: [{ index: 0, message }], usage }, true));
    assertEquals(await whole.usage(() => 3), { input: 3, output, cached: 0, estimated: true });
  }
  // Nothing said, nothing produced.
  const silent = tallyOf(event({ choices: [], usage: early }));
  assertEquals(silent.usage(nobodyAsks), { input: 10, output: 0, cached: 0, estimated: false });
});

Deno.test("Tally remembers a report of its own event, however many events follow it", () => {
  const tally = tallyOf(...Array.from({ length: 6 }, () => event({ choices: [] })));
  tally.note({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 });
  assertEquals(tally.usage(nobodyAsks), { input: 7, output: 3, cached: 0, estimated: false });
});

Deno.test("Tally takes no report that more was said after, wherever it stood", async () => {
  const report = { prompt_tokens: 7, completion_tokens: 1, total_tokens: 8 };
  const output = await tokensIn("one two three");
  // Among the last events, and long before them.
  for (const silent of [0, 8]) {
    const tally = tallyOf(event({ choices: [], usage: report }));
    tally.note(report);
    const later = [delta("one two three"), ...Array(silent).fill(event({ choices: [] }))];
    for (const text of later) tally.add(Chunk.fromBytes(encoder.encode(text), false));
    await tally.soFar();
    assertEquals(await tally.usage(() => 7), { input: 7, output, cached: 0, estimated: true });
  }
  // What stands in the same event as the last words is final.
  const last = { index: 0, delta: { content: "three" } };
  const tally = tallyOf(delta("one two "), event({ choices: [last], usage: report }));
  assertEquals(tally.usage(nobodyAsks), { input: 7, output: 1, cached: 0, estimated: false });
});
