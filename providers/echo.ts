/**
 * Echo: a provider without an account. It says back what the last message said, word by word, so
 * that clients, streams, fallbacks and accounts can be tried with no key of any vendor.
 *
 * | model | does |
 * | --- | --- |
 * | `echo` | answers at once |
 * | `echo-slow` | waits before the first word and between words |
 * | `echo-long` | repeats itself up to a thousand words |
 * | `echo-fail` | always answers 503 |
 * | `echo-busy` | always answers 429 with `retry-after: 1` |
 * | `echo-cut` | breaks off in the middle of its answer |
 *
 * @module
 */
import { type ChatBody, type ChatReply, defineProvider } from "xrouter/provider";
import { countInput, loadTokenizer } from "../core/tokens.ts";

/** It costs nothing, and that is known. */
const free = { price: { currency: "RUB", input: 0, output: 0 }, encoding: "o200k_base" } as const;

/** Milliseconds that `echo-slow` waits before the first word, and between two words. */
const slow = { first: 1000, next: 150 };

const longWords = 1000;

export default defineProvider({
  name: "echo",
  baseUrl: "http://echo.invalid/v1",
  onAbort: "cancel",
  models: {
    "echo": free,
    "echo-slow": free,
    "echo-long": free,
    "echo-fail": free,
    "echo-busy": free,
    "echo-cut": free,
  },
  async fetch(request) {
    const body = await request.json() as ChatBody;
    if (body.model === "echo-fail") return refuse(503, "echo-fail fails, as its name says");
    if (body.model === "echo-busy") {
      return refuse(429, "echo-busy is busy, as its name says", { "retry-after": "1" });
    }
    const answer = await compose(body);
    if (body.stream) return new Response(stream(answer, request.signal), { headers: eventStream });
    if (body.model === "echo-slow") await pause(slow.first, request.signal);
    return Response.json(answer.whole);
  },
});

const eventStream = { "content-type": "text/event-stream" };

interface Answer {
  whole: ChatReply;
  words: string[];
  body: ChatBody;
}

async function compose(body: ChatBody): Promise<Answer> {
  const tokenizer = await loadTokenizer("o200k_base");
  const call = toolCall(body);
  let words = call === undefined ? wordsOf(lastText(body)) : [];
  if (body.model === "echo-long" && call === undefined) {
    words = Array.from({ length: longWords }, (_, i) => words[i % words.length]!);
  }
  const limit = body.max_completion_tokens ?? body.max_tokens ?? Infinity;
  const said: string[] = [];
  let tokens = 0;
  for (const word of words) {
    const more = tokenizer.count(word);
    if (tokens + more > limit) break;
    tokens += more;
    said.push(word);
  }
  const cut = said.length < words.length;
  const prompt = countInput(body, tokenizer);
  const output = call === undefined ? tokens : tokenizer.count(JSON.stringify(call));
  return {
    body,
    words: said,
    whole: {
      id: `chatcmpl-${crypto.randomUUID()}`,
      object: "chat.completion",
      created: Math.floor(Date.now() / 1000),
      model: body.model,
      choices: [{
        index: 0,
        message: {
          role: "assistant",
          content: call === undefined ? said.join("") : null,
          ...(call && { tool_calls: [call] }),
        },
        finish_reason: call !== undefined ? "tool_calls" : cut ? "length" : "stop",
      }],
      usage: {
        prompt_tokens: prompt,
        completion_tokens: output,
        total_tokens: prompt + output,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    },
  };
}

/** The words, each with the white space before it, so that joined they are the text again. */
function wordsOf(text: string): string[] {
  return text.match(/\s*\S+|\s+$/gu) ?? ["(nothing)"];
}

/** The text of the last message; its parts that are no text are named. */
function lastText(body: ChatBody): string {
  const { content } = body.messages.at(-1)!;
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => typeof part.text === "string" ? part.text : `[${part.type}]`)
    .join(" ");
}

/** A call of the tool that the client insists on. */
function toolCall(body: ChatBody) {
  const tools = (body.tools ?? []) as { function?: { name?: string } }[];
  const choice = body.tool_choice as string | { function?: { name?: string } } | undefined;
  const name = choice === "required"
    ? tools[0]?.function?.name
    : typeof choice === "object"
    ? choice?.function?.name
    : undefined;
  return typeof name !== "string" ? undefined : {
    id: `call_${crypto.randomUUID()}`,
    type: "function",
    function: { name, arguments: JSON.stringify({ text: lastText(body) }) },
  };
}

function stream({ whole, words, body }: Answer, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const { usage, choices, ...shared } = whole;
  const event = (choice: object | undefined, rest: object = {}) =>
    encoder.encode(`data: ${
      JSON.stringify({
        ...shared,
        object: "chat.completion.chunk",
        choices: choice ? [{ index: 0, ...choice }] : [],
        ...rest,
      })
    }\n\n`);
  const { message, finish_reason } = choices[0]!;
  async function* events() {
    const calls = message?.tool_calls?.map((call, index) => ({ index, ...call }));
    const opening = calls ? { tool_calls: calls } : { content: "" };
    yield event({ delta: { role: "assistant", ...opening }, finish_reason: null });
    for (const [i, word] of words.entries()) {
      if (body.model === "echo-slow") await pause(i === 0 ? slow.first : slow.next, signal);
      if (body.model === "echo-cut" && i >= words.length / 2) return;
      yield event({ delta: { content: word }, finish_reason: null });
    }
    yield event({ delta: {}, finish_reason });
    if (body.stream_options?.include_usage) yield event(undefined, { usage });
    yield encoder.encode("data: [DONE]\n\n");
  }
  return ReadableStream.from(events());
}

function refuse(status: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { message, type: "echo", code: null, param: null } }, {
    status,
    headers,
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const give = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", give);
      resolve();
    }, ms);
    signal.addEventListener("abort", give, { once: true });
  });
}
