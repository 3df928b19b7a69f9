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
