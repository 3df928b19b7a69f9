/**
 * What the load generator asks and the mock upstream answers. Every request carries a serial number
 * and its answer must carry the same, so that an answer out of a cache, or one that belongs to
 * another request, is an error.
 *
 * @module
 */

const SYSTEM =
  "You are a careful assistant of a small company that sells tea by post. You answer in " +
  "the language of the question, in two or three sentences, without lists and without headings. " +
  "When a question is not about an order, a delivery, a kind of tea or a price, you say so and " +
  "offer to call a person. You never promise a date that the courier did not confirm.";
const QUESTION =
  "I ordered two boxes of green tea and one of black tea nine days ago and only one parcel came. " +
  "The green tea is not in it, and the tracking page shows the second parcel as handed over to the " +
  "courier on Monday. Could you find out where it is, and tell me whether I can change the address?";
const WORDS = " the second parcel left our store on Monday and the courier expects it tomorrow.";
const DELTA = " word";

/** The mock upstream's model. */
export const MODEL = "mock-model";

/** A chat completion request of about 900 bytes, ASCII only; a stream asks for its usage too. */
export function requestBody(model: string, serial: number, stream: boolean): string {
  const messages = [
    { role: "system", content: SYSTEM },
    { role: "user", content: `${QUESTION} #${serial}` },
  ];
  return JSON.stringify({
    model,
    messages,
    temperature: 0.2,
    max_tokens: 200,
    ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
  });
}

/** The serial number of a request, read from its last message. @throws {Error} There is none. */
export function serialOf(request: { messages?: { content?: unknown }[] }): number {
  const content = request.messages?.at(-1)?.content;
  const serial = typeof content === "string" ? /#(\d+)$/.exec(content)?.[1] : undefined;
  if (serial === undefined) throw new Error("The last message has no serial number");
  return Number(serial);
}

/** The text of the whole answer to a request. */
export function answerText(serial: number): string {
  return `#${serial}${WORDS}`;
}

/** The text of a streamed answer, one string an event. */
export function answerDeltas(serial: number, events: number): string[] {
  return [`#${serial}`, ...new Array<string>(events - 1).fill(DELTA)];
}

/** Events of a streamed answer besides its content: the finish reason, the usage and `[DONE]`. */
export const CLOSING_EVENTS = 3;

/** A whole answer, as far as it is checked. */
interface Completion {
  choices?: { message?: { content?: unknown }; finish_reason?: unknown }[];
  usage?: Record<string, unknown>;
}

/** One event of a streamed answer, as far as it is checked. */
interface CompletionChunk {
  choices?: { delta?: { content?: unknown }; finish_reason?: unknown }[];
  usage?: Record<string, unknown> | null;
}

/** Checks a whole answer. @throws {Error} It is not the mock's answer to this request. */
export function checkAnswer(body: string, serial: number): void {
  const { choices, usage } = JSON.parse(body) as Completion;
  const text = choices?.[0]?.message?.content;
  if (text !== answerText(serial)) {
    throw new Error(`The answer to request ${serial} has the text ${JSON.stringify(text)}`);
  }
  if (typeof usage?.total_tokens !== "number") throw new Error("The answer has no usage");
}

/** Checks a streamed answer. @throws {Error} It is not the mock's whole answer to this request. */
export function checkEvents(data: readonly string[], serial: number, events: number): void {
  if (data.length !== events + CLOSING_EVENTS || data.at(-1) !== "[DONE]") {
    const last = JSON.stringify(data.at(-1));
    throw new Error(
      `Stream ${serial} has ${data.length} events instead of ${
        events + CLOSING_EVENTS
      }, the last is ${last}`,
    );
  }
  const chunks = data.slice(0, -1).map((event) => JSON.parse(event) as CompletionChunk);
  const text = chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? "").join("");
  if (text !== answerDeltas(serial, events).join("")) {
    throw new Error(`Stream ${serial} has the text ${JSON.stringify(text)}`);
  }
  if (!chunks.some((chunk) => chunk.choices?.[0]?.finish_reason === "stop")) {
    throw new Error(`Stream ${serial} has no finish reason`);
  }
  if (typeof chunks.at(-1)?.usage?.total_tokens !== "number") {
    throw new Error(`Stream ${serial} has no usage`);
  }
}
