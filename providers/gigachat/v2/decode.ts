// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's v2 answers as those of v1, whose decoder makes them OpenAI's.
 *
 * @module
 */
import type { Call, ChatBody, ChatReply, Decoder } from "xrouter/provider";
import { parseEvent } from "../../../core/json_events.ts";
import { parseExactly } from "../exact_json.ts";
import { Citations } from "./citations.ts";
import type { V2Part } from "./messages.ts";
import {
  messagesOf,
  partsOf,
  sharedFields,
  stateIn,
  toV1FinishReason,
  toV1Usage,
  type V2Answer,
  type V2Reply,
} from "./reply.ts";
import type { V2Settings } from "./settings.ts";

/** A message of v1, or the part of it that is new. */
type Message = Record<string, unknown>;

type V2Call = NonNullable<V2Part["function_call"]>;

/** Translates one answer. */
export class V2Decoder implements Decoder {
  readonly #v1: Decoder;
  readonly #settings: V2Settings;
  /** The client takes one call an answer. */
  readonly #single: boolean;
  readonly #citations = new Citations();
  /** Calls wait for the end, because the id that ties them together may come with it. */
  #calls: { function_call: V2Call }[] = [];
  readonly #callIds = new Set<unknown>();
  #state: string | undefined;
  #finished = false;
  #hasUsage = false;

  /**
   * @param v1 The decoder of v1's answer to the same request.
   * @param body The request in OpenAI's shape.
   * @param call The call that is answered.
   */
  constructor(v1: Decoder, body: ChatBody, { settings }: Call<V2Settings>) {
    this.#v1 = v1;
    this.#settings = settings;
    const older = !body.tools?.length && Boolean(body.functions ?? body.function_call);
    this.#single = older || body.parallel_tool_calls === false;
  }

  /** The client's answer is complete, whatever follows. */
  get ended(): boolean {
    return this.#v1.ended ?? false;
  }

  /** GigaChat's answer is complete: v2 says so by its reason, and sends no `[DONE]`. */
  get done(): boolean {
    return this.#finished && this.#hasUsage;
  }

  /**
   * A whole answer.
   *
   * @throws {RouterError} as v1's decoder, also for what is no answer.
   */
  whole(json: unknown): ChatReply {
    if (!isReply(json)) return this.#v1.whole(json);
    const message: Message = { role: "assistant", content: "" };
    for (const delta of this.#deltas(json)) {
      for (const [field, value] of Object.entries(delta)) {
        message[field] = joined(message[field], value);
      }
    }
    Object.assign(message, this.#annotations(), this.#stateField());
    const [first, ...others] = this.#takeCalls();
    const reason = toV1FinishReason(json.finish_reason ?? "stop", first !== undefined);
    // v1 has one call a message: each of the others comes as a choice of its own.
    const messages = [{ ...message, ...first }, ...others];
    const { choices, ...reply } = this.#v1.whole({
      ...sharedFields(json),
      choices: messages.map((message, index) => ({ index, message, finish_reason: reason })),
      ...(json.usage && { usage: toV1Usage(json.usage, this.#settings) }),
    });
    const [answer, ...more] = choices;
    // An answer that was cut at a stop sequence calls nothing.
    const calls = answer!.message?.tool_calls;
    calls?.push(...more.flatMap(({ message }) => message?.tool_calls ?? []));
    return { ...reply, choices: [answer!] };
  }

  /**
   * An event of a stream. Named events of tools are GigaChat's own business.
   *
   * @throws {RouterError} as v1's decoder.
   */
  event(data: string, name?: string): ChatReply[] {
    if (name?.startsWith("response.tool.")) return [];
    const json = parseEvent(data, parseExactly);
    if (json === undefined) return [];
    if (!isReply(json)) {
      const known = name?.startsWith("response.") && !("status" in Object(json));
      return known ? [] : this.#v1.event(data);
    }
    const shared = sharedFields(json);
    const events: ChatReply[] = [];
    const push = (delta: Message, reason?: string, usage?: unknown) => {
      const choice = { index: 0, delta, ...(reason !== undefined && { finish_reason: reason }) };
      const event = { choices: [choice], ...shared, ...(usage !== undefined && { usage }) };
      events.push(...this.#v1.event(JSON.stringify(event)));
    };
    for (const delta of this.#deltas(json)) push(delta);
    const usage = json.usage ? toV1Usage(json.usage, this.#settings) : undefined;
    this.#hasUsage ||= usage !== undefined;
    const { finish_reason: reason } = json;
    if (reason) {
      const calls = this.#takeCalls();
      for (const call of calls) push(call);
      push(this.#annotations(), toV1FinishReason(reason, calls.length > 0), usage);
      this.#finished = true;
    } else if (usage !== undefined) {
      events.push(...this.#v1.event(JSON.stringify({ choices: [], ...shared, usage })));
    }
    return events;
  }

  /** What an answer, or an event of one, says anew; its calls are kept. */
  *#deltas(reply: V2Reply): Generator<Message> {
    // The event that ends an answer may repeat what it has called.
    const told = reply.finish_reason ? this.#calls.map((call) => call.function_call) : [];
    for (const message of messagesOf(reply)) {
      this.#state = stateIn(message) ?? this.#state;
      if (typeof message.reasoning_content === "string") {
        yield { reasoning_content: message.reasoning_content };
      }
      yield* this.#partDeltas(message, told);
    }
    this.#state = stateIn(reply) ?? this.#state;
  }

  *#partDeltas(message: V2Answer, told: V2Call[]): Generator<Message> {
    for (const { text, function_call: call, files, inline_data } of partsOf(message)) {
      if (typeof text === "string") {
        if (message.role === "reasoning") yield { reasoning_content: text };
        else if (message.role === undefined || message.role === "assistant") {
          this.#citations.push(text);
          yield { content: text };
        }
      }
      if (call) this.#keepCall(call, told);
      if (files) yield { files };
      if (inline_data) {
        this.#citations.add(inline_data);
        yield { inline_data };
      }
    }
  }

  /** @param told Calls of earlier events which this one has not repeated yet. */
  #keepCall(call: V2Call, told: V2Call[]): void {
    const { id } = call;
    if (id && this.#callIds.has(id)) return;
    this.#callIds.add(id);
    const repeated = told.findIndex((each) => isSame(each, call));
    if (repeated >= 0) told.splice(repeated, 1);
    else if (this.#calls.length === 0 || !this.#single) this.#calls.push({ function_call: call });
  }

  #takeCalls(): Message[] {
    return this.#calls.splice(0).map((call) => ({ ...call, ...this.#stateField() }));
  }

  #stateField(): Message {
    return this.#state === undefined ? {} : { functions_state_id: this.#state };
  }

  #annotations(): Message {
    const annotations = this.#citations.annotations();
    return annotations.length > 0 ? { annotations } : {};
  }
}

/** Texts and lists of several parts follow each other; of other fields the last holds. */
function joined(before: unknown, value: unknown): unknown {
  if (typeof before === "string" && typeof value === "string") return before + value;
  return Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value;
}

/** Whether two calls are one; an id may be missing. */
function isSame(one: V2Call, other: V2Call): boolean {
  return !(one.id && other.id) && one.name === other.name &&
    JSON.stringify(one.arguments) === JSON.stringify(other.arguments);
}

function isReply(json: unknown): json is V2Reply {
  const reply = Object(json) as V2Reply;
  return Array.isArray(reply.messages) || Boolean(reply.finish_reason ?? reply.usage);
}
