/**
 * The HTTP answers to chat requests.
 *
 * @module
 */
import { RouterError } from "./errors.ts";
import type { LiveExchange } from "./exchange.ts";

/** Headers that say how the answer is cut; a plugin that sets one would break the connection. */
const framing = new Set(["content-length", "transfer-encoding", "content-encoding", "connection"]);

const wholeHeaders = { "content-type": "application/json" };

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Says to nginx: pass on each event as it comes.
  "x-accel-buffering": "no",
};

/**
 * The headers of an answer.
 *
 * @param begun Somebody has begun to answer, and so it is known who.
 * @throws {RouterError} `internal` when a plugin set what cannot be sent as a header (RFC 9110 §5).
 */
export function answerHeaders(
  x: LiveExchange,
  streamed: boolean,
  begun: boolean = true,
): Record<string, string> {
  for (const name in x.replyHeaders) {
    const value = x.replyHeaders[name]!;
    if (
      !/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value) ||
      framing.has(name.toLowerCase())
    ) {
      const reason = `A plugin set the header "${name}" to what it cannot be`;
      throw new RouterError("internal", reason);
    }
  }
  return {
    ...x.replyHeaders,
    ...(begun ? attemptHeaders(x) : {}),
    ...(streamed ? streamHeaders : wholeHeaders),
  };
}

/** An answer that is an error. 499 is a mark for records: no client is left to read it. */
export function errorResponse(x: LiveExchange, error: RouterError): Response {
  const body = JSON.stringify(error.body());
  const status = error.code === "aborted" ? 503 : error.status;
  const own = { "x-request-id": x.id, "content-type": "application/json" };
  try {
    const headers = { ...answerHeaders(x, false), ...error.answerHeaders(), ...own };
    return new Response(body, { status, headers });
  } catch {
    // What a plugin set is no header; the error itself still has to arrive.
    return new Response(body, { status, headers: own });
  }
}

function attemptHeaders(x: LiveExchange): Record<string, string> {
  const last = x.attempts.at(-1);
  return last === undefined ? {} : {
    "x-xrouter-provider": last.target.provider,
    "x-xrouter-attempts": String(x.attempts.length),
  };
}
