import { assert, assertEquals } from "@std/assert";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { StopCutter } from "../../providers/gigachat/stop_cutter.ts";
import { ThinkSplitter } from "../../providers/gigachat/think_splitter.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import {
  ask,
  askStream,
  bodyOf,
  connectTo,
  open,
  readAll,
  textOf,
} from "../support/fake_gigachat_call.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";
import { ask as askFor, startRouter } from "../support/router.ts";

/** The text before the first of some sequences. */
function cutBefore(text: string, stops: readonly string[]): string {
  const places = stops.filter((stop) => stop !== "").map((stop) => text.indexOf(stop))
    .filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...places));
}

function pieces(random: RandomBelow, text: string): string[] {
  const cut: string[] = [];
  for (let at = 0; at < text.length;) {
    const length = random(4) + (random(20) === 0 ? 20 : 0);
    cut.push(text.slice(at, at + length));
    at += length;
  }
  return cut;
}

/** Few letters, so that sequences begin often and overlap. */
function randomText(random: RandomBelow, most: number): string {
  const letters = ["a", "b", "ab", "a", "b", "\n", "Ж", "🥐"].slice(0, 2 + random(7));
  return Array.from({ length: random(most) }, () => letters[random(letters.length)]).join("");
}

/** What a client reads of a stream with these pieces. */
function decoded(pieces: readonly string[], stop: string[]): string {
  const decoder = new GigachatDecoder(bodyOf({ stop }));
  const event = (content: string, end?: string) =>
    decoder.event(
      JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: end }] }),
    );
  const events = pieces.flatMap((piece) => event(piece));
  return textOf([...events, ...event("", "stop")]);
}

Deno.test("a text is cut before the first stop sequence, however it comes", () => {
  const random = seededRandom();
  let stopped = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = randomText(random, 30);
    const stops = Array.from({ length: random(5) }, () => randomText(random, 6));
    const cutter = new StopCutter(stops);
    let out = "";
    for (const piece of pieces(random, text)) {
      out += cutter.push(piece);
      if (cutter.stopped) break;
    }
    out += cutter.end();
    const expected = cutBefore(text, stops);
    if (round % 10 === 0) assertEquals(decoded(pieces(random, text), stops), expected);
    assertEquals([out, cutter.stopped], [expected, expected !== text], JSON.stringify(stops));
    if (cutter.stopped) stopped++;
  }
  assert(stopped > 2_000, `${stopped} were cut`);
});

Deno.test("what cannot become a stop sequence is not held back", () => {
  const cutter = new StopCutter(["###", "End."]);
  assertEquals(["a#", "#b", "E", "nde", "En"].map((piece) => cutter.push(piece)), [
    "a",
    "##b",
    "",
    "Ende",
    "",
  ]);
  assertEquals([cutter.push("d."), cutter.stopped, cutter.push("more")], ["", true, ""]);
});

Deno.test("a long stop sequence and a long text take no more than their length", () => {
  const cutter = new StopCutter([`${"a".repeat(1_000_000)}b`]);
  for (let at = 0; at < 1_000; at++) assertEquals(cutter.push("a".repeat(999)), "");
  assertEquals(cutter.push("a".repeat(2_000)).length, 1_000);
});

Deno.test("thoughts are told from the answer, however the tags are cut", () => {
  const random = seededRandom();
  const texts: [text: string, content: string, reasoning: string][] = [
    ["<think>Хм…</think>\n\nОтвет", "Ответ", "Хм…"],
    [" \n<think>a < b</think>c </think> <think>d</think>", "c </think> <think>d</think>", "a < b"],
    ["<think></think>x", "x", ""],
    ["<think>без конца </thi", "", "без конца </thi"],
    ["<thin", "<thin", ""],
    ["<", "<", ""],
    ["  Ответ", "  Ответ", ""],
    ["Тег <think>так</think> пишут", "Тег <think>так</think> пишут", ""],
    ["", "", ""],
  ];
  for (let round = 0; round < 2_000; round++) {
    const [text, content, reasoning] = texts[random(texts.length)]!;
    const splitter = new ThinkSplitter();
    const read = [...pieces(random, text).map((piece) => splitter.push(piece)), splitter.end()];
    assertEquals(read.map((piece) => piece.content).join(""), content);
    assertEquals(read.map((piece) => piece.reasoning).join(""), reasoning);
  }
});

Deno.test("an answer is cut at stop, whole and in a stream, and the vendor's call is ended", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const rest = Promise.withResolvers<void>();
  async function* words() {
    yield "Раз, два";
    yield ", т";
    yield "ри, четыре";
    await rest.promise;
    yield ", пять";
  }
  fake.reply = () => ({ content: words() });
  const stop = ["четверг", ", три"];
  const whole = await ask(connection, { stop });
  assertEquals(whole.choices[0]!.message!.content, "Раз, два");
  assertEquals(whole.choices[0]!.finish_reason, "stop");
  assertEquals(await fake.requests.at(-1)!.end, "aborted");
  const upstream = await open(connection, { stream: true, stop });
  const events = await readAll(upstream);
  assertEquals(textOf(events), "Раз, два");
  assertEquals(events.at(-1)!.choices[0]!.finish_reason, "stop");
  assertEquals(events.at(-1)!.choices[0]!.delta, {});
  assertEquals(upstream.done, true);
  assertEquals(await fake.requests.at(-1)!.end, "aborted");
  rest.resolve();
});

Deno.test("a stop sequence that never comes takes nothing away", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  fake.reply = () => ({ content: ["Раз, два", ",", " т"], finish: "length" });
  const events = await askStream(connection, { stop: ", три" });
  assertEquals(textOf(events), "Раз, два, т");
  assertEquals(events.flatMap((event) => event.choices).at(-1)!.finish_reason, "length");
  assertEquals(events.at(-1)!.choices, []);
});

Deno.test("stop is never looked for in a call's arguments, nor in thoughts", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake);
  const tools = [{ type: "function", function: { name: "w" } }];
  const stop = ["}", "Хм"];
  for (const stream of [false, true]) {
    fake.reply = () => ({
      content: "<think>Хм…</think>Смотрю",
      functionCall: { name: "w", arguments: { city: "Хм" } },
    });
    const replies = await readAll(await open(connection, { tools, stop, stream }));
    const parts = replies.flatMap(({ choices }) => choices)
      .map(({ delta, message }) => delta ?? message!);
    const call = parts.flatMap((part) => part.tool_calls ?? []);
    assertEquals(call.map((each) => each.function!.arguments), ['{"city":"Хм"}']);
    assertEquals(parts.map((part) => part.content ?? "").join(""), "Смотрю");
    assertEquals(parts.map((part) => part.reasoning_content ?? "").join(""), "Хм…");
  }
});

Deno.test("through the router a cut stream ends as OpenAI's, with usage, and names stop", async () => {
  await using fake = await startFakeGigachat();
  fake.reply = () => ({ content: ["Один. ", "Дв", "а. Три."] });
  await using router = await startRouter(fake.env);
  const response = await router.chat(
    askFor("gigachat/GigaChat-2", "Считай", {
      stream: true,
      stop: "Два",
      // deno-lint-ignore camelcase -- OpenAI's name
      stream_options: { include_usage: true },
    }),
  );
  assertEquals(response.headers.get("x-xrouter-changed"), "stop");
  const stream = await readWholeStream(response);
  assertEquals([stream.text, stream.done], ["Один. ", true]);
  assertEquals(stream.events.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean), [
    "stop",
  ]);
  assert(stream.events.at(-1)!.usage!.completion_tokens > 0);
  assertEquals((await router.usage()).map(({ state }) => state), ["completed"]);
});
