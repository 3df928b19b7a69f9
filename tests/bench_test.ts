import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { Children } from "./bench/children.ts";
import { EventReader } from "./bench/event_reader.ts";
import type { Gateway } from "./bench/gateway.ts";
import { HttpConnection } from "./bench/http_connection.ts";
import { LoadGenerator } from "./bench/load_generator.ts";
import { agent, document, long, small, structured } from "./bench/mapping_bodies.ts";
import type { Row, StreamRound, WholeRound } from "./bench/measure.ts";
import { serveMock } from "./bench/mock_upstream.ts";
import { parseOptions, UsageError } from "./bench/options.ts";
import { freePort, ServerProcess } from "./bench/server_process.ts";
import { median, medianRatio, percentile, slope } from "./bench/statistics.ts";
import { checkTargets, summariseWhole } from "./bench/summary.ts";
import { formatTable } from "./bench/table.ts";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { ask, connectTo } from "./support/fake_gigachat_call.ts";
import { seededRandom } from "./support/random.ts";

const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");

async function read(connection: HttpConnection): Promise<{ status: number; body: string }> {
  const decoder = new TextDecoder();
  let body = "";
  const { status } = await connection.exchange(REQUEST, (piece) => {
    body += decoder.decode(piece, { stream: true });
  });
  return { status, body };
}

/** Reads one answer from a server that sends `pieces` in separate writes and hangs up. */
async function readPieces(pieces: readonly string[]): Promise<{ status: number; body: string }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    using socket = await listener.accept();
    await socket.read(new Uint8Array(1024));
    socket.setNoDelay();
    for (const piece of pieces) {
      await socket.write(new TextEncoder().encode(piece));
      // The reader has its turn, so that the pieces do not melt together.
      await new Promise((resolve) => setTimeout(resolve));
    }
  })();
  const connection = await HttpConnection.open(listener.addr.port);
  try {
    return await read(connection);
  } finally {
    await served;
    connection.close();
  }
}

Deno.test("HttpConnection reads whole, chunked and empty answers on one connection", async () => {
  const long = "é".repeat(200_000);
  const answers = [
    () => new Response("whole", { status: 201 }),
    () => new Response(ReadableStream.from(["one ", "two"]).pipeThrough(new TextEncoderStream())),
    () => new Response("", { status: 404 }),
    () => new Response(ReadableStream.from([long]).pipeThrough(new TextEncoderStream())),
    () => new Response(long),
  ];
  let next = 0;
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => answers[next++]!(),
  );
  const connection = await HttpConnection.open(server.addr.port);
  assertEquals(await read(connection), { status: 201, body: "whole" });
  assertEquals(await read(connection), { status: 200, body: "one two" });
  assertEquals(await read(connection), { status: 404, body: "" });
  assertEquals(await read(connection), { status: 200, body: long });
  assertEquals(await read(connection), { status: 200, body: long });
  connection.close();
});

Deno.test("HttpConnection reads an answer that is cut anywhere", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\nA\r\n, dear all\r\n" +
    "0\r\nDigest: none\r\n\r\n",
    "HTTP/1.1 200 \r\ncontent-length:15\r\n\r\nhello, dear all",
  ];
  for (const answer of answers) {
    const expected = { status: 200, body: "hello, dear all" };
    assertEquals(await readPieces([...answer]), expected);
    for (let cut = 1; cut < answer.length; cut += 3) {
      assertEquals(await readPieces([answer.slice(0, cut), answer.slice(cut)]), expected);
    }
  }
});

Deno.test("HttpConnection rejects an answer that is not strictly framed", async () => {
  const ok = "HTTP/1.1 200 OK\r\n";
  const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
  const cases: [string, RegExp][] = [
    [`${ok}Content-Length: 5\r\n\r\nhell`, /closed the connection/],
    [`${chunked}5\r\nhello\r\n`, /closed the connection/],
    [`${chunked}5\r\nhello!\r\n0\r\n\r\n`, /longer than its size|CR LF/],
    [`${chunked}-5\r\nhello\r\n0\r\n\r\n`, /chunk size is "-5"/],
    [`${chunked}0x5\r\nhello\r\n0\r\n\r\n`, /chunk size is "0x5"/],
    [`${ok}Content-Length: 5\r\n\r\nhello!`, /Bytes follow/],
    [`${ok}Content-Length: 5, 5\r\n\r\nhello`, /length is unknown/],
    [`${ok}\r\nhello`, /length is unknown/],
    [`${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, /has both/],
    [`${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, /not "chunked"/],
    [`${ok}Content-Length: 0\r\nConnection: close\r\n\r\n`, /ends the persistent/],
    [`${ok.replace("\r\n", "\n")}Content-Length: 0\r\n\r\n`, /CR LF/],
    [`${ok}no colon\r\n\r\n`, /header line is "no colon"/],
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", /status line/],
    [`${ok}X: ${"x".repeat(20_000)}`, /longer than 16384/],
  ];
  for (const [answer, expected] of cases) {
    const error = await assertRejects(() => readPieces([answer]), Error);
    assertMatch(error.message, expected);
  }
});

Deno.test("EventReader gives the same events however the bytes are cut", () => {
  const below = seededRandom();
  const stream = ': hello\ndata: {"text":"é"}\n\nid: 7\r\ndata:first\r\ndata: second\r\n\r\n' +
    "event: ping\n\ndata:  😀 \n\ndata: [DONE]\n\n";
  const bytes = new TextEncoder().encode(stream);
  for (let run = 0; run < 300; run++) {
    const reader = new EventReader();
    const events: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + below(12);
      events.push(...reader.push(bytes.subarray(at, end)));
      at = end;
    }
    reader.end();
    assertEquals(events, ['{"text":"é"}', "first\nsecond", " 😀 ", "[DONE]"]);
  }
});

Deno.test("EventReader says that the last event is cut off", () => {
  for (const rest of ["data: x", "data: x\n"]) {
    const reader = new EventReader();
    assertEquals(reader.push(new TextEncoder().encode(`data: a\n\n${rest}`)), ["a"]);
    assertThrows(() => reader.end(), Error, "cut off");
  }
});

Deno.test("LoadGenerator counts the mock upstream's answers, latencies and events", async () => {
  await using server = serveMock({ port: 0, events: 5, eventRate: 200 });
  const { port } = server.addr;
  const load = new LoadGenerator({ port, model: "mock-model", headers: {} });
  const { count, seconds } = await load.saturate(3, 0.1);
  assertEquals(count >= 3 && seconds >= 0.1, true);
  assertEquals((await load.keepRate(4, 200, 0.1)).length, 20);
  const streamed = await load.stream({ streams: 4, events: 5, eventRate: 200 }, 0.1);
  assertEquals(streamed.count >= 4 * 8 && streamed.count % 8 === 0, true);
});

Deno.test("LoadGenerator fails a slice with a wrong answer", async () => {
  await using mock = serveMock({ port: 0, events: 3, eventRate: 1000 });
  const upstream = `http://127.0.0.1:${mock.addr.port}/v1/chat/completions`;
  let change = (text: string) => text;
  let status = 200;
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const answer = await fetch(upstream, { method: "POST", body: await request.text() });
      return new Response(change(await answer.text()), { status, headers: answer.headers });
    },
  );
  const { port } = server.addr;
  const whole = () => new LoadGenerator({ port, model: "m", headers: {} }).saturate(1, 0.02);
  const streamed = () =>
    new LoadGenerator({ port, model: "m", headers: {} })
      .stream({ streams: 1, events: 3, eventRate: 1000 }, 0.02);
  await whole();
  await streamed();

  change = (text) => text.replaceAll(/#\d+/g, "#777");
  await assertRejects(whole, Error, "1 of 1 connections failed. The answer to request 0");
  await assertRejects(streamed, Error, "Stream 0 has the text");
  change = (text) => text.replace("total_tokens", "tokens");
  await assertRejects(whole, Error, "no usage");
  await assertRejects(streamed, Error, "no usage");
  change = (text) => text.replace("data: [DONE]\n\n", "");
  await assertRejects(streamed, Error, "5 events instead of 6");
  change = (text) => text.replace('"stop"', "null");
  await assertRejects(streamed, Error, "no finish reason");
  status = 429;
  await assertRejects(whole, Error, "The answer is 429");
  await assertRejects(streamed, Error, "The answer is 429");
});

Deno.test("ServerProcess says how the log of a server that does not start ends", async () => {
  const children = new Children();
  const log = await Deno.makeTempFile();
  const command = ["sh", "-c", "echo no such setting; exit 3"];
  await assertRejects(
    () => ServerProcess.start(children, { command, log, port: freePort(), probe: "/" }),
    Error,
    "no such setting",
  );
  await assertRejects(() => children.run({ command }), Error, "ended with code 3. no such setting");
  await Deno.remove(log);
});

Deno.test("Children ends what it started and starts nothing afterwards", async () => {
  const children = new Children();
  const child = children.start({ command: ["sleep", "600"] }, "/dev/null");
  await children.stopAll();
  assertEquals((await child.status).signal, "SIGTERM");
  assertThrows(() => children.start({ command: ["true"] }, "/dev/null"), Error, "is ending");
});

Deno.test("percentile takes the nearest rank", () => {
  const values = [15, 20, 35, 40, 50];
  assertEquals([5, 30, 40, 50, 100].map((p) => percentile(values, p)), [15, 20, 20, 35, 50]);
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assertEquals([1, 50, 99, 100].map((p) => percentile(hundred, p)), [1, 50, 99, 100]);
  assertThrows(() => percentile([], 50), RangeError);
  assertThrows(() => percentile([1], 0), RangeError);
});

Deno.test("median and medianRatio go by value and pair by pair", () => {
  assertEquals(median([10, 9, 100]), 10);
  assertEquals(median([1, 10, 2, 100]), 6);
  assertThrows(() => median([]), RangeError);
  // The ratios are 2, 3 and 0.5; the ratio of the medians would be 1.5.
  assertEquals(medianRatio([20, 30, 20], [10, 10, 40]), 2);
});

Deno.test("slope is that of the line which is nearest to the values", () => {
  assertEquals([[1, 3, 5, 7], [4, 4, 4], [0, 0, 3]].map(slope), [2, 0, 1.5]);
  assertThrows(() => slope([1]), RangeError);
});

Deno.test("checkTargets compares XRouter with each base round by round", () => {
  const row = <R>(name: Gateway["name"], rounds: R[], error?: string): Row<R> => ({
    gateway: { name, title: name, endpoint: { port: 1, model: "m", headers: {} } },
    rounds,
    ...(error === undefined ? {} : { error }),
  });
  const whole = (cpuMicros: number, requestsPerSecond: number): WholeRound => ({
    cpuMicros,
    requestsPerSecond,
    p50Ms: cpuMicros,
    p99Ms: 2 * cpuMicros,
  });
  const wholeRows = [
    row("direct", [whole(1, 1), whole(1, 1)]),
    row("bare", [whole(100, 100), whole(200, 50)]),
    row("no-credit", [whole(100, 100), whole(250, 50)]),
    row("xrouter", [whole(150, 80), whole(300, 40)]),
    row("portkey", [whole(1000, 20), whole(1000, 8)]),
  ];
  const streamRows: Row<StreamRound>[] = [
    row("pull", [{ cpuMicros: 10, eventsPerSecond: 1 }]),
    row("xrouter", [{ cpuMicros: 13, eventsPerSecond: 1 }]),
  ];
  const verdicts = checkTargets(wholeRows, streamRows).map(({ value, met }) => [value, met]);
  assertEquals(verdicts, [[1.5, true], [1.3, false], [1.35, false], [4.5, true]]);

  const voided = wholeRows.with(1, row("bare", [whole(1, 1)], "wrong answer"));
  assertEquals(checkTargets(voided, [])[0]?.met, undefined);
  const [, bare, , xrouter] = summariseWhole(voided);
  assertEquals(bare, { gateway: "bare", error: "wrong answer" });
  assertEquals(xrouter?.p99AddedMs, { value: 448 });
});

Deno.test("formatTable pads every column to its widest cell", () => {
  assertEquals(
    formatTable(["gateway", "µs"], [["bare", "7 (1.00×)"], ["a long name", "-"]]),
    [
      "| gateway     |        µs |",
      "| ----------- | --------: |",
      "| bare        | 7 (1.00×) |",
      "| a long name |         - |",
    ].join("\n"),
  );
});

Deno.test("parseOptions reads the flags and names a wrong one", () => {
  const normal = parseOptions([]);
  assertEquals([normal.rounds, normal.warmUp, normal.seconds, normal.only.length], [5, 20, 3, 5]);
  const quick = parseOptions(["--quick", "--rounds", "4", "--only", "xrouter,bare"]);
  assertEquals([quick.rounds, quick.warmUp, quick.seconds, quick.only], [4, 3, 1, [
    "bare",
    "xrouter",
  ]]);
  assertEquals(parseOptions(["--quick", "--warm-up", "9"]).warmUp, 9);
  const cases: [string[], string][] = [
    [["--rounds", "0"], "--rounds"],
    [["--seconds", "1.5"], "--seconds"],
    [["--only", "bare,fast"], '"fast"'],
    [["--fast"], "--fast"],
    [["now"], "now"],
  ];
  for (const [args, named] of cases) assertThrows(() => parseOptions(args), UsageError, named);
});

Deno.test("bench: what is translated to be measured is what GigaChat takes", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_V2_MODELS: "GigaChat-2-Max" });
  fake.reply = fake.v2.reply = () => ({ content: JSON.stringify(document) });
  for (const model of ["GigaChat-2", "GigaChat-2-Max"]) {
    for (const body of [small(model), long(model), agent(model), structured(model)]) {
      await ask(connection, body);
    }
  }
  assertEquals(fake.chats.map(({ functions = [] }) => functions.length), [0, 6, 30, 0]);
  assertEquals(fake.chatsV2.map(({ tools = [] }) => tools.length), [0, 1, 1, 0]);
  assertEquals([long("m"), agent("m")].map(({ messages }) => messages.length), [20, 200]);
});
