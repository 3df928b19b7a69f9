/**
 * The events of a stream as the whole answer that they make, for a client that wants it whole.
 *
 * @module
 */
import {
  type ChatChoice,
  type ChatMessage,
  type ChatReply,
  endedIn,
  reasonOf,
  saysFailed,
} from "./chat.ts";
import { isReply } from "./chunk.ts";
import { brokenOff, isComplete, silenceOf } from "./read_ahead.ts";
import { maxReplyBytes, tooLong } from "./read_whole.ts";
import { Alarm } from "./ticker.ts";
import type { Upstream } from "./upstream.ts";

type Fields = Record<string, unknown>;

/** The fields of a message whose text comes in pieces. */
const wordsOf: ReadonlySet<string> = new Set([
  "audio.data",
  "audio.transcript",
  "content",
  "function_call.arguments",
  "reasoning",
  "reasoning_content",
  "refusal",
]);

/** Those of a call. */
const wordsOfCall: ReadonlySet<string> = new Set(["custom.input", "function.arguments"]);

const none: ReadonlySet<string> = new Set();

/** What has come of one alternative. */
interface GatheredChoice {
  readonly fields: Fields;
  readonly message: Fields;
  readonly calls: GatheredCall[];
}

/** What has come of a call of a tool. */
interface GatheredCall {
  readonly index: unknown;
  readonly fields: Fields;
}

/** A whole answer in the making: the opposite of `toEvents`. */
export class GatheredAnswer {
  readonly #shared: Fields = {};
  readonly #choices = new Map<number, GatheredChoice>();
  /** Whether an alternative has said why it ends. */
  finished = false;
  /** Whether the answer has said that it failed. */
  failed = false;

  /** Takes an event. */
  add(event: ChatReply): void {
    this.finished ||= endedIn(event).length > 0;
    this.failed ||= saysFailed(event);
    const { choices, ...shared } = event;
    for (const [field, value] of Object.entries(shared)) {
      this.#shared[field] = newer(value, this.#shared[field]);
    }
    for (const [place, choice] of (Array.isArray(choices) ? choices : []).entries()) {
      if (isReply(choice)) this.#addChoice(choice, place);
    }
  }

  /** The answer, as far as it has come. */
  get reply(): ChatReply {
    const choices = [...this.#choices].sort(([one], [other]) => one - other)
      .map(([index, { fields, message, calls }]): ChatChoice => ({
        ...fields,
        index,
        message: {
          ...message,
          ...calls.length > 0 && { tool_calls: calls.map(({ fields }) => fields) },
        },
        finish_reason: reasonOf(fields) ?? "stop",
      }));
    return { ...this.#shared, object: "chat.completion", choices };
  }

  #addChoice({ index, delta, message, ...fields }: ChatChoice, place: number): void {
    const number = index ?? place;
    const choice = this.#choices.get(number) ??
      { fields: {}, message: { role: "assistant", content: null }, calls: [] };
    this.#choices.set(number, choice);
    join(choice.fields, fields, none);
    const { tool_calls: calls, ...words }: ChatMessage = { ...message, ...delta };
    join(choice.message, words, wordsOf);
    for (const call of Array.isArray(calls) ? calls : []) {
      if (!isReply(call)) continue;
      const { index, ...piece } = call as Fields;
      join(callOf(choice.calls, index, piece), piece, wordsOfCall);
    }
  }
}

/**
 * Reads a stream of events to its end.
 *
 * @returns The whole answer that the events make; the call may still be ending then.
 * @throws {RouterError} `upstream_unavailable` for an answer that is too long or not complete, and
 * what {@linkcode Upstream.begin} and {@linkcode Upstream.read} throw.
 */
export async function gather(upstream: Upstream): Promise<ChatReply> {
  await upstream.begin();
  const answer = new GatheredAnswer();
  let bytes = 0;
  let silence: Alarm | undefined;
  try {
    for (let group = await upstream.read(); group; group = await upstream.read()) {
      for (const chunk of group.chunks) {
        if (chunk.json !== undefined) answer.add(chunk.json);
        bytes += chunk.bytes.length;
      }
      if (bytes > maxReplyBytes) throw tooLong(maxReplyBytes);
      if (upstream.finished) {
        silence ??= new Alarm(silenceOf(upstream, Infinity), () => void upstream.cancel());
      }
    }
    if (!isComplete(upstream, answer, true)) throw brokenOff();
  } catch (error) {
    // However its call ended.
    if (!isComplete(upstream, answer)) throw error;
  } finally {
    silence?.stop();
  }
  // Not waited for: the answer is there.
  void upstream.finish();
  return answer.reply;
}

/**
 * Adds what is new: to texts in pieces and to lists more, of all else what holds now.
 *
 * @param inPieces The fields whose text comes in pieces.
 * @param path Where `fields` stand in what these are fields of.
 */
function join(fields: Fields, more: Fields, inPieces: ReadonlySet<string>, path = ""): void {
  for (const [field, value] of Object.entries(more)) {
    const before = Object.hasOwn(fields, field) ? fields[field] : undefined;
    const place = path + field;
    if (Array.isArray(value)) {
      const list = Array.isArray(before) ? before : fields[field] = [] as unknown[];
      for (const item of value) list.push(item);
    } else if (isReply(value)) {
      const nested = isReply(before) ? before : fields[field] = {} as Fields;
      join(nested, value, inPieces, `${place}.`);
    } else if (typeof before === "string" && typeof value === "string" && inPieces.has(place)) {
      fields[field] = before + value;
    } else {
      fields[field] = newer(value, before) ?? null;
    }
  }
}

/** What holds of two values of a field: pieces that say nothing more of it may leave it empty. */
function newer(value: unknown, before: unknown): unknown {
  return (value === "" && typeof before === "string" ? undefined : value) ?? before;
}

/**
 * The call that a piece belongs to, a new one where it begins one. They are told apart by their index
 * and id; without either a call begins with its name.
 */
function callOf(calls: GatheredCall[], index: unknown, piece: Fields): Fields {
  const { id } = piece;
  const named = Boolean((piece.function as Fields | undefined)?.name);
  const known = index !== undefined
    ? calls.findLast((call) => call.index === index)
    : id
    ? calls.findLast(({ fields }) => fields.id === id)
    : named
    ? undefined
    : calls.at(-1);
  const isOther = Boolean(id) && Boolean(known?.fields.id) && known?.fields.id !== id;
  if (known !== undefined && !isOther) return known.fields;
  const fields: Fields = {};
  calls.push({ index, fields });
  return fields;
}
