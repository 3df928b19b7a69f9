import { assert, assertEquals } from "@std/assert";
import { readWholeStream } from "./support/event_stream.ts";
import { sendRaw } from "./support/raw_http.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";

/** The head of a chat request that says what follows. */
function chatHead({ secret }: TestRouter, framing: string, ending = "connection: close"): string {
  return `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${secret}\r\n` +
    `content-type: application/json\r\n${framing}\r\n${ending}\r\n\r\n`;
}

const body = JSON.stringify(ask("echo"));
const length = `content-length: ${body.length}`;
const chunked = "transfer-encoding: chunked";

Deno.test("an address that is no URL is answered all the same", async () => {
  await using router = await startRouter();
  for (const host of ["a b", "[::", "a:99999", "%zz<>", "", "x/v1/models?", "@", ":"]) {
    const { status, body } = await sendRaw(
      router.url,
      `GET /health HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
    );
    assert(status !== undefined && status < 500, `host "${host}": ${status} ${body}`);
  }
});

Deno.test("a body may come byte by byte, in chunks, and late", async () => {
  await using router = await startRouter();
  const pieces = Array.from(body, (sign) => `1\r\n${sign}\r\n`);
  for (
    const parts of [
      [chatHead(router, length), ...body],
      [chatHead(router, chunked), ...pieces, "0\r\n\r\n"],
      [chatHead(router, `${length}\r\nexpect: 100-continue`), body],
      [...chatHead(router, length), body],
    ]
  ) {
    const { status, body: text } = await sendRaw(router.url, ...parts);
    assertEquals(status, 200);
    assertEquals(JSON.parse(text).choices[0].message.content, "one two three");
  }
});

Deno.test("a body that is cut in the middle is recorded as aborted, and answered to nobody", async () => {
  await using router = await startRouter();
  const { hostname, port } = new URL(router.url);
  const heads = [[length, body.slice(0, 9)], [chunked, "5\r\nhello\r\n"], [chunked, "f\r\nhel"]];
  for (const [framing, part] of heads) {
    const connection = await Deno.connect({ hostname, port: Number(port) });
    await connection.write(new TextEncoder().encode(chatHead(router, framing!) + part));
    await connection.closeWrite();
    while (await connection.read(new Uint8Array(1000)) !== null);
    connection.close();
  }
  const rows = (await router.usage()).map((row) => [row.state, row.status, row.error_code]);
  assertEquals(rows, heads.map(() => ["aborted", 499, "aborted"]));
});

Deno.test("framing that lies gets no answer but a 400, and the next request is not touched", async () => {
  await using router = await startRouter();
  const lies = [
    `${length}\r\n${chunked}`,
    `${length}\r\ncontent-length: 5`,
    "content-length: -1",
    "content-length: 99999999999999999999",
    "content-length: five",
    "transfer-encoding: gzip",
  ];
  for (const framing of lies) {
    const { status } = await sendRaw(router.url, chatHead(router, framing), body);
    assert(status === 400 || status === undefined, `${framing}: ${status}`);
  }
  const short = await sendRaw(router.url, chatHead(router, "content-length: 2"), "{}", body);
  assertEquals(short.status, 400);
  const { choices } = await (await router.chat(ask("echo"))).json();
  assertEquals(choices[0].message.content, "one two three");
});

Deno.test("HTTP/2 is served as HTTP/1.1 is", async () => {
  await using router = await startRouter({ XROUTER_BODY_LIMIT: "1024" });
  using client = Deno.createHttpClient({ http1: false, http2: true });
  const send = (content: unknown) => router.chat(content, { client } as RequestInit);
  const whole = await (await send(ask("echo"))).json();
  assertEquals(whole.choices[0].message.content, "one two three");
  const stream = await readWholeStream(await send(ask("echo", "one two", { stream: true })));
  assertEquals([stream.text, stream.done], ["one two", true]);
  const tooLong = await send("x".repeat(2_000));
  assertEquals([tooLong.status, (await tooLong.json()).error.code], [413, "payload_too_large"]);
});
