// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import OpenAI, {
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { clientOf, messages } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { delta, Script, startUpstream, wholeAnswer } from "./support/upstream.ts";

Deno.test("the openai client knows each error by its class, with code, field and request id", async () => {
  await using router = await startRouter({ API_RATE_LIMIT: "7", XROUTER_RETRIES: "0" });
  const client = clientOf(router);
  const failure = async (
    model: string,
    // deno-lint-ignore no-explicit-any
    errorClass: new (...args: any[]) => APIError,
    using = client,
    rest: object = {},
  ) => {
    const error = await assertRejects(
      () => using.chat.completions.create({ model, messages, ...rest }),
      errorClass,
    );
    assertMatch(error.requestID!, /^[0-9a-f-]{36}$/);
    return error;
  };
  const wrongKey = await failure(
    "echo",
    AuthenticationError,
    clientOf(router, { apiKey: "sk-no" }),
  );
  assertEquals([wrongKey.code, wrongKey.type], ["unauthorized", "authentication_error"]);
  const badRequest = await failure("echo", BadRequestError, client, { n: 0 });
  assertEquals([badRequest.param, badRequest.code], ["n", "invalid_request"]);
  assertEquals((await failure("nothing", NotFoundError)).code, "no_route");
  assertEquals((await failure("echo-fail", InternalServerError)).status, 502);
  assertEquals((await failure("echo-busy", RateLimitError)).code, "upstream_busy");
  assertEquals(
    (await failure("echo-fail", InternalServerError, client, { stream: true })).status,
    502,
  );
  await client.chat.completions.create({ model: "echo", messages });
  await client.chat.completions.create({ model: "echo", messages });
  const limited = await failure("echo", RateLimitError);
  assertEquals(limited.code, "rate_limited");
  assertMatch(limited.headers!.get("retry-after")!, /^\d+$/);
});

Deno.test("the openai client retries what is busy by itself, as retry-after says", async () => {
  await using vendor = startUpstream((_, number) =>
    number === 1 ? new Response("{}", { status: 429 }) : wholeAnswer()
  );
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
  const client = clientOf(router, { maxRetries: 1 });
  const answer = await client.chat.completions.create({ model: "vendor-model", messages });
  assertEquals(answer.choices[0]!.message.content, "Hello.");
  assertEquals(vendor.seen.length, 2);
});

Deno.test("a stream that breaks off is an error in the openai client, never an answer", async () => {
  let script = new Script();
  await using vendor = startUpstream(() => (script = new Script()).response());
  await using router = await startRouter(vendor.env);
  const client = clientOf(router);
  const endings: Record<string, () => Promise<void>> = {
    "echo-cut": async () => {},
    "openai/error": () => script.send('data: {"error":{"message":"vendor broke"}}\n\n'),
    "openai/end": () => script.close(),
    "openai/broken": () => script.break(),
  };
  for (const [model, end] of Object.entries(endings)) {
    for (const include_usage of [true, false]) {
      const stream_options = { include_usage };
      const chat = vendor.nextChat();
      const asked = client.chat.completions.create({
        model,
        messages,
        stream: true,
        stream_options,
      });
      if (model !== "echo-cut") {
        await chat;
        await script.send(delta("Hel"));
      }
      let text = "";
      const error = await assertRejects(async () => {
        for await (const { choices } of await asked) {
          text += choices[0]?.delta.content ?? "";
          if (text === "Hel") await end();
        }
      }, APIError);
      assert(text.length > 0 && text !== "one two three", model);
      assertMatch(error.message, /broke|read/i, model);
    }
  }
  const runner = client.chat.completions.stream({ model: "echo-cut", messages });
  assertInstanceOf(await assertRejects(() => runner.finalChatCompletion()), OpenAI.OpenAIError);
});

Deno.test("leaving the openai client's loop ends the vendor's call, and is recorded", async () => {
  const script = new Script();
  await using vendor = startUpstream(() => script.response());
  await using router = await startRouter(vendor.env);
  await script.send(delta("Hel"));
  const stream = await clientOf(router).chat.completions
    .create({ model: "vendor-model", messages, stream: true });
  for await (const chunk of stream) {
    assertEquals(chunk.choices[0]!.delta.content, "Hel");
    break;
  }
  await vendor.seen[0]!.closed;
  await script.break();
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted"]);
});

Deno.test("what the openai client gave up on before its first byte is ended and recorded", async () => {
  const scripts = [new Script(), new Script()];
  const left = Promise.withResolvers<void>();
  await using vendor = startUpstream(async (_, number) => {
    await left.promise;
    return scripts[number - 1]!.response();
  });
  await using router = await startRouter(vendor.env);
  const controller = new AbortController();
  const request = { model: "vendor-model", messages, stream: true as const };
  const chat = vendor.nextChat();
  const aborted = clientOf(router).chat.completions
    .create(request, { signal: controller.signal });
  await chat;
  controller.abort();
  await assertRejects(() => aborted, APIUserAbortError);
  const impatient = clientOf(router, { timeout: 200 });
  await assertRejects(() => impatient.chat.completions.create(request), APIConnectionTimeoutError);
  assertEquals(vendor.seen.length, 2);
  left.resolve();
  for (const [i, script] of scripts.entries()) {
    await script.send(delta("Hel"));
    await vendor.seen[i]!.closed;
    await script.break();
  }
  assertEquals((await router.usage()).map(({ state }) => state), ["aborted", "aborted"]);
});
