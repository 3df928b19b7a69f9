/**
 * A place on a real socket that takes alerts.
 *
 * @module
 */

/** One message as it came. */
export interface Message {
  readonly path: string;
  // deno-lint-ignore no-explicit-any
  readonly body: any;
}

/** A running sink. */
export interface AlertSink extends AsyncDisposable {
  readonly url: string;
  /** The messages so far. */
  readonly messages: Message[];
  /** Waits for the message with this number, from 0 on. */
  message(number: number): Promise<Message>;
}

/** Takes what is posted, and answers as it is told. */
export function startSink(
  answer: (number: number) => Response | Promise<Response> = () => Response.json({ ok: true }),
): AlertSink {
  const messages: Message[] = [];
  const waiting = new Map<number, PromiseWithResolvers<Message>>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const message = { path: new URL(request.url).pathname, body: await request.json() };
      const number = messages.push(message);
      waiting.get(number - 1)?.resolve(message);
      return await answer(number);
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    messages,
    message(number) {
      if (messages.length > number) return Promise.resolve(messages[number]!);
      const wait = waiting.get(number) ?? Promise.withResolvers<Message>();
      waiting.set(number, wait);
      return wait.promise;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
