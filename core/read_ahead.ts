/**
 * Reads an answer to its end before any of it goes out.
 *
 * @module
 */
import { Deadline } from "./deadline.ts";
import { RouterError, toRouterError } from "./errors.ts";
import type { Flight } from "./flight.ts";
import { maxReplyBytes, tooLong } from "./read_whole.ts";
import type { Tally } from "./tally.ts";
import type { BegunAnswer } from "./try.ts";
import type { Group, Upstream } from "./upstream.ts";

/** Milliseconds of silence after which an answer is over that has said why it ends. */
const silentEndMs = 2_000;

/** Milliseconds of silence that an answer gets now. */
export function silenceOf({ finished }: Upstream, idleMs: number): number {
  return finished ? Math.min(idleMs, silentEndMs) : idleMs;
}

/** What an answer failed with that ended too early. */
export function brokenOff(): RouterError {
  const reason = "The provider broke the answer off before it was complete";
  return new RouterError("upstream_unavailable", reason);
}

/**
 * Whether an answer is complete.
 *
 * @param atEnd Its stream has ended by itself: then it may have fewer alternatives than were asked for.
 */
export function isComplete(
  { isRead, done, finished, isEven, choices }: Upstream,
  tally: Pick<Tally, "failed" | "finished">,
  atEnd = false,
): boolean {
  if (tally.failed || !isRead) return false;
  return done || finished || (choices === 1 ? tally.finished : atEnd && isEven);
}

/**
 * Reads all of an answer, to be read again.
 *
 * @returns The same answer.
 * @throws {RouterError} Why it is not complete. By then its attempt has what was used.
 */
export async function readAhead(answer: BegunAnswer, flight: Flight): Promise<BegunAnswer> {
  const { upstream, deadline, attempt, tally, idleMs, over } = answer;
  const groups: Group[] = [];
  let bytes = 0;
  try {
    for (;;) {
      deadline.signal.throwIfAborted();
      deadline.expect(silenceOf(upstream, idleMs), "the next chunk");
      const group = await deadline.race(upstream.read());
      if (group === undefined) break;
      groups.push(group);
      for (const chunk of group.chunks) bytes += chunk.bytes.length;
      if (bytes > maxReplyBytes) throw tooLong(maxReplyBytes);
    }
    if (!isComplete(upstream, tally, true)) throw brokenOff();
  } catch (thrown) {
    // However its call ended.
    if (isComplete(upstream, tally)) return whole(answer, groups);
    const error = toRouterError(thrown, "read ahead");
    if (error.spent !== undefined) tally.note(error.spent);
    deadline.stop();
    over(error);
    upstream.blame(error);
    // A provider may be slow to heed it: the next one is asked at once.
    void upstream.cancel();
    attempt.usage = await tally.usage(() => flight.inputOf(attempt), attempt.cached);
    throw error;
  }
  return whole(answer, groups);
}

/** An answer that only has to be shown: it has no limits any more. */
function whole(answer: BegunAnswer, groups: readonly Group[]): BegunAnswer {
  answer.deadline.stop();
  answer.upstream.putBack(groups);
  return { ...answer, deadline: new Deadline(Infinity) };
}
