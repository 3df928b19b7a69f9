/**
 * The vendor that every gateway is put in front of: OpenAI's chat completions with answers that are
 * known beforehand. Runs as its own process: `mock_upstream.ts --port P --events N --event-rate R`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { answerDeltas, answerText, MODEL, serialOf } from "./conversation.ts";

/** How the mock streams. */
export interface MockOptions {
  /** Port on 127.0.0.1; 0 takes a free one. */
  port: number;
  /** Content events of a stream. */
  events: number;
  /** Content events a second of one stream. */
  eventRate: number;
}

const CREATED = 1_750_000_000;
const encoder = new TextEncoder();

/** Starts the mock upstream: `GET /v1/models` and `POST /v1/chat/completions`. */
export function serveMock(options: MockOptions): Deno.HttpServer<Deno.NetAddr> {
  const onListen = () => {};
  return Deno.serve({ hostname: "127.0.0.1", port: options.port, onListen }, async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" && pathname === "/v1/models") {
      return Response.json({ object: "list", data: [{ id: MODEL, object: "model" }] });
    }
    if (request.method !== "POST" || pathname !== "/v1/chat/completions") {
      return new Response(null, { status: 404 });
    }
    const body = await request.json();
    const serial = serialOf(body);
    if (body.stream !== true) return Response.json(wholeAnswer(serial));
    const withUsage = body.stream_options?.include_usage === true;
    return new Response(stream(serial, withUsage, options), {
      headers: { "content-type": "text/event-stream" },
    });
  });
}

function wholeAnswer(serial: number) {
  return {
    id: `chatcmpl-bench-${serial}`,
    object: "chat.completion",
    created: CREATED,
    model: MODEL,
    choices: [{
      index: 0,
      message: { role: "assistant", content: answerText(serial), refusal: null },
      logprobs: null,
      finish_reason: "stop",
    }],
    usage: usage(),
    system_fingerprint: null,
  };
}

function stream(
  serial: number,
  withUsage: boolean,
  { events, eventRate }: MockOptions,
): ReadableStream<Uint8Array> {
  const deltas = answerDeltas(serial, events);
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream({
    start(controller) {
      const started = performance.now();
      let sent = 0;
      const send = (event: Uint8Array) => controller.enqueue(event);
      const step = () => {
        send(contentEvent(deltas[sent]!, sent === 0));
        sent++;
        if (sent < events) return schedule();
        send(FINISH_EVENT);
        if (withUsage) send(USAGE_EVENT);
        send(DONE_EVENT);
        controller.close();
      };
      // Each event has its own due moment: a late one does not delay those behind it.
      const schedule = () => {
        const due = started + sent * 1000 / eventRate;
        timer = setTimeout(step, Math.max(0, due - performance.now()));
      };
      step();
    },
    cancel: () => clearTimeout(timer),
  });
}

const FINISH_EVENT = chunkEvent({ choices: [choice({}, "stop")], usage: null });
const USAGE_EVENT = chunkEvent({ choices: [], usage: usage() });
const DONE_EVENT = encoder.encode("data: [DONE]\n\n");
const encoded = new Map<string, Uint8Array>();

function contentEvent(content: string, first: boolean): Uint8Array {
  if (first) {
    return chunkEvent({ choices: [choice({ role: "assistant", content }, null)], usage: null });
  }
  let event = encoded.get(content);
  if (event === undefined) {
    event = chunkEvent({ choices: [choice({ content }, null)], usage: null });
    encoded.set(content, event);
  }
  return event;
}

function usage() {
  return { prompt_tokens: 180, completion_tokens: 20, total_tokens: 200 };
}

function choice(delta: { role?: string; content?: string }, finishReason: string | null) {
  return { index: 0, delta, logprobs: null, finish_reason: finishReason };
}

function chunkEvent(fields: Record<string, unknown>): Uint8Array {
  const head = { id: "chatcmpl-bench", object: "chat.completion.chunk", created: CREATED };
  return encoder.encode(`data: ${JSON.stringify({ ...head, model: MODEL, ...fields })}\n\n`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: "string" },
      events: { type: "string" },
      "event-rate": { type: "string" },
    },
  });
  serveMock({
    port: Number(values.port),
    events: Number(values.events),
    eventRate: Number(values["event-rate"]),
  });
}
