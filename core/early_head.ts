/**
 * The head of a stream whose answer is late: it goes out before anybody has answered.
 *
 * @module
 */
import type { LiveExchange } from "./exchange.ts";
import { waitingFrame } from "./frames.ts";
import { checkReplyHeaders, streamResponse } from "./response.ts";
import { Alarm } from "./ticker.ts";
import { type WaitingOptions, waitingStream } from "./waiting_stream.ts";

/**
 * Milliseconds after which a stream gets its head that waits in a provider's queue, or for the answer
 * of an account that runs few calls.
 */
const scarceMs = 1_000;

/**
 * The answer, or after some silence a stream that waits for it with comments. From then on the status
 * has gone out: what fails is an error frame, but other targets are still asked.
 */
export async function withEarlyHead(
  x: LiveExchange,
  asked: Promise<Response>,
  options: Pick<WaitingOptions, "keepAliveMs" | "onGone" | "onFailure">,
): Promise<Response> {
  const { keepAliveMs } = options;
  const { promise: silence, resolve } = Promise.withResolvers<void>();
  const alarm = new Alarm(keepAliveMs, resolve);
  // A client that leaves is noticed everywhere only once its stream has begun, and others wait for its
  // call.
  const hurry = () => alarm.hurry(scarceMs);
  x.onScarce = hurry;
  const response = await Promise.race([asked, silence]).finally(() => {
    alarm.stop();
    x.onScarce = undefined;
  });
  if (response) return response;
  checkReplyHeaders(x);
  const stream = waitingStream({
    ...options,
    answer: asked.then(({ body }) => body!),
    comment: () => waitingFrame(x.waiting),
  });
  return streamResponse(x, stream, false);
}
