import { assertEquals, assertStrictEquals } from "@std/assert";
import { Chunk, parseReply } from "../../core/chunk.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function event(text: string): Chunk {
  return Chunk.fromBytes(encoder.encode(text), false);
}

Deno.test("Chunk leaves as the very bytes it came in, also after it was read", () => {
  const bytes = encoder.encode('data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\r\n\r\n');
  const chunk = Chunk.fromBytes(bytes, false);
  assertEquals(chunk.text, "hi");
  assertStrictEquals(chunk.bytes, bytes);
  assertEquals(chunk.changed, false);
});

Deno.test("Chunk parses when it is read, and once", () => {
  const parse = JSON.parse;
  let calls = 0;
  JSON.parse = (...args) => (calls++, parse(...args));
  try {
    const chunk = event('data: {"choices":[]}\n\n');
    void chunk.bytes;
    assertEquals(calls, 0);
    void [chunk.json, chunk.json, chunk.text];
    assertEquals(calls, 1);
  } finally {
    JSON.parse = parse;
  }
});

Deno.test("Chunk has no JSON where there is no object", () => {
  for (const text of ["data: [DONE]\n\n", "data: [1]\n\n", "data: null\n\n", ": hi\n\n"]) {
    const chunk = event(text);
    assertStrictEquals(chunk.json, undefined, text);
    assertEquals(chunk.text, "");
    assertEquals(decoder.decode(chunk.bytes), text);
  }
});

Deno.test("Chunk leaves as what replaced it", () => {
  const chunk = event('data: {"choices":[],"model":"theirs"}\n\n');
  chunk.replace({ ...chunk.json!, model: "ours" });
  assertEquals(chunk.changed, true);
  assertEquals(chunk.json?.model, "ours");
  assertEquals(decoder.decode(chunk.bytes), 'data: {"choices":[],"model":"ours"}\n\n');
});

Deno.test("Chunk that is a whole answer has no frame of an event", () => {
  const json = { choices: [{ index: 0, message: { content: "hi" } }] };
  const made = Chunk.fromJson(json, true);
  assertEquals(decoder.decode(made.bytes), JSON.stringify(json));
  const came = Chunk.fromBytes(encoder.encode(JSON.stringify(json, null, 2)), true);
  assertEquals([came.text, came.whole], ["hi", true]);
  came.replace({ choices: [] });
  assertEquals(decoder.decode(came.bytes), '{"choices":[]}');
});

Deno.test("parseReply takes objects only", () => {
  assertEquals(parseReply('{"choices":[]}'), { choices: [] });
  for (const text of ["", "{", "[]", "1", "null", '"text"']) {
    assertStrictEquals(parseReply(text), undefined, text);
  }
});
