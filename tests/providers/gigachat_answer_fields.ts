// deno-lint-ignore-file camelcase -- the names of the wire
/** The fields of OpenAI's chat answer, whole or streamed, and how each is tried out. */
import type OpenAI from "openai";
import { stateOf } from "../../providers/gigachat/call_id.ts";
import {
  type Fields,
  otherModel,
  type Saying,
  type Seen,
  stateId,
} from "../support/field_probe.ts";
import type { AnswerField } from "../support/field_verdict.ts";

/** Every field that OpenAI's client knows; the compiler finds the list wanting when there are more. */
export const answerFields: Readonly<
  Record<keyof OpenAI.ChatCompletion | keyof OpenAI.ChatCompletionChunk, true>
> = {
  choices: true,
  created: true,
  id: true,
  metadata: true,
  model: true,
  moderation: true,
  object: true,
  obfuscation: true,
  service_tier: true,
  system_fingerprint: true,
  usage: true,
};

/** The fields of `choices[]`. */
export const choiceFields: Readonly<Record<keyof OpenAI.ChatCompletion.Choice, true>> = {
  finish_reason: true,
  index: true,
  logprobs: true,
  message: true,
};

/** The fields of `choices[].message`. */
export const answerMessageFields: Readonly<Record<keyof OpenAI.ChatCompletionMessage, true>> = {
  annotations: true,
  audio: true,
  content: true,
  function_call: true,
  refusal: true,
  role: true,
  tool_calls: true,
};

/** The fields of `usage`. */
export const usageFields: Readonly<Record<keyof OpenAI.CompletionUsage, true>> = {
  completion_tokens: true,
  completion_tokens_details: true,
  prompt_tokens: true,
  prompt_tokens_details: true,
  total_tokens: true,
};

const parameters = { type: "object", properties: {} };
const functions = ["weather.now", "time"].map((name) => ({ name, parameters }));
const tools = functions.map((each) => ({ type: "function", function: each }));

const choice = ({ answer }: Seen) => answer.choices[0]!;
const message = (seen: Seen): Fields => choice(seen).message ?? {};
const firstCall = (seen: Seen) => choice(seen).message?.tool_calls?.[0];
const usage = ({ answer }: Seen) => (answer.usage ?? {}) as Fields;

const saying = (content: string): Saying => ({ content });
const calling = (name: string, city: string): Saying => ({
  calls: [{ name, arguments: { city } }],
});
const used = (prompt: number, cached: number, output: number): Saying => ({
  content: "да",
  usage: { prompt, cached, output },
});
const tomsk = calling("weather_now", "Томск");
const omsk = calling("time", "Омск");

const build = ({ version, sent }: Seen) =>
  `${sent.model}:${version === "v1" ? "2.0.28.2" : "32.3.18.5"}`;

const firstOf = (list: unknown) =>
  ((list as Fields[] | undefined)?.[0] ?? {}) as {
    [field: string]: Fields | undefined;
  };

/** A reason why an answer ends, beside an answer that ends by itself. */
function finish(
  reason: string,
  said: Saying & { ask?: Fields },
  note: string,
): AnswerField {
  return {
    field: "choices[].finish_reason",
    value: reason,
    read: (seen) => choice(seen).finish_reason,
    cases: [[said, reason], [
      reason === "stop" ? { content: "да", finish: "length" } : saying("да"),
      reason === "stop" ? "length" : "stop",
    ]],
    note,
  };
}

/** A field that no answer has. */
function absent(field: string, read: (seen: Seen) => unknown): AnswerField {
  return { field, read };
}

/** The table's rows. */
export const answerRows: readonly AnswerField[] = [
  {
    field: "id",
    read: ({ answer }) => answer.id,
    is: (id, { events, said }) =>
      /^chatcmpl-\w+$/.test(String(id)) && events.every((event) => event.id === id) &&
      said.every((event) => event.id === undefined),
    note: "GigaChat gives none; one for all events of a stream",
  },
  {
    field: "object",
    read: ({ answer }) => answer.object,
    is: (object, { streamed, said: [first] }) =>
      object === `chat.completion${streamed ? ".chunk" : ""}` &&
      first!.object !== "chat.completion.chunk",
    note: "`chat.completion.chunk` in streams, where GigaChat does not say so",
  },
  {
    field: "created",
    read: ({ answer }) => answer.created,
    cases: [[{ created: 1_700_000_000 }, 1_700_000_000], [
      { created: 1_800_000_000 },
      1_800_000_000,
    ]],
    note: "as GigaChat says",
  },
  {
    field: "model",
    read: ({ answer }) => answer.model,
    cases: [[{}, build], [{ ask: { model: otherModel } }, build]],
    note: "the build that answers, such as `GigaChat-2:2.0.28.2`",
  },
  {
    field: "choices[].index",
    read: (seen) => choice(seen).index,
    origin: (said) => firstOf(said.choices).index,
    is: (index, { answer }) => index === 0 && answer.choices.length === 1,
    note: "0: there is one choice",
  },
  {
    field: "choices[].message.role",
    read: (seen) => message(seen).role,
    origin: ({ choices, messages }) => {
      const { message, delta } = firstOf(choices);
      return (message ?? delta ?? firstOf(messages) as Fields).role;
    },
    is: (role, { streamed, events: [first] }) =>
      role === "assistant" && (!streamed || first?.choices[0]?.delta?.role === role),
    note: "`assistant`; in a stream the first `delta` has it",
  },
  {
    field: "choices[].message.content",
    read: (seen) => message(seen).content,
    cases: [[saying("раз"), "раз"], [saying("<think>Хм</think>два"), "два"]],
    note: "as GigaChat says, without what it thinks between `<think>` tags",
  },
  {
    field: "choices[].message.reasoning_content",
    read: (seen) => message(seen).reasoning_content,
    cases: [
      [{ content: "да", reasoning: "Хм" }, "Хм"],
      [saying("<think>Так</think>да"), "Так"],
    ],
    note: "thoughts, also those between `<think>` tags",
  },
  absent("choices[].message.refusal", (seen) => message(seen).refusal),
  absent("choices[].message.audio", (seen) => message(seen).audio),
  {
    field: "choices[].message.annotations",
    read: (seen) =>
      (message(seen).annotations as { url_citation: { url: string } }[] | undefined)?.[0]
        ?.url_citation.url,
    cases: ["https://a.example/", "https://b.example/"].map((url) => [{
      content: "Да [sources=[1]]",
      sources: { "1": { url, title: "A" } },
    }, url]),
    note: "v2: the pages of Sber's web search",
  },
  {
    field: "choices[].message.tool_calls[].id",
    ask: { tools },
    saying: tomsk,
    read: (seen) => firstCall(seen)?.id,
    is: (id) => stateOf(String(id)) === stateId,
    note: "carries `functions_state_id`",
  },
  {
    field: "choices[].message.tool_calls[].function.name",
    ask: { tools },
    read: (seen) => firstCall(seen)?.function?.name,
    cases: [[tomsk, "weather.now"], [omsk, "time"]],
    note: "the client's own name of it",
  },
  {
    field: "choices[].message.tool_calls[].function.arguments",
    ask: { tools },
    read: (seen) => firstCall(seen)?.function?.arguments,
    cases: [[tomsk, '{"city":"Томск"}'], [omsk, '{"city":"Омск"}']],
    note: "GigaChat's object as JSON",
  },
  {
    field: "choices[].message.tool_calls[]",
    value: "several",
    ask: { tools },
    read: (seen) => {
      const calls = choice(seen).message?.tool_calls ?? [];
      return calls.length > 1 ? calls.map((call) => call.function?.arguments) : undefined;
    },
    cases: [
      [{ calls: [...tomsk.calls!, ...omsk.calls!] }, ['{"city":"Томск"}', '{"city":"Омск"}']],
      [{ calls: [...omsk.calls!, ...tomsk.calls!] }, ['{"city":"Омск"}', '{"city":"Томск"}']],
    ],
  },
  {
    field: "choices[].message.function_call",
    ask: { functions },
    read: (seen) => message(seen).function_call,
    cases: [
      [tomsk, { name: "weather.now", arguments: '{"city":"Томск"}' }],
      [omsk, { name: "time", arguments: '{"city":"Омск"}' }],
    ],
    note: "where the request has `functions`",
  },
  finish("stop", saying("да"), "`stop`"),
  finish("length", { content: "да", finish: "length" }, "`length`"),
  finish("tool_calls", { ...tomsk, ask: { tools } }, "`function_call`"),
  finish("function_call", { ...tomsk, ask: { functions } }, "where the request has `functions`"),
  finish(
    "content_filter",
    { content: "Не люблю менять тему", finish: "blacklist" },
    "`blacklist`",
  ),
  absent("choices[].logprobs", (seen) => choice(seen).logprobs),
  {
    field: "usage.prompt_tokens",
    read: (seen) => usage(seen).prompt_tokens,
    cases: [[used(17, 2, 3), 19], [used(20, 5, 3), 25]],
    note: "with those from the cache, which GigaChat counts apart",
  },
  {
    field: "usage.prompt_tokens_details.cached_tokens",
    read: (seen) => (usage(seen).prompt_tokens_details as Fields).cached_tokens,
    cases: [[used(17, 2, 3), 2], [used(20, 5, 3), 5]],
    note: "those from the cache, which Sber does not bill",
  },
  {
    field: "usage.completion_tokens",
    read: (seen) => usage(seen).completion_tokens,
    cases: [[used(17, 2, 3), 3], [used(17, 2, 4), 4]],
    note: "as GigaChat says",
  },
  absent("usage.completion_tokens_details", (seen) => usage(seen).completion_tokens_details),
  {
    field: "usage.total_tokens",
    read: (seen) => usage(seen).total_tokens,
    cases: [[used(17, 2, 3), 22], [used(20, 5, 3), 28]],
    note: "the sum of both, with those from the cache",
  },
  absent("system_fingerprint", (seen) => seen.answer.system_fingerprint),
  absent("service_tier", (seen) => seen.answer.service_tier),
  absent("metadata", (seen) => seen.answer.metadata),
  absent("moderation", (seen) => seen.answer.moderation),
  absent("obfuscation", (seen) => seen.events.at(0)?.obfuscation),
];
