// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's v1 answers as OpenAI's. Fields that neither names pass through.
 *
 * @module
 */
import { type ChatBody, type ChatReply, type Decoder, RouterError } from "xrouter/provider";
import { parseEvent } from "../../core/json_events.ts";
import { AnswerText } from "./answer_text.ts";
import { mintCallId } from "./call_id.ts";
import { parseExactly } from "./exact_json.ts";
import { FunctionNames, usesOlderFunctions } from "./function_names.ts";
import {
  type GigachatAnswer,
  type GigachatChoice,
  type GigachatUsage,
  isSpoken,
  readReply,
  toWireUsage,
} from "./reply.ts";
import type { Piece } from "./think_splitter.ts";

/** GigaChat's reasons as OpenAI's clients know them; of calls there is another, `error` is thrown. */
const finishReasons: ReadonlyMap<string, string> = new Map([
  ["length", "length"],
  ["blacklist", "content_filter"],
  ["content_filter", "content_filter"],
]);

type Choice = ChatReply["choices"][number];
type Message = NonNullable<Choice["message"]>;

/** What has come of one alternative in a stream. */
interface Alternative {
  readonly text: AnswerText;
  /** Calls that were passed on. */
  calls: number;
  called: boolean;
  begun: boolean;
  finished: boolean;
}

/** Translates one answer. GigaChat gives it no id, so it gets one that all its events share. */
export class GigachatDecoder implements Decoder {
  readonly #body: ChatBody;
  readonly #id = `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  readonly #names: FunctionNames;
  /** The client asks by the older field `functions` and expects `function_call` back. */
  readonly #older: boolean;
  /** How many alternatives were asked for. */
  readonly #count: number;
  /** By the choice's index. */
  readonly #alternatives = new Map<number, Alternative>();
  #usage: GigachatUsage | undefined;
  /** A stop sequence was found, so that the client's answer is complete. */
  ended = false;

  /**
   * @param body The request in OpenAI's shape.
   * @param count How many alternatives GigaChat was asked for.
   */
  constructor(body: ChatBody, count = 1) {
    this.#body = body;
    this.#count = count;
    this.#names = new FunctionNames(body);
    this.#older = usesOlderFunctions(body);
  }

  /**
   * A whole answer.
   *
   * @throws {RouterError} `upstream_unavailable` when it is no answer, one that GigaChat itself
   * calls broken, or another document than was asked for.
   */
  whole(json: unknown): ChatReply {
    const { choices, usage, ...shared } = readReply(json);
    return this.#paidFor(usage, () => ({
      id: this.#id,
      ...shared,
      object: "chat.completion",
      choices: choices.map((choice) => this.#wholeChoice(choice)),
      ...(usage && { usage: toWireUsage(usage) }),
    }));
  }

  /**
   * An event of a stream. What is no JSON and says nothing is skipped.
   *
   * @throws {RouterError} as {@linkcode GigachatDecoder.whole}, and for an event whose words are lost.
   */
  event(data: string): ChatReply[] {
    const json = this.ended ? undefined : parseEvent(data, parseExactly);
    if (json === undefined) return [];
    const { choices, usage, ...rest } = readReply(json);
    const shared = { id: this.#id, ...rest, object: "chat.completion.chunk" };
    // OpenAI reports usage once, after the end, in an event of its own.
    this.#usage = usage ?? this.#usage;
    const events: ChatReply[] = this.#paidFor(this.#usage, () =>
      choices.filter(isSpoken)
        .flatMap((choice) => this.#chunkChoices(choice))
        .map((choice) => ({ ...shared, choices: [choice] })));
    if (this.#usage !== undefined && this.#hasFinished(1)) {
      events.push({ ...shared, choices: [], usage: toWireUsage(this.#usage) });
      this.#usage = undefined;
    }
    return events;
  }

  /** What `read` gives; where it fails, Sber wants to be paid for the answer all the same. */
  #paidFor<Result>(usage: GigachatUsage | null | undefined, read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (error instanceof RouterError && usage) error.spent = toWireUsage(usage);
      throw error;
    }
  }

  #wholeChoice({ message, finish_reason: given, ...rest }: GigachatChoice): Choice {
    const { text } = this.#alternative(rest.index);
    const answer: GigachatAnswer = { role: "assistant", ...message };
    const reason = this.#finishReason(given, Boolean(answer.function_call)) ?? "stop";
    if (typeof answer.content === "string") {
      const { content, reasoning } = plus(text.push(answer.content), text.end());
      answer.content = content;
      if (reasoning !== "") addReasoning(answer, reasoning);
    }
    if (text.stopped) {
      // What came after the sequence would not have been written.
      delete answer.function_call;
      return { ...rest, message: this.#message(answer), finish_reason: "stop" };
    }
    if (reason === "stop" && !answer.function_call) text.check();
    return { ...rest, message: this.#message(answer), finish_reason: reason };
  }

  /** What one event says of a choice; nothing while all of it is held back. */
  #chunkChoices({ delta, message, finish_reason, ...rest }: GigachatChoice): Choice[] {
    const answer: GigachatAnswer = { ...message, ...delta };
    const alternative = this.#alternative(rest.index);
    const { text } = alternative;
    if (text.stopped) return [];
    alternative.called ||= Boolean(answer.function_call);
    const reason = this.#finishReason(finish_reason, alternative.called);
    const said = text.push(typeof answer.content === "string" ? answer.content : "");
    const left = reason === null ? nothing : text.end();
    const isEnd = reason !== null || text.stopped;
    const choice = (delta: GigachatAnswer, reason: string | null) => ({
      ...rest,
      delta: this.#delta(delta, alternative),
      finish_reason: reason,
    });
    alternative.finished ||= isEnd;
    if (text.stopped) this.ended = this.#hasFinished(this.#count);
    else if (reason === "stop" && !alternative.called) text.check();

    const { content, reasoning } = plus(said, left);
    const given = answer.content;
    if (typeof given === "string") answer.content = content;
    const isHeld = Boolean(given) && answer.content === "";
    if (reasoning !== "") addReasoning(answer, reasoning);
    if (!isEnd) {
      return isHeld && Object.keys(answer).every(isShell) ? [] : [choice(answer, null)];
    }
    if (!text.stopped && left.content === "" && left.reasoning === "") {
      return [choice(answer, reason)];
    }
    // Some clients take no words from the event that ends an answer.
    const { function_call: call, functions_state_id: state, ...words } = answer;
    const end = text.stopped || !call ? {} : { function_call: call, functions_state_id: state };
    return [
      choice({ ...words, content }, null),
      choice(end as GigachatAnswer, text.stopped ? "stop" : reason),
    ];
  }

  /** The first delta names the role. */
  #delta(answer: GigachatAnswer, alternative: Alternative): Message {
    const message = this.#message({ ...(!alternative.begun && { role: "assistant" }), ...answer });
    for (const call of message.tool_calls ?? []) call.index = alternative.calls++;
    alternative.begun = true;
    return message;
  }

  #alternative(index: number): Alternative {
    const known = this.#alternatives.get(index);
    if (known !== undefined) return known;
    const text = new AnswerText(this.#body);
    const begins = { text, calls: 0, called: false, begun: false, finished: false };
    this.#alternatives.set(index, begins);
    return begins;
  }

  /** Whether all alternatives have come to their end, and that many have begun. */
  #hasFinished(count: number): boolean {
    return this.#alternatives.size >= count &&
      this.#alternatives.values().every(({ finished }) => finished);
  }

  #message({ function_call: call, content, ...rest }: GigachatAnswer): Message {
    const spoken = { ...rest, ...(content !== undefined && { content }) };
    if (!call) return spoken;
    const given = call.arguments ?? {};
    const asked = typeof given === "string" ? given || "{}" : JSON.stringify(given);
    const name = this.#names.inward(call.name ?? "");
    const calling = { ...spoken, content: content || null };
    if (this.#older) return { ...calling, function_call: { name, arguments: asked } };
    return {
      ...calling,
      tool_calls: [{
        id: mintCallId(rest.functions_state_id),
        type: "function",
        function: { name, arguments: asked },
      }],
    };
  }

  /** @param called A function was called: some answers end with `stop` even so. */
  #finishReason(reason: string | null | undefined, called: boolean): string | null {
    if (!reason) return null;
    if (reason === "error") {
      throw new RouterError(
        "upstream_unavailable",
        "GigaChat called a function with arguments that do not fit its parameters",
        { detail: 'finish_reason "error"' },
      );
    }
    const known = finishReasons.get(reason);
    if (known !== undefined) return known;
    if (!called) return "stop";
    return this.#older ? "function_call" : "tool_calls";
  }
}

const nothing: Piece = { content: "", reasoning: "" };

function plus(first: Piece, second: Piece): Piece {
  return {
    content: first.content + second.content,
    reasoning: first.reasoning + second.reasoning,
  };
}

/** Thoughts in the text follow those that GigaChat tells apart itself. */
function addReasoning(answer: GigachatAnswer, reasoning: string): void {
  const { reasoning_content: before } = answer;
  answer.reasoning_content = typeof before === "string" ? before + reasoning : reasoning;
}

/** Whether a field alone makes no event. */
function isShell(field: string): boolean {
  return field === "role" || field === "content";
}
