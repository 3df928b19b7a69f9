/**
 * A scriptable OpenAI-shaped vendor on a real socket.
 *
 * @module
 */

/** One request that the vendor got. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  /** The JSON body, or `undefined`. */
  // deno-lint-ignore no-explicit-any
  readonly body: any;
  /** Aborted when the caller closed the connection before the answer was complete. */
  readonly closed: Promise<void>;
}

/** A running vendor. */
export interface TestUpstream extends AsyncDisposable {
  /** The base URL, `/v1` included. */
  readonly url: string;
  /** The chat requests so far. */
  readonly seen: Seen[];
  /** Waits for the next chat request. */
  nextChat(): Promise<Seen>;
  /** The environment that points the provider `openai` here. */
  readonly env: Record<string, string>;
}

/** Answers chat requests with `answer`, and `/models` with `list`: one model, `vendor-model`. */
export function startUpstream(
  answer: (seen: Seen, number: number) => Response | Promise<Response>,
  list: (request: Request) => Response | Promise<Response> = () => modelList("vendor-model"),
): TestUpstream {
  const seen: Seen[] = [];
  let next = Promise.withResolvers<Seen>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v1/models") return await list(request);
      const closed = Promise.withResolvers<void>();
      request.signal.addEventListener("abort", () => closed.resolve(), { once: true });
      const text = await request.text();
      const entry = {
        method: request.method,
        path: pathname,
        headers: request.headers,
        body: text === "" ? undefined : JSON.parse(text),
        closed: closed.promise,
      };
      seen.push(entry);
      next.resolve(entry);
      next = Promise.withResolvers();
      return await answer(entry, seen.length);
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}/v1`;
  return {
    url,
    seen,
    nextChat: () => next.promise,
    env: { OPENAI_BASE_URL: url, OPENAI_API_KEY: "vendor-secret" },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A vendor's list of models. */
export function modelList(...ids: string[]): Response {
  return Response.json({ object: "list", data: ids.map((id) => ({ id, object: "model" })) });
}

/** A whole answer with usage. */
export function wholeAnswer(text = "Hello.", rest: object = {}): Response {
  return Response.json({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "vendor-model-0613",
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    usage: {
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 4 },
    },
    ...rest,
  });
}

/** A stream's event with some text. */
export function delta(text: string, rest: object = {}): string {
  return event({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "vendor-model-0613",
    choices: [{ index: 0, delta: { content: text }, finish_reason: null }],
    ...rest,
  });
}

/** The end of an answer, its usage by itself, and the terminator. */
export function ending(): string[] {
  const shared = {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "vendor-model-0613",
  };
  return [
    event({ ...shared, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
    event({
      ...shared,
      choices: [],
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    }),
    "data: [DONE]\n\n",
  ];
}

/** An event of a stream. */
export function event(json: unknown): string {
  return `data: ${JSON.stringify(json)}\n\n`;
}

/** A stream that the test writes by hand. */
export class Script {
  readonly #stream = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 1000,
  });
  readonly #writer = this.#stream.writable.getWriter();
  readonly #encoder = new TextEncoder();

  /** The answer that carries it. */
  response(headers: Record<string, string> = {}): Response {
    return new Response(this.#stream.readable, {
      headers: { "content-type": "text/event-stream", ...headers },
    });
  }

  /** Sends text or bytes. */
  async send(...parts: (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      await this.#writer.write(typeof part === "string" ? this.#encoder.encode(part) : part);
    }
  }

  /** Ends the body as it should end. */
  async close(): Promise<void> {
    await this.#writer.close();
  }

  /** Breaks the connection. */
  async break(): Promise<void> {
    await this.#writer.abort(new Error("broken on purpose")).catch(() => {});
  }
}

/** A stream whose events are all there at once. */
export function streamed(...events: string[]): Response {
  return new Response(events.join(""), { headers: { "content-type": "text/event-stream" } });
}
