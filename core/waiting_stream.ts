/**
 * A stream that begins before its answer does: comments keep it alive until somebody answers.
 *
 * @module
 */
import type { RouterError } from "./errors.ts";
import { errorFrame } from "./frames.ts";
import { Alarm } from "./ticker.ts";

/** What a waiting stream is made of. */
export interface WaitingOptions {
  /** The answer's stream, once there is one. */
  answer: Promise<ReadableStream<Uint8Array>>;
  /** What to say while nobody answers: a comment. */
  comment: () => Uint8Array;
  /** Milliseconds between two comments. */
  keepAliveMs: number;
  /** Called when the client goes before the answer has begun. */
  onGone: () => void;
  /** Called when there will be no answer. @returns The error that the client reads. */
  onFailure: (reason: unknown) => RouterError;
}

/** A comment now and every `keepAliveMs`, then the answer; or an error frame and no `[DONE]`. */
export function waitingStream(options: WaitingOptions): ReadableStream<Uint8Array> {
  const { answer, comment, keepAliveMs, onGone, onFailure } = options;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let pulling = false;
  let gone = false;
  let alarm: Alarm | undefined;
  let failure: RouterError | undefined;
  // At once, and not when the client reads next: it may never do.
  answer.catch((reason) => failure = onFailure(reason));
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(comment());
      const say = () => {
        // First, because to speak may be what tells that the client has gone, which stops it.
        alarm = new Alarm(keepAliveMs, say);
        // To a client that does not read, comments would pile up.
        if (pulling) controller.enqueue(comment());
      };
      alarm = new Alarm(keepAliveMs, say);
    },
    async pull(controller) {
      pulling = true;
      try {
        reader ??= (await answer).getReader();
        alarm?.stop();
        if (gone) return await reader.cancel();
        const { value, done } = await reader.read();
        if (gone) return;
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (reason) {
        alarm?.stop();
        if (gone) return;
        controller.enqueue(errorFrame(failure ?? onFailure(reason)));
        controller.close();
      } finally {
        pulling = false;
      }
    },
    async cancel() {
      gone = true;
      alarm?.stop();
      if (reader !== undefined) return await reader.cancel();
      onGone();
      // Nobody else waits for the answer if nothing was being pulled.
      if (!pulling) await answer.then((stream) => stream.cancel(), () => {});
    },
  }, { highWaterMark: 0 });
}
