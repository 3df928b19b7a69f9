/**
 * Tells the events of a stream that are JSON from those that are not, without parsing each.
 *
 * @module
 */
import type { ChatReply } from "./chat.ts";
import { Chunk, isReply } from "./chunk.ts";
import { RouterError } from "./errors.ts";
import { readEvent } from "./sse.ts";

/** How much of two events must be the same for the second to be taken for JSON as the first is. */
const sameStart = 24;
const sameEnd = 5;

/** Whether two events begin and end in the same way. */
function isAlike(event: Uint8Array, known: Uint8Array): boolean {
  const { length } = event;
  if (length < sameStart + sameEnd) return false;
  for (let at = 0; at < sameStart; at++) if (event[at] !== known[at]) return false;
  for (let at = 1; at <= sameEnd; at++) {
    if (event[length - at] !== known[known.length - at]) return false;
  }
  return true;
}

/** Reads the events of one stream. */
export class JsonEvents {
  /** The last one that was parsed. */
  #known: Uint8Array | undefined;
  readonly #each: boolean;
  readonly #note: (reply: ChatReply) => void;

  /**
   * @param each Whether every event has to be parsed.
   * @param note Told of those that were parsed: the first, and those that end an alternative.
   */
  constructor(each: boolean, note: (reply: ChatReply) => void) {
    this.#each = each;
    this.#note = note;
  }

  /**
   * A chunk of an event; `undefined` for one that is no JSON object and that nothing was said with. To
   * parse each would cost more than all else that is done with it: most are like the last that was parsed.
   *
   * @throws {RouterError} `upstream_unavailable` for one that words were lost with.
   */
  read(event: Uint8Array): Chunk | undefined {
    const known = this.#each ? undefined : this.#known;
    // Where no reason for an end is, "null" or a bracket stands before the end; where one is, a quote.
    if (
      known !== undefined && isAlike(event, known) &&
      event.at(-sameEnd - 1) === known.at(-sameEnd - 1)
    ) return Chunk.fromBytes(event, false);
    const { data = "" } = readEvent(event);
    const json = parseEvent(data);
    if (json === undefined) return undefined;
    this.#known = event.slice();
    this.#note(json);
    return Chunk.fromBytes(event, false, json);
  }
}

/**
 * The JSON object of an event; `undefined` for what is none and says nothing.
 *
 * @param parse Reads JSON, and throws for what is none.
 * @throws {RouterError} `upstream_unavailable` for what is no JSON object and names words: they are lost.
 */
export function parseEvent(
  data: string,
  parse: (text: string) => unknown = JSON.parse,
): ChatReply | undefined {
  try {
    const json = parse(data);
    if (isReply(json)) return json;
  } catch {
    // It is told below.
  }
  if (!/"(delta|content|text)"\s*:/.test(data)) return undefined;
  throw new RouterError(
    "upstream_unavailable",
    "The provider sent an event that is no JSON object",
    { detail: data.slice(0, 500) },
  );
}
