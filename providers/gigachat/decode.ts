// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * GigaChat's v1 answers as OpenAI's. Fields that neither names pass through.
 *
 * @module
 */
import {
  type ChatBody,
  type ChatReply,
  type Decoder,
  RouterError,
  type WireUsage,
} from "xrouter/provider";
import { faultByStatus } from "../../core/fault.ts";
import { mintCallId } from "./call_id.ts";
import { fault } from "./fault.ts";
import { FunctionNames } from "./function_names.ts";

/** GigaChat's reasons that OpenAI's clients know by another name; `error` is thrown instead. */
const finishReasons: ReadonlyMap<string, string> = new Map([
  ["function_call", "tool_calls"],
  ["blacklist", "content_filter"],
]);

type Choice = ChatReply["choices"][number];
type Message = NonNullable<Choice["message"]>;

/** An answer as far as it is read; `message` in a whole answer, `delta` in a stream. */
interface GigachatReply {
  choices: (Choice & { message?: GigachatAnswer; delta?: GigachatAnswer })[];
  usage?: GigachatUsage | null;
  [field: string]: unknown;
}

interface GigachatAnswer {
  role?: string;
  content?: string | null;
  function_call?: { name?: string; arguments?: unknown };
  functions_state_id?: string;
  [field: string]: unknown;
}

interface GigachatUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  precached_prompt_tokens?: number;
  [field: string]: unknown;
}

/** Translates one answer. GigaChat gives it no id, so it gets one that all its events share. */
export class GigachatDecoder implements Decoder {
  readonly #body: ChatBody;
  readonly #id = `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`;
  /** The client asks by the older field `functions` and expects `function_call` back. */
  readonly #older: boolean;
  #calls = 0;
  #begun = false;
  #finished = false;
  #usage: GigachatUsage | undefined;

  /** @param body The request in OpenAI's shape. */
  constructor(body: ChatBody) {
    this.#body = body;
    this.#older = !body.tools?.length && Boolean(body.functions ?? body.function_call);
  }

  /**
   * A whole answer.
   *
   * @throws {RouterError} `upstream_unavailable` when it is no answer, or one that GigaChat itself
   * calls broken.
   */
  whole(json: unknown): ChatReply {
    const { choices, usage, ...shared } = readReply(json);
    return {
      id: this.#id,
      ...shared,
      object: "chat.completion",
      choices: choices.map(({ message, finish_reason: reason, ...rest }) => ({
        ...rest,
        message: this.#message({ role: "assistant", ...message }),
        finish_reason: this.#finishReason(reason) ?? "stop",
      })),
      ...(usage && { usage: toWireUsage(usage) }),
    };
  }

  /**
   * An event of a stream. What is no JSON is skipped; where a stream was cut inside an event, its
   * end is missing too, and the relay sees that.
   *
   * @throws {RouterError} as {@linkcode GigachatDecoder.whole}.
   */
  event(data: string): ChatReply[] {
    const json = parse(data);
    if (json === undefined) return [];
    const { choices, usage, ...rest } = readReply(json);
    const shared = { id: this.#id, ...rest, object: "chat.completion.chunk" };
    const events: ChatReply[] = [];
    const spoken = choices.filter(isSpoken).map((choice) => this.#chunkChoice(choice));
    if (spoken.length > 0) events.push({ ...shared, choices: spoken });
    // OpenAI reports usage once, after the end, in an event of its own.
    this.#usage = usage ?? this.#usage;
    if (this.#finished && this.#usage !== undefined) {
      events.push({ ...shared, choices: [], usage: toWireUsage(this.#usage) });
      this.#usage = undefined;
    }
    return events;
  }

  #chunkChoice(
    { delta, finish_reason: reason, ...rest }: GigachatReply["choices"][number],
  ): Choice {
    const message = this.#message({ ...(!this.#begun && { role: "assistant" }), ...delta });
    for (const call of message.tool_calls ?? []) call.index = this.#calls++;
    this.#begun = true;
    if (reason) this.#finished = true;
    return { ...rest, delta: message, finish_reason: this.#finishReason(reason) };
  }

  #message({ function_call: call, content, ...rest }: GigachatAnswer): Message {
    const spoken = { ...rest, ...(content !== undefined && { content }) };
    if (!call) return spoken;
    const given = call.arguments ?? {};
    const asked = typeof given === "string" ? given : JSON.stringify(given);
    const name = call.name ?? "";
    const calling = { ...spoken, content: content || null };
    if (this.#older) return { ...calling, function_call: { name, arguments: asked } };
    return {
      ...calling,
      tool_calls: [{
        id: mintCallId(rest.functions_state_id),
        type: "function",
        function: { name: new FunctionNames(this.#body).inward(name), arguments: asked },
      }],
    };
  }

  #finishReason(reason: string | null | undefined): string | null {
    if (!reason) return null;
    if (reason === "error") {
      throw new RouterError(
        "upstream_unavailable",
        "GigaChat called a function with arguments that do not fit its parameters",
        { detail: 'finish_reason "error"' },
      );
    }
    if (reason === "function_call" && this.#older) return reason;
    return finishReasons.get(reason) ?? reason;
  }
}

/** A built-in function's progress is no part of the answer. */
function isSpoken({ delta, finish_reason: reason }: GigachatReply["choices"][number]): boolean {
  return delta?.role !== "function_in_progress" || Boolean(reason);
}

/** In GigaChat cached tokens stand beside those of the prompt, in OpenAI they are a part of them. */
function toWireUsage(usage: GigachatUsage): WireUsage {
  const { precached_prompt_tokens: precached, ...rest } = usage;
  const cached = Number(precached ?? 0);
  const prompt = Number(usage.prompt_tokens ?? 0) + cached;
  const completion = Number(usage.completion_tokens ?? 0);
  return {
    ...rest,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

function readReply(json: unknown): GigachatReply {
  const reply = json as { choices?: unknown; status?: unknown; message?: unknown };
  if (Array.isArray(reply?.choices) && reply.choices.every((choice) => choice !== null)) {
    return reply as GigachatReply;
  }
  // After a good beginning GigaChat may still say {"status":500,"message":"…"}.
  if (typeof reply?.status === "number") {
    const text = JSON.stringify(reply);
    throw fault(reply.status, text) ?? faultByStatus("gigachat", reply.status, text, new Headers());
  }
  throw new RouterError("upstream_unavailable", "GigaChat answered with something unexpected", {
    detail: JSON.stringify(json)?.slice(0, 500) ?? "",
  });
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
