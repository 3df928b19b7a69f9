// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import { Chunk } from "../../core/chunk.ts";
import { RouterError } from "../../core/errors.ts";
import { concat } from "../../core/sse.ts";
import { Upstream } from "../../core/upstream.ts";
import { VendorModule } from "../../core/vendor_module.ts";
import { inParts } from "../support/kernel.ts";
import { seededRandom } from "../support/random.ts";
import { delta, ending, event } from "../support/upstream.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const never = new AbortController().signal;
const redact = (text: string) => text.replaceAll("my-key", "[key]");

const translate = {
  event: (data: string): ChatReply[] => data === "skip" ? [] : [{ choices: [], said: data }],
  whole: (): ChatReply => ({ choices: [] }),
};

/** What leaves for a client that gets every group, as raw bytes where they are given. */
async function relayed(upstream: Upstream): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let group = await upstream.read(); group !== undefined; group = await upstream.read()) {
    parts.push(group.raw ?? concat(group.chunks.map((chunk) => chunk.bytes)));
    assertEquals(concat(group.chunks.map((chunk) => chunk.bytes)), parts.at(-1));
  }
  return decoder.decode(concat(parts));
}

function stream(...parts: (string | Uint8Array)[]): Upstream {
  return Upstream.stream(inParts(parts), { signal: never, redact });
}

/** A body that the test feeds, and that tells when it is cancelled. */
function fed(): { response: Response; send: (text: string) => void; cancelled: Promise<void> } {
  const cancelled = Promise.withResolvers<void>();
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    cancel: () => cancelled.resolve(),
  });
  return {
    response: new Response(body),
    send: (text) => controller.enqueue(encoder.encode(text)),
    cancelled: cancelled.promise,
  };
}

const events = [
  delta("ключ"),
  `: inside an event\n${delta("🦕")}`,
  delta("crlf").replaceAll("\n", "\r\n"),
  'event: message\nid: 7\ndata: {"n":\ndata: 1}\n\n',
  delta("end"),
];

Deno.test("Upstream leaves every event as it is, wherever the network cuts in two", async () => {
  const bytes = encoder.encode(events.join("") + "data: [DONE]\n\n");
  for (let at = 1; at < bytes.length; at++) {
    const upstream = stream(bytes.slice(0, at), bytes.slice(at));
    assertEquals(await relayed(upstream), events.join(""), `cut at ${at}`);
    assertEquals(upstream.done, true);
  }
});

Deno.test("Upstream leaves every event as it is, however often the network cuts", async () => {
  const bytes = encoder.encode(events.join(""));
  for (let size = 1; size <= bytes.length; size++) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) parts.push(bytes.slice(at, at + size));
    assertEquals(await relayed(stream(...parts)), events.join(""), `cuts of ${size} bytes`);
  }
});

Deno.test("Upstream leaves events of one length as they are, cut at one place", async () => {
  // Each read is as long as the events that it completes, but it is not those events.
  const one = delta("x");
  const bytes = encoder.encode(one.repeat(4));
  for (let at = 1; at < one.length; at++) {
    const parts = [0, 1, 2, 3].map((i) =>
      bytes.slice(i && i * one.length + at, (i + 1) * one.length + at)
    );
    assertEquals(await relayed(stream(...parts)), one.repeat(4), `cut at ${at}`);
  }
});

Deno.test("Upstream leaves random streams as they are, cut at random", async () => {
  const random = seededRandom();
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: 1 + random(12) }, () => events[random(events.length)]).join(
      "",
    );
    const bytes = encoder.encode(text);
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random(400);
      parts.push(bytes.slice(at, at + size));
      at += size;
    }
    assertEquals(await relayed(stream(...parts)), text, `round ${round}`);
  }
});

Deno.test("Upstream hands a read on whole when it is just events", async () => {
  const bytes = encoder.encode(delta("a") + delta("b"));
  const group = await stream(bytes).read();
  assertStrictEquals(group?.raw, bytes);
  assertEquals(group.chunks.length, 2);
});

Deno.test("Upstream keeps comments and the terminator to itself", async () => {
  const upstream = stream(": hello\n\n", delta("a") + ": again\n\n", "data: [DONE]\n\n");
  assertEquals(await relayed(upstream), delta("a"));
});

Deno.test("Upstream takes a last event without its empty line, if it is a whole one", async () => {
  assertEquals(await relayed(stream(delta("a").trimEnd())), delta("a"));
  const done = stream(delta("a"), "data: [DONE]");
  assertEquals([await relayed(done), done.done], [delta("a"), true]);
  const cut = delta("b").slice(0, 40);
  const broken = stream(delta("a"), cut);
  assertEquals([await relayed(broken), broken.done], [delta("a"), false]);
});

Deno.test("Upstream knows that an answer has said why it ends, with a decoder and without", async () => {
  const said = [delta("one"), ending()[0]!];
  const same = { event: (data: string) => [JSON.parse(data)], whole: translate.whole };
  for (const decoder of [undefined, same]) {
    const upstream = Upstream.stream(inParts(said), { decoder, signal: never, redact });
    const finished = [];
    while (await upstream.read() !== undefined) finished.push(upstream.finished);
    assertEquals(finished, [false, true]);
  }
});

Deno.test("Upstream has each event translated by the provider's decoder", async () => {
  const parts = ["event: x\ndata: one\n\ndata: skip\n\ndata: two\n\n", "data: [DONE]\n\n"];
  const upstream = Upstream.stream(inParts(parts), { decoder: translate, signal: never, redact });
  const said = (text: string) => event({ choices: [], said: text });
  assertEquals(await relayed(upstream), said("one") + said("two"));
  assertEquals(upstream.done, true);
});

Deno.test("Upstream ends at the terminator, whatever the vendor does then", async () => {
  const { response, send, cancelled } = fed();
  const upstream = Upstream.stream(response, { signal: never, redact });
  send(delta("a") + "data: [DONE]\n\n");
  assertEquals(await relayed(upstream), delta("a"));
  await upstream.finish();
  await cancelled;
});

Deno.test("Upstream begins only with a chunk", async () => {
  for (const parts of [[], [""], [": hello\n\n"], ["data: [DONE]\n\n"], ["data: {bro"]]) {
    const error = await assertRejects(() => stream(...parts).begin(), RouterError);
    assertEquals(
      `${error.code}: ${error.message}`,
      "upstream_unavailable: The provider's answer is empty",
    );
  }
});

const fault = event({ error: { message: "overloaded", code: 1 } });
const spaced = 'data: { "error" : { "message": "overloaded" } }\n\n';
const named = `event: error\n${fault}`;

Deno.test("Upstream does not begin with an error, nor when one came along", async () => {
  for (const parts of [[fault], [spaced], [named], [": hi\n\n", fault], [delta("a") + fault]]) {
    const error = await assertRejects(() => stream(...parts).begin(), RouterError);
    assertEquals(error.message, "The provider broke the answer off: overloaded");
  }
});

Deno.test("Upstream hands out what came before an error", async () => {
  const upstream = stream(delta("a"), delta("b") + fault + delta("c"));
  await upstream.begin();
  assertEquals((await upstream.read())?.chunks.length, 1);
  assertEquals((await upstream.read())?.chunks.map(({ text }) => text), ["b"]);
  const error = await assertRejects(() => upstream.read(), RouterError);
  assertEquals([error.code, error.detail], [
    "upstream_unavailable",
    '{"error":{"message":"overloaded","code":1}}',
  ]);
});

Deno.test("Upstream strikes secrets out of an error", async () => {
  const upstream = stream(event({ error: { message: "wrong key: my-key" } }));
  const error = await assertRejects(() => upstream.read(), RouterError);
  assertEquals(error.message, "The provider broke the answer off: wrong key: [key]");
  assertEquals(error.detail, '{"error":{"message":"wrong key: [key]"}}');
});

Deno.test("Upstream does not mistake a field that is empty for an error", async () => {
  const fine = event({ error: null, choices: [{ index: 0, delta: { content: "a" } }] });
  assertEquals(await relayed(stream(fine)), fine);
});

Deno.test("Upstream says that the provider failed when its body cannot be read", async () => {
  const bodies = [
    () => new ReadableStream({ pull: () => Promise.reject(new TypeError("connection reset")) }),
    () => ReadableStream.from([new Uint8Array(17 * 1024 * 1024).fill(65)]),
    () => ReadableStream.from([encoder.encode("data: {}\n\n")]),
  ];
  const crash = {
    ...translate,
    event() {
      throw new TypeError("not what I know");
    },
  };
  const causes = ["connection reset", "longer than 16777216 bytes", "not what I know"];
  for (const [i, body] of bodies.entries()) {
    const upstream = Upstream.stream(new Response(body()), {
      decoder: crash,
      signal: never,
      redact,
    });
    const error = await assertRejects(() => upstream.read(), RouterError);
    assertEquals(error.code, "upstream_unavailable");
    assertEquals(error.detail?.includes(causes[i]!), true, error.detail);
  }
});

Deno.test("Upstream ends with the signal's reason, also in a body that does not heed it", async () => {
  const { response, send, cancelled } = fed();
  const attempt = new AbortController();
  const upstream = Upstream.stream(response, { signal: attempt.signal, redact });
  send(delta("a") + "data: unfin");
  await upstream.read();
  const silent = upstream.read();
  const reason = new RouterError("timeout", "Too slow");
  attempt.abort(reason);
  assertStrictEquals(await assertRejects(() => silent, RouterError), reason);
  await cancelled;
});

Deno.test("Upstream makes a whole answer a stream of one read", async () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
  const tools = [{ id: "call_1", type: "function", function: { name: "f", arguments: "{}" } }];
  const reply: ChatReply = {
    id: "1",
    object: "chat.completion",
    choices: [
      { index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "length" },
      { index: 1, message: { role: "assistant", tool_calls: tools } },
    ],
    usage,
  };
  const upstream = Upstream.whole(Chunk.fromJson(reply, true), true);
  const shared = { id: "1", object: "chat.completion.chunk" };
  const choice = (index: number, delta: object, finish_reason: string | null) =>
    event({ ...shared, choices: [{ index, delta, finish_reason }] });
  assertEquals(
    await relayed(upstream),
    choice(0, { role: "assistant", content: "hi" }, null) + choice(0, {}, "length") +
      choice(1, { role: "assistant", tool_calls: [{ index: 0, ...tools[0] }] }, null) +
      choice(1, {}, "stop") + event({ ...shared, choices: [], usage }),
  );
  assertEquals(upstream.done, true);
});

Deno.test("Upstream strikes out of a decoder's error what the client must not read", async () => {
  const redact = (text: string) => text.replace("SECRET", "[…]");
  const decoder = () => ({
    event(data: string) {
      if (data.includes('"b"')) {
        throw new RouterError("upstream_unavailable", "It says SECRET", { detail: "SECRET" });
      }
      return [JSON.parse(data)];
    },
    whole: (json: unknown) => json as never,
  });
  const module = new VendorModule({ name: "vendor", decoder }, redact);
  const upstream = Upstream.stream(inParts([delta("a"), delta("b")]), {
    decoder: module.decoder({} as never, {} as never),
    signal: never,
    redact,
  });
  await upstream.begin();
  const read = async () => {
    while (await upstream.read() !== undefined);
  };
  const error = await assertRejects(read, RouterError);
  assertEquals([error.message, error.detail], ["It says […]", "[…]"]);
});
