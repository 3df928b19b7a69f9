import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { sendRaw } from "../support/raw_http.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { wholeText, words } from "./answer.ts";
import { FaultVendor } from "./vendor.ts";

const user = { role: "user", content: "Say the sixty words, please." };

function ask(
  { url }: FaultVendor,
  model: string,
  { run = "", stream = true, messages = [user], ...init }: {
    run?: string;
    stream?: boolean;
    messages?: object[];
    signal?: AbortSignal;
  } = {},
): Promise<Response> {
  const body = JSON.stringify({ model, stream, messages, lab: { run, pace: 1 } });
  return fetch(`${url}/chat/completions`, { method: "POST", body, ...init });
}

function rawRequest(model: string): string {
  const body = JSON.stringify({ model, stream: true, messages: [user], lab: { run: "raw" } });
  return `POST / HTTP/1.1\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

Deno.test("FaultVendor says sixty words when it is well, streamed and whole", async () => {
  assertEquals(words.length, 60);
  await using vendor = await FaultVendor.start("lab", 7);
  const { events, text, done } = await readWholeStream(await ask(vendor, "well"));
  assertEquals([text, done], [wholeText, true]);
  assertEquals(events.at(-1)!.usage!.prompt_tokens, 7);
  const whole = await (await ask(vendor, "well", { stream: false })).json();
  assertEquals(whole.choices[0].message.content, wholeText);
  assertEquals(whole.model, "lab-well");
});

Deno.test("FaultVendor goes on from the words that a request ends with, or refuses to", async () => {
  await using vendor = await FaultVendor.start("lab", 7);
  const messages = [user, { role: "assistant", content: words.slice(0, 40).join(" ") }];
  const { text } = await readWholeStream(await ask(vendor, "well", { messages }));
  assertEquals(text, ` ${words.slice(40).join(" ")}`);
  const refused = await ask(vendor, "no-prefill", { messages });
  assertEquals(refused.status, 400);
  assertStringIncludes(await refused.text(), "prefill");
  assertEquals((await readWholeStream(await ask(vendor, "no-prefill"))).text, wholeText);
  assertEquals(vendor.callsOf("").map(({ prefilled }) => prefilled), [true, true, false]);
});

Deno.test("FaultVendor counts the tries of each run by itself, and logs them", async () => {
  await using vendor = await FaultVendor.start("lab", 7);
  const statuses: number[] = [];
  for (const run of ["a", "a", "b", "a", "b"]) {
    const response = await ask(vendor, "fails-once", { run });
    await response.body?.cancel();
    statuses.push(response.status);
  }
  assertEquals(statuses, [500, 200, 500, 200, 200]);
  assertEquals(vendor.callsOf("a").map(({ model }) => model), Array(3).fill("fails-once"));
  assertEquals(vendor.callsOf("b").length, 2);
});

Deno.test("FaultVendor breaks connections by a reset, and by an end in the middle", async () => {
  await using vendor = await FaultVendor.start("lab", 7);
  await assertRejects(() => ask(vendor, "reset-once"), TypeError);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: vendor.port });
  await connection.write(new TextEncoder().encode(rawRequest("reset-once")));
  await assertRejects(() => connection.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  const { status, body } = await sendRaw(vendor.url, rawRequest("breaks-off"));
  assertEquals(status, 200);
  assertEquals(body.match(/"content":" ?[a-z]+"/g)!.length, 40);
  assertEquals(body.endsWith("0\r\n\r\n"), false);
});

Deno.test("FaultVendor stays silent, and ends a header never, until the caller leaves", async () => {
  await using vendor = await FaultVendor.start("lab", 7);
  for (const model of ["silent", "endless-headers"]) {
    const leaving = new AbortController();
    const asked = ask(vendor, model, { signal: leaving.signal, run: model });
    while (vendor.callsOf(model).length === 0) await new Promise((done) => setTimeout(done, 1));
    leaving.abort();
    await assertRejects(() => asked, DOMException);
  }
});

Deno.test("FaultVendor never answers a TLS greeting", async () => {
  await using vendor = await FaultVendor.start("lab", 7);
  const leaving = new AbortController();
  const url = vendor.url.replace("http:", "https:");
  const asked = fetch(`${url}/models`, { signal: leaving.signal });
  while (vendor.callsOf("").length === 0) await new Promise((done) => setTimeout(done, 1));
  leaving.abort();
  await assertRejects(() => asked, DOMException);
});
