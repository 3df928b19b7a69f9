import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readWholeStream } from "../support/event_stream.ts";
import { ask, startRouter } from "../support/router.ts";
import { delta, ending, startUpstream, wholeAnswer } from "../support/upstream.ts";

Deno.test("openai is asked with its key, as JSON, at its base URL, and not told of the client", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({ ...vendor.env, OPENAI_BASE_URL: `${vendor.url}///` });
  const response = await router.chat(ask("openai/x"), {
    headers: {
      "user-agent": "client/1",
      cookie: "a=b",
      "x-api-key": "y",
      "openai-organization": "o",
    },
  });
  await response.text();
  const { method, path, headers, body } = vendor.seen[0]!;
  assertEquals([method, path], ["POST", "/v1/chat/completions"]);
  assertEquals(body, ask("x"));
  const sent = Object.fromEntries(headers);
  assertEquals(sent.authorization, "Bearer vendor-secret");
  assertEquals(sent["content-type"], "application/json");
  assertEquals(sent["user-agent"], "xrouter");
  assert(!JSON.stringify(sent).includes(router.secret));
  for (const name of ["cookie", "x-api-key", "openai-organization"]) {
    assertEquals(sent[name], undefined);
  }
});

Deno.test("openai's answers leave as the bytes they came in, but for the cost, whole and streamed", async () => {
  const whole = ' {"id" : "1",\n "choices":[{"index":0,"message":{"content":"\\u0041é"},' +
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1},"new":1e2}\n';
  const stream = [
    delta("é", { new_field: { a: 1 } }),
    'data:{"choices":[ {"index":0,"delta":{"content":"\\u0041"} } ]}\r\n\r\n',
    ending()[0]!,
  ].join("");
  await using vendor = startUpstream(({ body }) =>
    body.stream
      ? new Response(`${stream}data: [DONE]\n\n`, {
        headers: { "content-type": "text/event-stream" },
      })
      : new Response(whole, { headers: { "content-type": "application/json" } })
  );
  await using router = await startRouter(vendor.env);
  const priced = whole.replace('"completion_tokens":1}', '"completion_tokens":1,"cost":null}');
  assertEquals(await (await router.chat(ask("openai/x"))).text(), priced);
  const streamed = await router.chat(ask("openai/x", "hi", { stream: true }));
  assertEquals(await streamed.text(), `${stream}data: [DONE]\n\n`);
});

Deno.test("a stream is answered as a stream though openai answers whole", async () => {
  await using vendor = startUpstream(() => wholeAnswer("Hello there."));
  await using router = await startRouter(vendor.env);
  const { text, done, events } = await readWholeStream(
    await router.chat(ask("openai/x", "hi", { stream: true })),
  );
  assertEquals([text, done], ["Hello there.", true]);
  assertEquals(events.map(({ object }) => object), events.map(() => "chat.completion.chunk"));
});

Deno.test("openai's refusals become the router's, with its words only where they are the caller's", async () => {
  const words = "the vendor's own words on its model";
  const refusals: [vendor: number, status: number, code: string, told: boolean][] = [
    [400, 400, "invalid_request", true],
    [422, 400, "invalid_request", true],
    [413, 400, "context_length_exceeded", false],
    [401, 502, "upstream_rejected", false],
    [402, 429, "insufficient_quota", false],
    [403, 502, "upstream_rejected", false],
    [404, 404, "model_not_found", true],
    [408, 429, "upstream_busy", false],
    [429, 429, "upstream_busy", false],
    [500, 502, "upstream_unavailable", false],
    [503, 502, "upstream_unavailable", false],
    [529, 502, "upstream_unavailable", false],
  ];
  for (
    const shape of [JSON.stringify({ error: { message: words, code: "x" } }), `<p>${words}</p>`]
  ) {
    let status = 0;
    await using vendor = startUpstream(() =>
      new Response(shape, { status, headers: { "retry-after": "7" } })
    );
    await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
    for (const [vendorStatus, expected, code, told] of refusals) {
      for (const stream of [false, true]) {
        status = vendorStatus;
        // Each of another model, so that no circuit opens.
        const response = await router.chat(ask(`openai/x-${status}`, "hi", { stream }));
        const { error } = await response.json();
        // Who has no words for it is at another address than the vendor's.
        const isLost = status === 404 && shape.startsWith("<");
        const wanted = isLost ? [502, "upstream_rejected"] : [expected, code];
        assertEquals([response.status, error.code], wanted, `${vendorStatus}`);
        assertEquals(error.message.includes(words), told && shape.startsWith("{"), error.message);
        assertStringIncludes(error.message, '"openai"');
        if (code === "upstream_busy") assertEquals(response.headers.get("retry-after"), "7");
      }
    }
  }
});

Deno.test("openai that cannot be reached, or answers no JSON, is a 502 without its address", async () => {
  await using vendor = startUpstream(() => new Response("<html>welcome</html>"));
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  closed.close();
  await using lost = await startRouter({
    OPENAI_API_KEY: "x",
    OPENAI_BASE_URL: `http://127.0.0.1:${closed.addr.port}/v1`,
    XROUTER_RETRIES: "0",
  });
  for (const each of [router, lost]) {
    const response = await each.chat(ask("openai/x"));
    const text = await response.text();
    assertEquals(response.status, 502);
    assertStringIncludes(text, "upstream_unavailable");
    assert(!text.includes("127.0.0.1") && !text.includes("welcome"), text);
  }
});
