/**
 * A vendor that keeps its own log of what it served, to be compared with the ledger.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { delta, event } from "../support/upstream.ts";

/** What a request says of the answer it wants; XRouter passes fields that it does not know. */
export interface Order {
  /** Finds the request in the ledger: its tag. */
  readonly id: string;
  /** Input tokens to report. */
  readonly input: number;
  /** Words of the answer, each of them one token. */
  readonly words: number;
  /** Milliseconds before each word. */
  readonly pauseMs: number;
  /** Answers with events, whether they are asked for or not. */
  readonly inEvents?: boolean;
}

/** One request as the vendor saw it. */
export interface Served {
  readonly order: Order;
  /** Words that were written to the connection. */
  words: number;
  /** When each word of a stream was, by `performance.now()`. */
  readonly saidAt: number[];
  /** The whole answer was written, its usage included. */
  finished: boolean;
}

/** The running vendor. */
export interface VendorLog extends AsyncDisposable {
  /** Every request, by its order's id. */
  readonly served: Map<string, Served>;
  /** Requests that came twice. */
  readonly repeated: string[];
  /** The most requests that were open at a time. */
  mostOpen: number;
  /** Waited for before each answer begins. */
  gate: Promise<void>;
  /** Its base URL. */
  readonly url: string;
  /** The model that it serves, as clients ask for it. */
  readonly model: string;
  /** The key of the provider that asks it, and its address where it is `openai`. */
  readonly env: Record<string, string>;
}

/** The model's price, in millionths a token. */
export const price = { currency: "RUB", input: 10, output: 100 };

/** What an order costs when it is served whole. */
export function costOfOrder({ input, words }: Order): number {
  return input * price.input + words * price.output;
}

/**
 * Starts the vendor.
 *
 * @param provider The provider that asks it.
 */
export function startVendorLog(provider = "openai"): VendorLog {
  const served = new Map<string, Served>();
  const repeated: string[] = [];
  let open = 0;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response() },
    async (request) => {
      if (request.method === "GET") {
        return Response.json({ object: "list", data: [{ id: "vendor-model", object: "model" }] });
      }
      const { order, stream } = await request.json();
      if (served.has(order.id)) repeated.push(order.id);
      const entry: Served = { order, words: 0, saidAt: [], finished: false };
      served.set(order.id, entry);
      vendor.mostOpen = Math.max(vendor.mostOpen, ++open);
      await vendor.gate;
      if (stream || order.inEvents) return streamOf(entry, () => open--);
      await delay(order.words * order.pauseMs);
      entry.words = order.words;
      entry.finished = true;
      open--;
      return Response.json({ ...head, choices: [wholeChoice(order.words)], usage: usageOf(order) });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}/v1`;
  const vendor: VendorLog = {
    served,
    repeated,
    mostOpen: 0,
    gate: Promise.resolve(),
    url,
    model: `${provider}/vendor-model`,
    env: { OPENAI_BASE_URL: url, [`${provider.toUpperCase()}_API_KEY`]: "vendor-secret" },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return vendor;
}

const head = { id: "chatcmpl-1", object: "chat.completion", created: 1, model: "vendor-model" };

function wholeChoice(words: number): object {
  const content = " word".repeat(words);
  return { index: 0, message: { role: "assistant", content }, finish_reason: "stop" };
}

function usageOf({ input, words }: Order): object {
  return { prompt_tokens: input, completion_tokens: words, total_tokens: input + words };
}

function streamOf(entry: Served, onEnd: () => void): Response {
  const { order } = entry;
  const encoder = new TextEncoder();
  const shared = { ...head, object: "chat.completion.chunk" };
  async function* events(): AsyncGenerator<Uint8Array> {
    try {
      while (entry.words < order.words) {
        if (order.pauseMs > 0) await delay(order.pauseMs);
        entry.words++;
        entry.saidAt.push(performance.now());
        yield encoder.encode(delta(" word"));
      }
      yield encoder.encode(
        event({ ...shared, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
      );
      yield encoder.encode(event({ ...shared, choices: [], usage: usageOf(order) }));
      entry.finished = true;
      yield encoder.encode("data: [DONE]\n\n");
    } finally {
      onEnd();
    }
  }
  return new Response(ReadableStream.from(events()), {
    headers: { "content-type": "text/event-stream" },
  });
}
