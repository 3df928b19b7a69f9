/**
 * Echo: a provider without an account. It says back what the last message said, word by word, so
 * that clients, streams, fallbacks and accounts can be tried with no key of any vendor. It says no more
 * than the first 16,384 characters, as a model's answer has an end.
 *
 * | model | does |
 * | --- | --- |
 * | `echo` | answers at once |
 * | `echo-slow` | waits before its answer, and a stream also between words |
 * | `echo-long` | repeats itself up to a thousand words |
 * | `echo-fail` | always answers 503 |
 * | `echo-busy` | always answers 429 with `retry-after: 1` |
 * | `echo-cut` | breaks off in the middle of its answer |
 *
 * @module
 */
import {
  type ChatBody,
  type ChatReply,
  countBody,
  defineProvider,
  loadTokenizer,
  RouterError,
} from "xrouter/provider";

/** It costs nothing, and that is known. */
const free = { price: { currency: "RUB", input: 0, output: 0 }, encoding: "o200k_base" } as const;

/** Milliseconds that `echo-slow` waits before the first word, and in a stream between two words. */
const slow = { first: 1000, next: 150 };

const longWords = 1000;

/** UTF-16 units that it says at most. */
const longest = 16 * 1024;

/** Alternatives, and words at which to stop, that one request may ask for, as at OpenAI. */
const mostChoices = 128;
const mostStops = 4;

const models = {
  "echo": free,
  "echo-slow": free,
  "echo-long": free,
  "echo-fail": free,
  "echo-busy": free,
  "echo-cut": free,
};

export default defineProvider({
  name: "echo",
  baseUrl: "http://echo.invalid/v1",
  onAbort: "cancel",
  models,
  encode(body) {
    if (!Object.hasOwn(models, body.model)) {
      const names = Object.keys(models).join(", ");
      throw new RouterError("no_route", `Echo has no model "${body.model}". It has ${names}`, {
        param: "model",
      });
    }
    if ((body.n ?? 1) > mostChoices) throw tooMuch("n", `be at most ${mostChoices}`);
    if (Array.isArray(body.stop) && body.stop.length > mostStops) {
      throw tooMuch("stop", `hold at most ${mostStops} texts`);
    }
    return body;
  },
  embeddings: {
    encode({ model }) {
      const reason = `"${model}" answers chats and makes no embeddings. Name a model that does, ` +
        'such as "gigachat/Embeddings", or send messages to /v1/chat/completions';
      throw new RouterError("invalid_request", reason, { param: "model" });
    },
  },
  async fetch(request) {
    const body = await request.json() as ChatBody;
    if (body.model === "echo-fail") return refuse(503, "echo-fail fails, as its name says");
    if (body.model === "echo-busy") {
      return refuse(429, "echo-busy is busy, as its name says", { "retry-after": "1" });
    }
    const answer = await compose(body, request);
    if (body.stream) return new Response(stream(answer, request.signal), { headers: eventStream });
    if (body.model === "echo-slow") await pause(slow.first, request.signal);
    const whole = JSON.stringify(answer.whole);
    const end = body.model === "echo-cut" ? whole.length / 2 : whole.length;
    return new Response(whole.slice(0, end), { headers: { "content-type": "application/json" } });
  },
});

const eventStream = { "content-type": "text/event-stream" };

interface Answer {
  whole: ChatReply;
  words: string[];
  body: ChatBody;
}

async function compose(body: ChatBody, client: Request): Promise<Answer> {
  const tokenizer = await loadTokenizer("o200k_base");
  const call = toolCall(body);
  const { words, isCut } = call === undefined ? wordsOf(body) : { words: [], isCut: false };
  const limit = body.max_completion_tokens ?? body.max_tokens ?? Infinity;
  const said: string[] = [];
  let tokens = 0;
  for (const word of words) {
    const more = tokenizer.count(word);
    if (tokens + more > limit) break;
    tokens += more;
    said.push(word);
  }
  const cut = isCut || said.length < words.length;
  const { tokens: prompt } = await countBody(body, tokenizer, client);
  const choices = body.n ?? 1;
  const output = choices * (call === undefined ? tokens : tokenizer.count(JSON.stringify(call)));
  return {
    body,
    words: said,
    whole: {
      id: `chatcmpl-${crypto.randomUUID()}`,
      object: "chat.completion",
      created: Math.floor(Date.now() / 1000),
      model: body.model,
      choices: Array.from({ length: choices }, (_, index) => ({
        index,
        message: {
          role: "assistant",
          content: call === undefined ? said.join("") : null,
          ...(call && { tool_calls: [call] }),
        },
        finish_reason: call !== undefined ? "tool_calls" : cut ? "length" : "stop",
      })),
      usage: {
        prompt_tokens: prompt,
        completion_tokens: output,
        total_tokens: prompt + output,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    },
  };
}

/** The words to say, and whether more would be said. */
function wordsOf(body: ChatBody): { words: string[]; isCut: boolean } {
  const text = lastText(body) || "(nothing)";
  const once = split(text.slice(0, longest));
  const count = body.model === "echo-long" ? longWords : once.length;
  const words: string[] = [];
  for (let units = 0; words.length < count;) {
    const word = once[words.length % once.length]!;
    if ((units += word.length) > longest) break;
    words.push(word);
  }
  const before = untilStop(words.join(""), body.stop);
  return before === undefined
    ? { words, isCut: text.length > longest || words.length < count }
    : { words: split(before), isCut: false };
}

/** Words, each with the white space before it, so that joined they are the text again. */
function split(text: string): string[] {
  return text.match(/\s*\S{1,256}|\s+$/gu) ?? [];
}

/** What is said before one of the words at which to stop; `undefined` where none of them comes. */
function untilStop(text: string, stop: ChatBody["stop"]): string | undefined {
  const places = [stop ?? []].flat().filter((each) => each !== "")
    .map((each) => text.indexOf(each)).filter((place) => place >= 0);
  return places.length === 0 ? undefined : text.slice(0, Math.min(...places));
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
    function: { name, arguments: JSON.stringify({ text: lastText(body).slice(0, longest) }) },
  };
}

function stream({ whole, words, body }: Answer, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const { usage, choices, ...shared } = whole;
  const event = (choices: object[], rest: object = {}) =>
    encoder.encode(
      `data: ${
        JSON.stringify({ ...shared, object: "chat.completion.chunk", choices, ...rest })
      }\n\n`,
    );
  const each = function* (delta: object, finish_reason: string | null = null) {
    for (const { index } of choices) yield event([{ index, delta, finish_reason }]);
  };
  const { message, finish_reason } = choices[0]!;
  async function* events() {
    const calls = message?.tool_calls?.map((call, index) => ({ index, ...call }));
    const opening = calls ? { tool_calls: calls } : { content: "" };
    yield* each({ role: "assistant", ...opening });
    for (const [i, word] of words.entries()) {
      if (body.model === "echo-slow") await pause(i === 0 ? slow.first : slow.next, signal);
      if (body.model === "echo-cut" && i >= words.length / 2) return;
      yield* each({ content: word });
    }
    yield* each({}, finish_reason);
    if (body.stream_options?.include_usage) yield event([], { usage });
    yield encoder.encode("data: [DONE]\n\n");
  }
  return ReadableStream.from(events());
}

function tooMuch(param: string, cure: string): RouterError {
  return new RouterError("invalid_request", `"${param}" must ${cure}`, { param });
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
