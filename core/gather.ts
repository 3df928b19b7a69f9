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
  /** Calls of tools, by what tells them apart. */
  readonly calls: Map<unknown, Fields>;
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
      this.#shared[field] = value ?? this.#shared[field];
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
        message: { ...message, ...calls.size > 0 && { tool_calls: [...calls.values()] } },
        finish_reason: reasonOf(fields) ?? "stop",
      }));
    return { ...this.#shared, object: "chat.completion", choices };
  }

  #addChoice({ index, delta, message, ...fields }: ChatChoice, place: number): void {
    const choice = entryOf(this.#choices, index ?? place, () => ({
      fields: {},
      message: { role: "assistant", content: null },
      calls: new Map(),
    }));
    join(choice.fields, fields, none);
    const { tool_calls: calls, ...words }: ChatMessage = { ...message, ...delta };
    join(choice.message, words, wordsOf);
    for (const call of Array.isArray(calls) ? calls : []) {
      if (!isReply(call)) continue;
      const { index, ...piece } = call as Fields;
      join(entryOf(choice.calls, index ?? piece.id, () => ({})), piece, wordsOfCall);
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
  let silence: ReturnType<typeof setTimeout> | undefined;
  try {
    for (let group = await upstream.read(); group; group = await upstream.read()) {
      for (const chunk of group.chunks) {
        if (chunk.json !== undefined) answer.add(chunk.json);
        bytes += chunk.bytes.length;
      }
      if (bytes > maxReplyBytes) throw tooLong(maxReplyBytes);
      if (upstream.finished) {
        silence ??= setTimeout(() => void upstream.cancel(), silenceOf(upstream, Infinity));
      }
    }
    if (!isComplete(upstream, answer, true)) throw brokenOff();
  } catch (error) {
    // However its call ended.
    if (!isComplete(upstream, answer)) throw error;
  } finally {
    clearTimeout(silence);
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
      fields[field] = value ?? before ?? null;
    }
  }
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let entry = map.get(key);
  if (entry === undefined) map.set(key, entry = make());
  return entry;
}
