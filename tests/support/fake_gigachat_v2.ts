// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * The fake GigaChat's v2 chat: what its answers look like, whole and streamed. What it refuses stands
 * in `fake_gigachat_v2_rules.ts`.
 */
import {
  type AnswerHead,
  type Exchange,
  heard,
  streamBytes,
  type StreamHabits,
  tokensOf,
} from "./fake_gigachat_answer.ts";
import { refuse } from "./fake_gigachat_fault.ts";
import { checkChatV2, type FakeChatV2 } from "./fake_gigachat_v2_rules.ts";

/** What the fake model says to one request of v2. */
export interface FakeReplyV2 {
  /** The text; each part is an event of a stream. */
  content?: string | Iterable<string> | AsyncIterable<string>;
  /** Calls, all of them in the stream's last event. */
  calls?: readonly { name: string; arguments: unknown; id?: string }[];
  stateId?: string;
  /** A message of its own, under the role `reasoning`. */
  reasoning?: string;
  /** Built-in tools that report in the stream before the text. */
  tools?: readonly string[];
  /** The web search's sources, by number. */
  sources?: Record<string, { url: string; title: string }>;
  finish?: string;
  /** When it was made, in seconds since 1970. */
  created?: number;
  /** Counted if absent; `null` sends none. */
  usage?: FakeUsageV2 | null;
}

/** Token counts of v2. */
export interface FakeUsageV2 {
  input: number;
  cached: number;
  output: number;
}

/** How the fake's v2 behaves; what is recorded of it is the default. */
export class FakeV2 {
  /** What the model says. */
  reply: (chat: FakeChatV2) => FakeReplyV2 | Promise<FakeReplyV2> = defaultReply;
  /** The role of results that is taken. */
  toolRole: "tool" | "function" = "tool";
  /** Events have names, and no `[DONE]` follows them. */
  named = true;
}

/** What of the fake answers a chat. */
interface Fake {
  readonly v2: FakeV2;
  readonly models: readonly string[];
  readonly habits: StreamHabits;
}

/** Answers a chat. */
export async function answerChatV2(
  body: unknown,
  { v2, models, habits }: Fake,
  requestHeaders: Headers,
  { ended, answers }: Exchange,
): Promise<Response> {
  const refusal = checkChatV2(body, v2.toolRole);
  if (refusal !== undefined) return refuse(refusal.status, refusal.message);
  const chat = body as FakeChatV2;
  if (!models.includes(chat.model)) return refuse(404, "No such model");
  const reply = await v2.reply(chat);
  const promptTokens = tokensOf(JSON.stringify([chat.messages, chat.tools ?? []]));
  const head = { model: `${chat.model}:32.3.18.5`, promptTokens };
  const headers = {
    "x-request-id": crypto.randomUUID(),
    "x-session-id": requestHeaders.get("x-session-id") ?? crypto.randomUUID(),
  };
  if (chat.stream !== true) return Response.json(await wholeAnswer(reply, head), { headers });
  const events = heard(streamEvents(reply, head, v2.named), (event) => {
    answers.push(JSON.parse(event.slice(event.indexOf("{"))));
  });
  const bytes = streamBytes(events, { ...habits, done: !v2.named }, ended);
  return new Response(bytes, { headers: { ...headers, "content-type": "text/event-stream" } });
}

/** What an answer repeats of its request. */
export type Head = Pick<AnswerHead, "model" | "promptTokens">;

const created_at = 1_780_321_864;

/** Calls every function that is forced; otherwise says what it heard last. */
function defaultReply({ messages, tool_config: config }: FakeChatV2): FakeReplyV2 {
  if (config?.function_name !== undefined) {
    const stateId = crypto.randomUUID();
    return { calls: [{ name: config.function_name, arguments: { city: "Москва" } }], stateId };
  }
  return { content: `Вы сказали: ${messages.at(-1)!.content[0]!.text}` };
}

/** A whole answer as JSON. */
export async function wholeAnswer(reply: FakeReplyV2, head: Head): Promise<unknown> {
  let text = "";
  for await (const phrase of phrasesOf(reply)) text += phrase;
  const spoken = text === "" && reply.calls ? [] : [{ text, ...inlineData(reply) }];
  return {
    model: head.model,
    created_at: reply.created ?? created_at,
    messages: [
      ...reasoningOf(reply),
      { role: "assistant", ...stateOf(reply), content: [...spoken, ...partsOf(reply)] },
    ],
    ...endOf(reply, head, text),
  };
}

/** The events of a stream, each the text of its fields. */
export async function* streamEvents(
  reply: FakeReplyV2,
  head: Head,
  named: boolean,
): AsyncGenerator<string> {
  const event = (name: string, fields: object) => {
    const data = JSON.stringify({
      model: head.model,
      created_at: reply.created ?? created_at,
      ...fields,
    });
    return named ? `event: ${name}\ndata: ${data}` : data;
  };
  const delta = (message: object) => event("response.message.delta", { messages: [message] });
  for (const message of reasoningOf(reply)) yield delta(message);
  if (named) {
    for (const tool of reply.tools ?? []) {
      const execution = { tool_execution: { name: tool, status: "success" } };
      yield event("response.tool.in_progress", { tool });
      yield event("response.tool.completed", {
        messages: [{ role: "reasoning", content: [execution] }],
      });
    }
  }
  let text = "";
  for await (const phrase of phrasesOf(reply)) {
    text += phrase;
    yield delta({ role: "assistant", content: [{ text: phrase }] });
  }
  if (reply.sources) yield delta({ role: "assistant", content: [inlineData(reply)] });
  const calls = partsOf(reply);
  const called = { role: "assistant", ...stateOf(reply), content: calls };
  yield event("response.message.done", {
    ...(calls.length > 0 && { messages: [called] }),
    ...endOf(reply, head, text),
  });
}

function endOf(reply: FakeReplyV2, { promptTokens }: Head, text: string): object {
  const { usage = { input: promptTokens, cached: 0, output: tokensOf(text) } } = reply;
  return {
    finish_reason: reply.finish ?? (reply.calls ? "function_call" : "stop"),
    ...(usage !== null && {
      usage: {
        input_tokens: usage.input,
        input_tokens_details: { prompt_tokens: usage.input, cached_tokens: usage.cached },
        output_tokens: usage.output,
        total_tokens: usage.input + usage.output,
      },
    }),
  };
}

function partsOf({ calls = [] }: FakeReplyV2): object[] {
  return calls.map((call) => ({ function_call: { id: crypto.randomUUID(), ...call } }));
}

function stateOf({ stateId }: FakeReplyV2): object {
  return stateId === undefined ? {} : { tool_state_id: stateId };
}

function reasoningOf({ reasoning }: FakeReplyV2): object[] {
  return reasoning === undefined ? [] : [{ role: "reasoning", content: [{ text: reasoning }] }];
}

function inlineData({ sources }: FakeReplyV2): object {
  return sources === undefined ? {} : { inline_data: { images: [], sources } };
}

async function* phrasesOf({ content = "" }: FakeReplyV2): AsyncGenerator<string> {
  if (typeof content !== "string") yield* content;
  else if (content !== "") yield content;
}
