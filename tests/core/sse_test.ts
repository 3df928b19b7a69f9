import { assertEquals, assertLess, assertStrictEquals, assertThrows } from "@std/assert";
import { concat, dataStartsWith, EventCutter, maxEventBytes, readEvent } from "../../core/sse.ts";
import { seededRandom } from "../support/random.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Every kind of line end, comments, several data lines and letters of up to four bytes. */
const events = [
  'data: {"a":"ключ"}\n\n',
  ": a comment\n\n",
  "data: one\r\ndata: two\r\n\r\n",
  "event: ping\ndata: 🦕\n\n",
  "\n\n",
  "data: mixed\n\r\n",
  "data:[DONE]\n\n",
];

/** What a cutter makes of some pieces, and what it has left. */
function cut(pieces: readonly Uint8Array[]): { events: string[]; rest: string | undefined } {
  const cutter = new EventCutter();
  const found = pieces.flatMap((piece) => cutter.push(piece).map((event) => decoder.decode(event)));
  const rest = cutter.rest();
  return { events: found, rest: rest && decoder.decode(rest) };
}

Deno.test("EventCutter cuts a stream that comes in one piece", () => {
  assertEquals(cut([encoder.encode(events.join(""))]), { events, rest: undefined });
});

Deno.test("EventCutter does not mind where the network cuts, at any two bytes", () => {
  const bytes = encoder.encode(events.join(""));
  for (let a = 0; a <= bytes.length; a++) {
    for (let b = a; b <= bytes.length; b++) {
      const pieces = [bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)];
      assertEquals(cut(pieces), { events, rest: undefined }, `cut at ${a} and ${b}`);
    }
  }
});

Deno.test("EventCutter does not mind single bytes", () => {
  const bytes = encoder.encode(events.join(""));
  assertEquals(cut(Array.from(bytes, (byte) => Uint8Array.of(byte))), { events, rest: undefined });
});

Deno.test("EventCutter finds the same events however random the cuts", () => {
  const random = seededRandom();
  for (let round = 0; round < 300; round++) {
    const stream = Array.from({ length: 1 + random(20) }, () => events[random(events.length)]!);
    const bytes = encoder.encode(stream.join("") + "data: unfinished");
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random(40);
      pieces.push(bytes.subarray(at, at + size));
      at += size;
    }
    assertEquals(cut(pieces), { events: stream, rest: "data: unfinished" }, `round ${round}`);
  }
});

Deno.test("EventCutter hands out its rest once", () => {
  const cutter = new EventCutter();
  cutter.push(encoder.encode("data: 1\n\ndata: 2"));
  assertEquals(decoder.decode(cutter.rest()), "data: 2");
  assertStrictEquals(cutter.rest(), undefined);
});

Deno.test("EventCutter refuses an event without end", () => {
  const cutter = new EventCutter();
  cutter.push(new Uint8Array(maxEventBytes));
  const error = assertThrows(() => cutter.push(Uint8Array.of(65)), RangeError);
  assertEquals(error.message, "An event of the stream is longer than 16777216 bytes");
});

Deno.test("readEvent reads the data and the name of an event", () => {
  const read = (text: string) => readEvent(encoder.encode(text));
  assertEquals(read("data: x\n\n"), { data: "x" });
  assertEquals(read("data:x\r\n\r\n"), { data: "x" });
  assertEquals(read("data:  two blanks: one stays\n\n"), { data: " two blanks: one stays" });
  assertEquals(read("event: ping\nid: 7\ndata: a\ndata: b\n\n"), { name: "ping", data: "a\nb" });
  assertEquals(read(": comment\ndata: x\n\n"), { data: "x" });
  assertEquals(read("\uFEFFdata: x\n\n"), { data: "x" });
  assertEquals(read(": only a comment\n\n"), {});
  assertEquals(read("\n\n"), {});
  assertEquals(read("data\n\n"), {});
});

Deno.test("readEvent makes broken UTF-8 visible instead of failing", () => {
  assertEquals(readEvent(Uint8Array.of(...encoder.encode("data: "), 0xff, 10, 10)), {
    data: "\uFFFD",
  });
});

Deno.test("dataStartsWith looks behind the field's name and does not mind blanks", () => {
  const starts = (text: string) => dataStartsWith(encoder.encode(text), encoder.encode("[DONE]"));
  assertEquals(starts("data: [DONE]\n\n"), true);
  assertEquals(starts("data:[DONE]\r\n\r\n"), true);
  assertEquals(starts("data:   [ DONE]\n\n"), true);
  assertEquals(starts("data: [DON"), false);
  assertEquals(starts("data: x[DONE]\n\n"), false);
  assertEquals(starts(": [DONE]\n\n"), false);
});

Deno.test("concat copies nothing when there is one part", () => {
  const part = Uint8Array.of(1, 2);
  assertStrictEquals(concat([part]), part);
  assertEquals(concat([part, new Uint8Array(), Uint8Array.of(3)]), Uint8Array.of(1, 2, 3));
  assertEquals(concat([]), new Uint8Array());
});

Deno.test("EventCutter copies an event of a thousand reads only a few times", () => {
  const set = Uint8Array.prototype.set;
  let copied = 0;
  Uint8Array.prototype.set = function (from, at) {
    copied += from.length;
    set.call(this, from, at);
  };
  try {
    const cutter = new EventCutter();
    const read = encoder.encode("x".repeat(4_000));
    for (let i = 0; i < 1_000; i++) assertEquals(cutter.push(read), []);
    const [event, next] = cutter.push(encoder.encode("\n\ndata: next\n\n"));
    assertEquals(event!.length, 4_000_002);
    assertEquals(next, encoder.encode("data: next\n\n"));
    assertLess(copied, 5 * event!.length);
  } finally {
    Uint8Array.prototype.set = set;
  }
});
