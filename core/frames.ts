/**
 * The frames of a stream that XRouter writes itself.
 *
 * @module
 */
import type { RouterError } from "./errors.ts";
import type { Waiting } from "./slot.ts";

const encoder = new TextEncoder();

/** The end of a complete answer. */
export const doneFrame: Uint8Array = encoder.encode("data: [DONE]\n\n");

/** A comment, which clients pass over. */
export const keepAliveFrame: Uint8Array = encoder.encode(": keep-alive\n\n");

/** A comment to one whose answer has not begun, with its place where it stands in a queue. */
export function waitingFrame(waiting: Waiting | undefined): Uint8Array {
  return waiting === undefined ? keepAliveFrame : encoder.encode(`: queue ${waiting.place}\n\n`);
}

/** The end of an answer that broke off: an error, and no `[DONE]`, so that it never looks finished. */
export function errorFrame(error: RouterError): Uint8Array {
  // Without an index it is no chunk: clients that try that shape first, such as Vercel's AI SDK,
  // would take it for one, and pass over the error.
  const frame = { ...error.body(), choices: [{ delta: {}, finish_reason: "error" }] };
  return encoder.encode(`data: ${JSON.stringify(frame)}\n\n`);
}
