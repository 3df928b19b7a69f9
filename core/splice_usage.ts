/**
 * Putting the cost into a whole answer without printing it anew: everything else leaves as the bytes
 * it came in.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { WireUsage } from "./usage_report.ts";

const quote = 34;
const backslash = 92;
const open = 123;
const close = 125;

/**
 * Replaces an answer's `usage`, or adds it.
 *
 * @param bytes A JSON object, as the vendor sent it.
 * @param before Its `usage` as parsed; `undefined` where it has none.
 * @returns `undefined` where that cannot be done for certain: then the answer is to be printed anew.
 */
export function spliceUsage(
  bytes: Uint8Array,
  before: unknown,
  usage: WireUsage,
): Uint8Array<ArrayBuffer> | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (before === undefined) {
    const end = buffer.lastIndexOf(close);
    const empty = /^\s*\{\s*$/.test(buffer.toString("utf8", 0, Math.min(end, 16)));
    const field = `${empty ? "" : ","}"usage":${JSON.stringify(usage)}`;
    return end < 0 ? undefined : replace(buffer, end, end, field);
  }
  const key = buffer.lastIndexOf('"usage"');
  const start = key < 0 ? -1 : buffer.indexOf(open, key);
  if (start < 0 || !/^\s*:\s*$/.test(buffer.toString("utf8", key + 7, start))) return undefined;
  const end = closing(buffer, start + 1);
  if (end === undefined) return undefined;
  // One more brace closes the answer: the usage that was found is the answer's own.
  const last = closing(buffer, end + 1);
  if (last === undefined || buffer.toString("utf8", last + 1).trim() !== "") return undefined;
  const found = JSON.stringify(JSON.parse(buffer.toString("utf8", start, end + 1)));
  if (found !== JSON.stringify(before)) return undefined;
  return replace(buffer, start, end + 1, JSON.stringify(usage));
}

/** Where the brace stands that closes what was opened before `from`. */
function closing(bytes: Uint8Array, from: number): number | undefined {
  let depth = 1;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) {
      for (at++; at < bytes.length && bytes[at] !== quote; at++) {
        if (bytes[at] === backslash) at++;
      }
    } else if (byte === open) depth++;
    else if (byte === close && --depth === 0) return at;
  }
  return undefined;
}

function replace(bytes: Buffer, from: number, to: number, text: string): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(bytes.length - (to - from) + Buffer.byteLength(text));
  joined.set(bytes.subarray(0, from));
  const written = Buffer.from(joined.buffer).write(text, from);
  joined.set(bytes.subarray(to), from + written);
  return joined;
}
