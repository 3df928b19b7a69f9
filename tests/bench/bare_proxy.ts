/**
 * The bare proxies that the gateways are compared with, each the least that a Deno program can do:
 * `bare_proxy.ts PORT UPSTREAM untouched|pull`.
 *
 * Whole answers: JSON is parsed and printed both ways. Streams: with `untouched` the body never
 * enters JavaScript; with `pull` one hand-written reader hands on every piece and parses nothing,
 * which is the least that a gateway does that looks at a stream at all.
 *
 * @module
 */

const [port, upstream, mode] = Deno.args;

Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, async (request) => {
  if (request.method !== "POST") return new Response("ready");
  const body = JSON.parse(await request.text());
  const answer = await fetch(`${upstream}/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: request.headers.get("authorization") ?? "",
    },
    body: JSON.stringify(body),
  });
  const headers = { "content-type": answer.headers.get("content-type") ?? "" };
  if (body.stream !== true) {
    const parsed = JSON.parse(await answer.text());
    return new Response(JSON.stringify(parsed), { status: answer.status, headers });
  }
  const events = mode === "pull" && answer.body !== null ? pullFrom(answer.body) : answer.body;
  return new Response(events, { status: answer.status, headers });
});

function pullFrom(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}
