// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * What is translated when the cost of that is measured: requests as agents send them.
 *
 * @module
 */
import type { ChatBody } from "../../core/chat.ts";

const system =
  "You are a careful assistant of a small company that sells tea by post. You answer in the " +
  "language of the question, in two or three sentences, without lists and without headings. " +
  "You look an order up before you speak of it, and never promise a date that nobody confirmed.";
const question =
  "Я заказал две пачки зелёного чая и одну чёрного девять дней назад, а пришла одна " +
  "посылка. Где вторая, и можно ли ещё поменять адрес?";

/** The text of an answer. */
export const answerText =
  "Вторая посылка ушла со склада в понедельник, курьер ждёт её завтра. Адрес можно поменять до " +
  "вечера: напишите новый, и я передам его курьеру.";

/** The words of a streamed answer. */
export const phrases: readonly string[] = Array.from({ length: 100 }, (_, at) => ` слово${at}`);

const string = (description: string) => ({ type: "string", description });
const tools = [
  "find_order",
  "track_parcel",
  "change_address",
  "list_teas",
  "price_of",
  "call_person",
]
  .map((name) => ({
    type: "function" as const,
    function: {
      name,
      description: `${name}, as the shop's own program does it`,
      strict: true,
      parameters: {
        type: "object",
        properties: {
          order: string("The number of the order"),
          tea: { type: "string", enum: ["green", "black", "white", "oolong"] },
          amount: { type: ["integer", "null"], minimum: 1, description: "In boxes" },
          address: {
            type: "object",
            properties: { city: string("The town"), street: string("The street and the house") },
            required: ["city"],
            additionalProperties: false,
          },
          notes: { type: "array", items: string("A note") },
        },
        required: ["order"],
        additionalProperties: false,
      },
    },
  }));

/** Two turns of a person, one of the assistant, and what it looked up: five messages. */
function round(at: number): ChatBody["messages"] {
  const ids = [`call_${at}a`, `call_${at}b`];
  const call = (id: string, name: string) => ({
    id,
    type: "function",
    function: {
      name,
      arguments: JSON.stringify({ order: `T-${at}`, amount: at, notes: [question] }),
    },
  });
  return [
    { role: "user", content: [{ type: "text", text: question }, { type: "text", text: `#${at}` }] },
    {
      role: "assistant",
      content: null,
      tool_calls: [call(ids[0]!, "find_order"), call(ids[1]!, "track_parcel")],
    },
    ...ids.map((id) => ({
      role: "tool",
      tool_call_id: id,
      content: JSON.stringify({ state: "sent", since: "2026-11-16", place: answerText }),
    })),
    { role: "assistant", content: answerText },
  ];
}

/** A question. */
export const small = (model: string): ChatBody => ({
  model,
  messages: [{ role: "system", content: system }, { role: "user", content: question }],
  temperature: 0.2,
  max_tokens: 200,
});

/** The twentieth message of a conversation with six tools. */
export const long = (model: string): ChatBody => ({
  ...small(model),
  messages: [
    { role: "system", content: system },
    ...[1, 2, 3].flatMap(round),
    { role: "user", content: question },
    { role: "assistant", content: answerText },
    { role: "developer", content: "The courier has called." },
    { role: "user", content: question },
  ],
  tools,
  tool_choice: "auto",
  parallel_tool_calls: true,
});

/** The parameters of a tool as programs for agents declare them. */
const agentParameters = {
  $schema: "http://json-schema.org/draft-07/schema#",
  type: "object",
  properties: {
    path: string("Where the file is, from the root of the project"),
    query: { ...string("A regular expression, as the usual search tools take it"), minLength: 1 },
    range: {
      type: "object",
      description: "The lines that are wanted; all of them without it",
      properties: {
        first: { type: "integer", minimum: 1 },
        last: { anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }] },
      },
      required: ["first"],
      additionalProperties: false,
    },
    edits: {
      type: "array",
      description: "What is replaced, in this order",
      items: {
        type: "object",
        properties: {
          before: string("The text that stands there now, exactly"),
          after: string("The text that shall stand there"),
          all: { type: "boolean", default: false, description: "Everywhere, not only once" },
        },
        required: ["before", "after"],
        additionalProperties: false,
      },
    },
    mode: { type: "string", enum: ["content", "names", "count"], default: "content" },
    limit: { type: ["integer", "null"], minimum: 1, maximum: 1000, description: "The most hits" },
    dry: { type: "boolean", description: "Only say what would be done" },
  },
  required: ["path"],
  additionalProperties: false,
};
const agentTools = ["file", "code", "shell", "page", "issue", "test"].flatMap((thing) =>
  ["find", "read", "change", "run", "delete"].map((verb) => ({
    type: "function" as const,
    function: {
      name: `${verb}_${thing}`,
      description: `Use this to ${verb} a ${thing} of the project at hand. ${system}`,
      strict: false,
      parameters: agentParameters,
    },
  }))
);

/** The two hundredth message of an agent that has thirty tools. */
export const agent = (model: string): ChatBody => ({
  ...small(model),
  messages: [
    { role: "system", content: system },
    ...Array.from({ length: 39 }, (_, at) => round(at)).flat(),
    { role: "user", content: question },
    { role: "assistant", content: answerText },
    { role: "developer", content: "The courier has called." },
    { role: "user", content: question },
  ],
  tools: agentTools,
  tool_choice: "auto",
});

/** A document that is a list of events, each of one of fifty kinds. */
export const document = { events: [{ kind: "kind_30", at: "2026-11-16", field_30: "x" }] };

/** A question whose answer is a {@linkcode document}. */
export const structured = (model: string): ChatBody => ({
  ...small(model),
  response_format: {
    type: "json_schema",
    json_schema: {
      name: "events",
      strict: true,
      schema: {
        type: "object",
        properties: {
          events: {
            type: "array",
            items: {
              anyOf: Array.from({ length: 50 }, (_, at) => ({
                type: "object",
                properties: {
                  kind: { const: `kind_${at}` },
                  at: { type: "string", format: "date", description: "When it was" },
                  [`field_${at}`]: string("What is known of such events alone"),
                },
                required: ["kind", "at"],
                additionalProperties: false,
              })),
            },
          },
        },
        required: ["events"],
        additionalProperties: false,
      },
    },
  },
});
