// deno-lint-ignore-file camelcase -- the names of the wire
/** GigaChat's v1 answers, whole and as the bytes of a stream. */

import type { FakeChat } from "./fake_gigachat_rules.ts";

/** The chat models of api.giga.chat. */
export const realModels: readonly string[] = [
  "GigaChat",
  "GigaChat-Pro",
  "GigaChat-Max",
  "GigaChat-2",
  "GigaChat-2-Pro",
  "GigaChat-2-Max",
  "GigaChat-3-Lightning",
  "GigaChat-3-Pro",
  "GigaChat-3-Ultra",
];

/** What the fake model says to one request. */
export interface FakeReply {
  /** The text; its parts are the stream's deltas. A plain string is cut into phrases. */
  content?: string | Iterable<string> | AsyncIterable<string>;
  /** A call, which comes in one delta together with the end. */
  functionCall?: { name: string; arguments: unknown; stateId?: string };
  /** Progress of a built-in function, told before the text. */
  progress?: readonly string[];
  reasoning?: string;
  /** `stop`, or `function_call` for a call. */
  finish?: string;
  /** When it was made, in seconds since 1970. */
  created?: number;
  /** Counted at four characters a token if absent; `null` sends none. */
  usage?: FakeUsage | null;
}

/** GigaChat's usage: `prompt_tokens` without those that came from the cache. */
export interface FakeUsage {
  prompt_tokens: number;
  completion_tokens: number;
  precached_prompt_tokens: number;
}

/** How the bytes of streams look; what the real ones do is the default. */
export interface StreamHabits {
  /** Line ends. */
  newline: "\n" | "\r\n";
  /** Bytes a write; 0 writes event by event. */
  slice: number;
  /** The stream ends with `[DONE]`. */
  done: boolean;
  /** Breaks the connection after this many events. */
  breakAfter?: number;
  /** An event that is put in after the first one, as it is. */
  intruder?: string;
}

/** The habits of the real GigaChat. */
export const realHabits: StreamHabits = { newline: "\n", slice: 0, done: true };

/** What an answer repeats of its request. */
export interface AnswerHead {
  /** The served build: `GigaChat:2.0.28.2`. */
  model: string;
  /** Tokens of the request, without those from the cache. */
  promptTokens: number;
  /** Tokens of the request that came from the cache. */
  cachedTokens: number;
}

const created = 1_768_996_171;

/** A whole answer as JSON. */
export async function wholeAnswer(reply: FakeReply, head: AnswerHead): Promise<unknown> {
  let content = "";
  for await (const phrase of phrases(reply.content)) content += phrase;
  return {
    choices: [{
      message: {
        role: "assistant",
        content,
        ...(reply.reasoning !== undefined && { reasoning_content: reply.reasoning }),
        ...callFields(reply),
      },
      index: 0,
      finish_reason: finishOf(reply),
    }],
    created: reply.created ?? created,
    model: head.model,
    object: "chat.completion",
    ...usageFields(reply, head, content),
  };
}

/** The events of a stream, each the text of one `data:` field. */
export async function* streamEvents(reply: FakeReply, head: AnswerHead): AsyncGenerator<string> {
  const shared = {
    created: reply.created ?? created,
    model: head.model,
    object: "chat.completion",
  };
  const event = (delta: object, more: object = {}, end: object = {}) =>
    JSON.stringify({
      choices: [{ delta, index: 0, ...more }],
      ...shared,
      ...end,
    });
  for (const content of reply.progress ?? []) {
    yield event({ content, role: "function_in_progress" });
  }
  let role: { role?: string } = { role: "assistant" };
  if (reply.reasoning !== undefined) {
    yield event({ content: "", reasoning_content: reply.reasoning, ...role });
    role = {};
  }
  let content = "";
  for await (const phrase of phrases(reply.content)) {
    content += phrase;
    yield event({ content: phrase, ...role });
    role = {};
  }
  yield event(
    { content: "", ...role, ...callFields(reply) },
    { finish_reason: finishOf(reply) },
    usageFields(reply, head, content),
  );
}

/** The part of an exchange that its answer writes. */
export interface Exchange {
  /** Told how the answer ended. */
  readonly ended: (how: StreamEnd) => void;
  /** What was answered. */
  readonly answers: unknown[];
}

/** Tells of every event of a stream. */
export async function* heard(
  events: AsyncIterable<string>,
  tell: (event: string) => void,
): AsyncGenerator<string> {
  for await (const event of events) {
    tell(event);
    yield event;
  }
}

/** How an answer ended: sent to its last byte, broken by the fake, or left by the client. */
export type StreamEnd = "sent" | "broken" | "aborted";

/** The bytes of a stream, cut the way the habits want. */
export function streamBytes(
  events: AsyncGenerator<string>,
  habits: StreamHabits,
  ended: (how: StreamEnd) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  // An event with a name brings its fields with it.
  const frame = (event: string) => {
    const fields = event.startsWith("event: ") ? event : `data: ${event}`;
    return encoder.encode(`${fields}\n\n`.replaceAll("\n", habits.newline));
  };
  let waiting: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  let sent = 0;
  let over = false;
  async function next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (over) return undefined;
    if (sent++ === 1 && habits.intruder !== undefined) return frame(habits.intruder);
    const { value, done } = await events.next();
    if (!done) return frame(value);
    over = true;
    return habits.done ? frame("[DONE]") : undefined;
  }
  return new ReadableStream({
    async pull(controller) {
      if (waiting.length === 0) {
        if (sent === habits.breakAfter) {
          ended("broken");
          return controller.error(new Error("The fake breaks the stream"));
        }
        const bytes = await next();
        if (bytes === undefined) {
          ended("sent");
          return controller.close();
        }
        waiting = bytes;
      }
      const length = habits.slice > 0 ? habits.slice : waiting.length;
      controller.enqueue(waiting.slice(0, length));
      waiting = waiting.slice(length);
    },
    async cancel() {
      ended("aborted");
      await events.return(undefined);
    },
  }, { highWaterMark: 0 });
}

/** Calls the function that the request forces; otherwise says what it heard last. */
export function defaultReply({ messages, function_call: choice }: FakeChat): FakeReply {
  const forced = (choice as { name?: unknown } | undefined)?.name;
  if (typeof forced === "string") {
    const stateId = crypto.randomUUID();
    return { functionCall: { name: forced, arguments: { city: "Москва" }, stateId } };
  }
  return { content: `Вы сказали: ${messages.at(-1)!.content}` };
}

/** What `/v1/models` says: the chat models, and what else stands among them. */
export function modelList(chatModels: readonly string[]): unknown {
  const entry = (type: string) => (id: string) => ({
    id,
    object: "model",
    owned_by: "salutedevices",
    type,
  });
  return {
    object: "list",
    data: [
      ...chatModels.map(entry("chat")),
      ...["Embeddings", "EmbeddingsGigaR"].map(entry("embedder")),
      ...["GigaCheckDetection"].map(entry("aicheck")),
      ...["GigaFilter"].map(entry("filter")),
    ],
  };
}

/** Tokens of a text, by the fake's rule of four characters each. */
export function tokensOf(text: string): number {
  return Math.ceil(text.length / 4);
}

function phrases(content: FakeReply["content"] = ""): Iterable<string> | AsyncIterable<string> {
  return typeof content === "string" ? content.match(/.{1,12}/gsu) ?? [] : content;
}

function finishOf({ finish, functionCall }: FakeReply): string {
  return finish ?? (functionCall === undefined ? "stop" : "function_call");
}

function callFields({ functionCall: call }: FakeReply): Record<string, unknown> {
  if (call === undefined) return {};
  const { stateId, ...named } = call;
  return { function_call: named, ...(stateId !== undefined && { functions_state_id: stateId }) };
}

function usageFields(
  reply: FakeReply,
  { promptTokens, cachedTokens }: AnswerHead,
  content: string,
): Record<string, unknown> {
  if (reply.usage === null) return {};
  const usage = reply.usage ?? {
    prompt_tokens: promptTokens,
    completion_tokens: tokensOf(content + JSON.stringify(reply.functionCall ?? "")),
    precached_prompt_tokens: cachedTokens,
  };
  // What is billed: GigaChat leaves cached tokens out of the sum.
  return { usage: { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens } };
}
