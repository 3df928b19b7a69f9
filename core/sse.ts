/**
 * Server-sent events: cutting a byte stream into events, and reading the data of one.
 *
 * Lines end with LF or CRLF. An event ends at an empty line; how the network cut the bytes does not
 * matter.
 *
 * @module
 */

const lf = 10;
const cr = 13;
const blank = 32;

/** The most bytes one event may have; a longer one is a broken provider. */
export const maxEventBytes = 16 * 1024 * 1024;

/** Cuts bytes into events. One per stream: it keeps what the network cut off. */
export class EventCutter {
  #rest: Uint8Array | undefined;
  /** Where a rest that was continued lies; what is behind it is free. */
  #room: Uint8Array | undefined;

  /**
   * Takes the next bytes of the stream.
   *
   * @returns The events that are now complete, each with its closing empty line.
   * @throws {RangeError} when one event grows over {@linkcode maxEventBytes}.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    let from = 0;
    let search = 0;
    if (this.#rest !== undefined) {
      // The closing empty line may straddle the cut: look again at the last three bytes.
      search = Math.max(0, this.#rest.length - 3);
      bytes = this.#continued(this.#rest, bytes);
      this.#rest = undefined;
    }
    const events: Uint8Array[] = [];
    for (let at = bytes.indexOf(lf, search); at !== -1; at = bytes.indexOf(lf, at + 1)) {
      const next = bytes[at + 1];
      const end = next === lf ? at + 2 : next === cr && bytes[at + 2] === lf ? at + 3 : 0;
      if (end === 0) continue;
      events.push(bytes.subarray(from, end));
      from = end;
      at = end - 1;
    }
    if (from < bytes.length) {
      this.#rest = bytes.subarray(from);
      if (this.#rest.length > maxEventBytes) {
        throw new RangeError(`An event of the stream is longer than ${maxEventBytes} bytes`);
      }
    }
    return events;
  }

  /** A rest with what follows it, in place where there is room: an event may come in a thousand reads. */
  #continued(rest: Uint8Array, bytes: Uint8Array): Uint8Array {
    const length = rest.length + bytes.length;
    let start = rest.byteOffset;
    if (this.#room?.buffer !== rest.buffer || start + length > this.#room.length) {
      start = 0;
      this.#room = new Uint8Array(2 * length);
      this.#room.set(rest);
    }
    this.#room.set(bytes, start + rest.length);
    return this.#room.subarray(start, start + length);
  }

  /** What is left when the stream ends: an event whose closing empty line is missing, or nothing. */
  rest(): Uint8Array | undefined {
    const rest = this.#rest;
    this.#rest = undefined;
    return rest;
  }
}

/** The fields of one event that matter here. */
export interface EventFields {
  /** The `event:` field. */
  name?: string;
  /** The `data:` lines, joined by LF; absent in a comment. */
  data?: string;
}

const decoder = new TextDecoder();

/** Reads an event's fields. Bytes that are not UTF-8 become U+FFFD. */
export function readEvent(bytes: Uint8Array): EventFields {
  const fields: EventFields = {};
  for (const raw of decoder.decode(bytes).split("\n")) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const field = line.slice(0, colon);
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") {
      fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
    } else if (field === "event") fields.name = value;
  }
  return fields;
}

/** Whether an event's data begins with `prefix`, blanks aside, without decoding the event. */
export function dataStartsWith(event: Uint8Array, prefix: Uint8Array): boolean {
  // "data:"; an event with other fields first is decoded by the caller.
  if (
    event[0] !== 100 || event[1] !== 97 || event[2] !== 116 || event[3] !== 97 || event[4] !== 58
  ) {
    return false;
  }
  let at = 5;
  for (let i = 0; i < prefix.length; i++) {
    while (event[at] === blank) at++;
    if (event[at++] !== prefix[i]) return false;
  }
  return true;
}

/** Joins byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
