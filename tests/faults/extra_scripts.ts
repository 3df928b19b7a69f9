/**
 * What a vendor does beyond the sixteen faults.
 *
 * @module
 */
import { gzipSync } from "node:zlib";
import { Buffer } from "node:buffer";
import { type Answer, done, event, wholeText } from "./answer.ts";
import type { Script } from "./scripts.ts";
import { headOf, type VendorCall } from "./vendor_call.ts";

/** The text of the large answer: 50 MB at full pace. */
export function largeText(pace: number): string {
  return "x".repeat(Math.ceil(50 * pace) * megabyte);
}

const megabyte = 1024 * 1024;

const error = { message: "The lab is overloaded", type: "server_error", code: "overloaded" };

/** Sends byte after byte, one a second, until nobody listens. */
async function trickle(call: VendorCall, text: string): Promise<void> {
  for (const byte of text) {
    if (!await call.pause(1_000)) return;
    await call.events(byte);
  }
  await call.end();
}

async function stream(call: VendorCall, ...events: (string | Uint8Array)[]): Promise<void> {
  await call.begin();
  await call.events(...events);
  await call.end();
}

/** The first half of a gzipped text, as an answer that is complete to HTTP. */
async function halfGzip(call: VendorCall, text: string, type: string): Promise<void> {
  const bytes = gzipSync(text);
  const headers = { "content-type": type, "content-encoding": "gzip" };
  await call.whole(200, bytes.subarray(0, bytes.length >> 1), headers);
}

/** Sends the words and their end, and then resets or stays, without `[DONE]`. */
async function finishOnly(call: VendorCall, answer: Answer, ...last: string[]): Promise<void> {
  await call.begin();
  await call.events(answer.role, ...answer.wordsOf(0), answer.finish, ...last);
}

/** The models of the further faults. */
export const extraScripts: Readonly<Record<string, Script>> = {
  "trickle": async (call, answer) => {
    await call.begin();
    await trickle(call, answer.events().join(""));
  },
  "trickle-later": async (call, answer) => {
    await call.begin();
    await call.events(answer.role, ...answer.wordsOf(0, 20));
    await trickle(call, answer.events(20).join(""));
  },
  "empty-start": async (call, answer) => {
    await call.begin();
    await call.events(answer.role, answer.text(""), ": the lab thinks\n\n");
    if (!await call.pause(17_000)) return;
    await call.events(...answer.events());
    await call.end();
  },
  "endless-headers": async (call) => {
    await call.socket.send(headOf(200, { "content-type": "text/event-stream" }).slice(0, -2));
    for (let line = 0; await call.pause(250); line++) await call.socket.send(`x-${line}: lab\r\n`);
  },
  "error-event": (call) => stream(call, event({ error })),
  "error-after-role": (call, answer) => stream(call, answer.role, event({ error })),
  "error-body": (call) => call.whole(200, JSON.stringify({ error })),
  "half-gzip": (call, answer) => halfGzip(call, answer.events().join(""), "text/event-stream"),
  "half-gzip-whole": (call, answer) => halfGzip(call, answer.whole(), "application/json"),
  "web-page": (call) =>
    call.whole(200, "<html><body>Please sign in to this network</body></html>", {
      "content-type": "text/html",
    }),
  "plain-type": async (call, answer) => {
    await call.begin({ "content-type": "text/plain" });
    await call.events(...answer.events());
    await call.end();
  },
  "large": async (call, answer) => {
    const text = largeText(call.paced(1));
    if (call.body.stream !== true) return await call.whole(200, answer.whole(text));
    await call.begin();
    await call.events(answer.role);
    const piece = answer.text(text.slice(0, megabyte));
    for (let sent = 0; sent < text.length; sent += megabyte) await call.events(piece);
    await call.events(answer.finish, answer.usage, done);
    await call.end();
  },
  "duplicates": (call, answer) => {
    const events = answer.events();
    const twice = (at: number) => events.splice(at, 0, events[at]!);
    // From the back: the usage, the finish, the fifth word, the role.
    for (const at of [62, 61, 5, 0]) twice(at);
    return stream(call, ...events);
  },
  "invalid-utf8": (call, answer) => {
    const events: (string | Uint8Array)[] = answer.events();
    const tenth = Buffer.from(events[10] as string);
    // A byte that may only follow another one, in the middle of the word.
    tenth[tenth.indexOf("content") + 12] = 0xa9;
    events[10] = tenth;
    return stream(call, ...events);
  },
  "reset-after-finish": async (call, answer) => {
    await finishOnly(call, answer);
    await call.settle();
    call.socket.reset();
  },
  "stays-open": async (call, answer) => {
    await finishOnly(call, answer, answer.usage);
    await call.pause(120_000);
    call.socket.close();
  },
  "ends-early": async (call, answer) => {
    await call.begin();
    await call.events(answer.role, ...answer.wordsOf(0, 40));
    await call.settle();
    await call.end();
  },
  "lies-about-length": async (call, answer) => {
    const text = answer.whole();
    const head = headOf(200, {
      "content-type": "application/json",
      "content-length": `${text.length}`,
    });
    await call.socket.send(head + text.slice(0, text.length >> 1));
    call.socket.close();
  },
};

/** The text of an answer whose tenth word has a byte that is no UTF-8. */
export const mangledText: RegExp = mangledPattern();

function mangledPattern(): RegExp {
  const [before, after] = [wholeText.split(" ").slice(0, 9), wholeText.split(" ").slice(10)];
  return new RegExp(`^${before.join(" ")} \\S+ ${after.join(" ")}$`, "u");
}
