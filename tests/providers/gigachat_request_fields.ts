// deno-lint-ignore-file camelcase -- the names of the wire
/** The fields of OpenAI's chat request but those of messages and tools, and how each is tried out. */
import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import type OpenAI from "openai";
import { otherModel, type Seen } from "../support/field_probe.ts";
import type { RequestField } from "../support/field_verdict.ts";

/** Every field that OpenAI's client knows; the compiler finds the list wanting when there are more. */
export const requestFields: Readonly<
  Record<keyof OpenAI.ChatCompletionCreateParamsNonStreaming, true>
> = {
  audio: true,
  frequency_penalty: true,
  function_call: true,
  functions: true,
  logit_bias: true,
  logprobs: true,
  max_completion_tokens: true,
  max_tokens: true,
  messages: true,
  metadata: true,
  modalities: true,
  model: true,
  moderation: true,
  n: true,
  parallel_tool_calls: true,
  prediction: true,
  presence_penalty: true,
  prompt_cache_key: true,
  prompt_cache_options: true,
  prompt_cache_retention: true,
  reasoning_effort: true,
  response_format: true,
  safety_identifier: true,
  seed: true,
  service_tier: true,
  stop: true,
  store: true,
  stream: true,
  stream_options: true,
  temperature: true,
  tool_choice: true,
  tools: true,
  top_logprobs: true,
  top_p: true,
  user: true,
  verbosity: true,
  web_search_options: true,
};

/** What `stream_options` may hold. */
export const streamOptions: Readonly<Record<keyof OpenAI.ChatCompletionStreamOptions, true>> = {
  include_obfuscation: true,
  include_usage: true,
};

const schema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const penalty = 'use GigaChat\'s "repetition_penalty", where 1 is neutral and more repeats less';

const effort = (wanted: string) => ({ version, sent, options }: Seen) =>
  version === "v1"
    ? assertEquals(sent.reasoning_effort, wanted)
    : assertEquals(options.reasoning, { effort: wanted });

/** The table's rows. */
export const samplingRows: readonly RequestField[] = [
  {
    field: "model",
    ask: { model: otherModel },
    see: ({ sent }) => assertMatch(String(sent.model), /^GigaChat-(2-Pro|3-Ultra)$/),
    note: "without the `gigachat/` before it",
  },
  {
    field: "temperature",
    ask: { temperature: 0.7 },
    see: ({ options }) => assertEquals(options.temperature, 0.7),
    note: "passes",
  },
  {
    field: "temperature",
    value: "0",
    ask: { temperature: 0 },
    see: ({ options }) => assertEquals(options.temperature, 0.0001),
    note: "0.0001",
  },
  {
    field: "top_p",
    ask: { top_p: 0.5 },
    see: ({ options }) => assertEquals(options.top_p, 0.5),
    note: "passes",
  },
  ...["max_tokens", "max_completion_tokens"].map((field): RequestField => ({
    field,
    ask: { [field]: 77 },
    see: ({ options }) => assertEquals(options.max_tokens, 77),
    note: field === "max_tokens" ? "passes" : "`max_tokens`",
  })),
  {
    field: "stop",
    ask: { stop: ["три"] },
    saying: { content: "раз, два, три, четыре" },
    see: ({ sent, answer: { choices: [choice] } }) => {
      assertEquals(choice!.message?.content, "раз, два, ");
      assertEquals(choice!.finish_reason, "stop");
      assertEquals(sent.stream, true);
    },
    note: "cut off before it; GigaChat is asked for a stream in any case",
  },
  {
    field: "stream",
    only: "whole",
    ask: { stream: true },
    see: ({ sent, events }) => {
      assertEquals(sent.stream, true);
      assert(events.length > 1);
    },
    note: "passes",
  },
  {
    field: "stream_options.include_usage",
    only: "streamed",
    ask: { stream_options: { include_usage: true } },
    see: ({ events }) => {
      assertEquals(events.at(-1)?.choices, []);
      assert(events.at(-1)?.usage);
      assert(events.slice(0, -1).every(({ usage }) => !usage));
    },
    note: "an event of its own, after the others",
  },
  {
    field: "stream_options.include_obfuscation",
    only: "streamed",
    ask: { stream_options: { include_obfuscation: true } },
    see: ({ events }) => assert(events.every((event) => event.obfuscation === undefined)),
    note: "nothing is padded",
  },
  {
    field: "response_format",
    value: "json_schema",
    ask: {
      response_format: { type: "json_schema", json_schema: { name: "w", strict: true, schema } },
    },
    saying: { content: '{"city":"Томск"}' },
    see: ({ options }) =>
      assertEquals(options.response_format, { type: "json_schema", schema, strict: true }),
    note: "GigaChat's own `json_schema`, which has the schema in it",
  },
  {
    field: "response_format",
    value: "json_object",
    ask: { response_format: { type: "json_object" } },
    saying: { content: '{"city":"Томск"}' },
    see: ({ options }) =>
      assertEquals(options.response_format, {
        type: "json_schema",
        schema: { type: "object", properties: {} },
      }),
    note: "`json_schema` of an object without properties",
  },
  {
    field: "response_format",
    value: "text",
    ask: { response_format: { type: "text" } },
  },
  ...["low", "medium", "high"].map((value): RequestField => ({
    field: "reasoning_effort",
    value,
    ask: { reasoning_effort: value },
    see: effort(value),
    note: "passes",
  })),
  ...[["minimal", "low"], ["xhigh", "high"], ["max", "high"]].map((
    [value, sent],
  ): RequestField => ({
    field: "reasoning_effort",
    value: value!,
    ask: { reasoning_effort: value },
    see: effort(sent!),
    note: `\`${sent}\``,
  })),
  {
    field: "reasoning_effort",
    value: "none",
    ask: { reasoning_effort: "none" },
  },
  {
    field: "verbosity",
    ask: { verbosity: "low" },
    neutral: "medium",
    note: "say in a message how long the answer shall be",
  },
  {
    field: "n",
    ask: { n: 2 },
    neutral: 1,
    note: "GigaChat gives one answer a request, v1 more where GIGACHAT_GRANTED_FIELDS says so",
  },
  { field: "seed", ask: { seed: 7 }, note: "cannot be kept by GigaChat, whose chance has no seed" },
  { field: "frequency_penalty", ask: { frequency_penalty: 0.5 }, neutral: 0, note: penalty },
  { field: "presence_penalty", ask: { presence_penalty: 0.5 }, neutral: 0, note: penalty },
  {
    field: "logit_bias",
    ask: { logit_bias: { 50256: -100 } },
    neutral: {},
    note: "GigaChat weighs no tokens",
  },
  {
    field: "logprobs",
    ask: { logprobs: true },
    neutral: false,
    note: "GigaChat reports no probabilities",
  },
  {
    field: "top_logprobs",
    ask: { top_logprobs: 2 },
    neutral: 0,
    note: "GigaChat reports no probabilities",
  },
  {
    field: "modalities",
    ask: { modalities: ["text", "audio"] },
    neutral: ["text"],
    note: "GigaChat answers with text",
  },
  {
    field: "audio",
    ask: { audio: { voice: "ash", format: "mp3" } },
    note: "cannot be kept by GigaChat, which answers with text",
  },
  {
    field: "moderation",
    ask: { moderation: { model: "omni-moderation-latest" } },
    note: "cannot be kept by GigaChat, whose own filter is always on",
  },
  {
    field: "web_search_options",
    ask: { web_search_options: {} },
    see: ({ version, sent }) => version === "v2" && assertEquals(sent.tools, [{ web_search: {} }]),
    cure: "cannot be kept by GigaChat's v1, which does not search the web",
    note: "v2: Sber's web search",
  },
  {
    field: "prompt_cache_key",
    ask: { prompt_cache_key: "conversation-7" },
    see: ({ session }) => {
      assertMatch(session ?? "", /^[\da-f-]{36}$/);
      assertNotMatch(session ?? "", /conversation/);
    },
    note: "`X-Session-ID`, as a UUID",
  },
  ...Object.entries({
    prompt_cache_options: { mode: "explicit" },
    prompt_cache_retention: "24h",
    prediction: { type: "content", content: "раз, два" },
    service_tier: "flex",
    metadata: { team: "a" },
    store: true,
    user: "user-7",
    safety_identifier: "user-7",
  }).map(([field, value]): RequestField => ({ field, ask: { [field]: value } })),
];
