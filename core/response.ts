/**
 * The HTTP answers to chat requests.
 *
 * @module
 */
import { RouterError } from "./errors.ts";
import type { LiveExchange } from "./exchange.ts";
import { unsendable } from "./header_syntax.ts";

/** Headers that say how the answer is cut; a plugin that sets one would break the connection. */
const framing = new Set(["content-length", "transfer-encoding", "content-encoding", "connection"]);

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Says to nginx: pass on each event as it comes.
  "x-accel-buffering": "no",
};

/** @throws {RouterError} `internal` when a plugin set what cannot be sent as a header. */
export function checkReplyHeaders({ replyHeaders }: LiveExchange): void {
  const wrong = unsendable(replyHeaders) ??
    Object.keys(replyHeaders).find((name) => framing.has(name.toLowerCase()));
  if (wrong === undefined) return;
  throw new RouterError("internal", `A plugin set the header "${wrong}" to what it cannot be`);
}

/** An answer of JSON. */
export function wholeResponse(x: LiveExchange, body: Uint8Array<ArrayBuffer>): Response {
  const response = new Response(body);
  // One by one: a constructor takes three times as long for them.
  setAttemptHeaders(x, response.headers);
  response.headers.set("content-type", "application/json");
  return response;
}

/** An answer of events. When nobody has begun to answer, it is not known who will. */
export function streamResponse(
  x: LiveExchange,
  body: ReadableStream<Uint8Array>,
  begun: boolean,
): Response {
  const response = new Response(body);
  const { headers } = response;
  if (begun) setAttemptHeaders(x, headers);
  else setAll(headers, x.replyHeaders);
  setAll(headers, streamHeaders);
  return response;
}

/** An answer that is an error. 499 is a mark for records: no client is left to read it. */
export function errorResponse(x: LiveExchange, error: RouterError): Response {
  const status = error.code === "aborted" ? 503 : error.status;
  const response = new Response(JSON.stringify(error.body()), { status });
  const { headers } = response;
  try {
    checkReplyHeaders(x);
    setAttemptHeaders(x, headers);
    setAll(headers, error.answerHeaders());
  } catch {
    // What a plugin set is no header; the error itself still has to arrive.
  }
  setAll(headers, { "x-request-id": x.id, "content-type": "application/json" });
  return response;
}

function setAttemptHeaders(x: LiveExchange, headers: Headers): void {
  setAll(headers, x.replyHeaders);
  const last = x.answering ?? x.attempts.at(-1);
  if (last === undefined) return;
  headers.set("x-xrouter-provider", last.target.provider);
  headers.set("x-xrouter-attempts", String(x.attempts.length));
}

function setAll(headers: Headers, values: Readonly<Record<string, string>>): void {
  for (const name in values) headers.set(name, values[name]!);
}
