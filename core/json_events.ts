/**
 * Tells the events of a stream that are JSON from those that are not, without parsing each.
 *
 * @module
 */
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
  #finished = false;

  /** Whether one has said why the answer ends. */
  get finished(): boolean {
    return this.#finished;
  }

  /**
   * A chunk of an event; `undefined` for one that is no JSON and that nothing was said with. To parse
   * each would cost more than all else that is done with it: most are like the last that was parsed.
   *
   * @throws {RouterError} `upstream_unavailable` for one that words were lost with.
   */
  read(event: Uint8Array): Chunk | undefined {
    if (this.#known !== undefined && isAlike(event, this.#known)) {
      // Where no reason is, "null" or a bracket stands before the end; where one is, a quote.
      if (event.at(-sameEnd - 1) !== this.#known.at(-sameEnd - 1)) {
        this.#finished ||= saysWhy(readEvent(event).data ?? "");
      }
      return Chunk.fromBytes(event, false);
    }
    const { data = "" } = readEvent(event);
    this.#finished ||= saysWhy(data);
    const json = parse(data);
    if (json !== undefined) {
      this.#known = event.slice();
      return Chunk.fromBytes(event, false, isReply(json) ? json : undefined);
    }
    if (!/"(delta|content)"/.test(data)) return undefined;
    throw new RouterError("upstream_unavailable", "The provider sent an event that is no JSON", {
      detail: data.slice(0, 500),
    });
  }
}

function saysWhy(data: string): boolean {
  return /"finish_reason":\s*"/.test(data);
}

/** `undefined` for what is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
