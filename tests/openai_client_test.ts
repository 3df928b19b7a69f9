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
import { startRouter, type TestRouter } from "./support/router.ts";
import { delta, ending, Script, startUpstream, streamed, wholeAnswer } from "./support/upstream.ts";

const messages = [{ role: "user" as const, content: "one two three" }];
const weather = {
  type: "function" as const,
  function: {
    name: "weather",
    description: "Tells the weather",
    parameters: { type: "object", properties: { text: { type: "string" } } },
  },
};

function clientOf(router: TestRouter, options: object = {}): OpenAI {
  return new OpenAI({
    baseURL: `${router.url}/v1`,
    apiKey: router.secret,
    maxRetries: 0,
    ...options,
  });
}

Deno.test("the openai client gets a whole answer with usage and its request id", async () => {
  await using router = await startRouter();
  const { data, response, request_id } = await clientOf(router).chat.completions
    .create({ model: "echo", messages, temperature: 0, user: "someone" }).withResponse();
  assertEquals(data.choices[0]!.message.content, "one two three");
  assertEquals(data.choices[0]!.finish_reason, "stop");
  assertEquals(data.usage!.total_tokens, data.usage!.prompt_tokens + data.usage!.completion_tokens);
  assertEquals(request_id, response.headers.get("x-request-id"));
});

Deno.test("the openai client gets a stream, and usage at its end when it asks", async () => {
  await using router = await startRouter();
  const client = clientOf(router);
  const stream = await client.chat.completions.create({
    model: "echo",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage = 0;
  for await (const chunk of stream) {
    assertEquals(chunk.object, "chat.completion.chunk");
    text += chunk.choices[0]?.delta.content ?? "";
    usage += chunk.usage?.total_tokens ?? 0;
  }
  assertEquals(text, "one two three");
  assert(usage > 0);

  const runner = client.chat.completions.stream({ model: "echo-long", messages });
  const final = await runner.finalChatCompletion();
  assertEquals(final.choices[0]!.message.content!.split("one").length, 335);
});

Deno.test("the openai client lists models and retrieves each by its id", async () => {
  await using router = await startRouter();
  const client = clientOf(router);
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert(ids.includes("echo/echo"));
  for (const id of ids) assertEquals((await client.models.retrieve(id)).id, id);
  await assertRejects(() => client.models.retrieve("no such/model"), NotFoundError);
});

Deno.test("the openai client calls a tool and tells its result, streamed and not", async () => {
  await using router = await startRouter();
  const client = clientOf(router);
  const request = { model: "echo", messages, tools: [weather], tool_choice: "required" as const };
  const whole = await client.chat.completions.create(request);
  const streamed = await client.chat.completions.stream(request).finalChatCompletion();
  for (const { choices: [choice] } of [whole, streamed]) {
    assertEquals(choice!.finish_reason, "tool_calls");
    const call = choice!.message.tool_calls![0]!;
    assert(call.type === "function");
    assertEquals(call.function.name, "weather");
    assertEquals(JSON.parse(call.function.arguments), { text: "one two three" });
    const next = await client.chat.completions.create({
      model: "echo",
      tools: [weather],
      messages: [...messages, choice!.message, {
        role: "tool",
        tool_call_id: call.id,
        content: "sunny",
      }],
    });
    assertEquals(next.choices[0]!.message.content, "sunny");
  }
  const runner = client.chat.completions.runTools({
    model: "echo",
    messages,
    tool_choice: { type: "function", function: { name: "weather" } },
    tools: [{
      ...weather,
      function: { ...weather.function, parse: JSON.parse, function: () => "sunny" },
    }],
  });
  assertEquals(await runner.finalFunctionToolCallResult(), "sunny");
});

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
  const script = new Script();
  await using vendor = startUpstream(({ body }) =>
    body.model === "error"
      ? streamed(delta("Hel"), 'data: {"error":{"message":"vendor is ill"}}\n\n')
      : body.model === "end"
      ? streamed(delta("Hel"))
      : script.response()
  );
  await using router = await startRouter(vendor.env);
  const client = clientOf(router);
  await script.send(delta("Hel"));
  for (const model of ["echo-cut", "openai/error", "openai/end", "openai/broken"]) {
    for (const include_usage of [true, false]) {
      if (model === "openai/broken" && include_usage) continue;
      const stream = await client.chat.completions.create({
        model,
        messages,
        stream: true,
        stream_options: { include_usage },
      });
      let text = "";
      const error = await assertRejects(async () => {
        for await (const { choices } of stream) {
          text += choices[0]?.delta.content ?? "";
          if (model === "openai/broken") await script.break();
        }
      }, APIError);
      assert(text.length > 0 && text !== "one two three", model);
      assertMatch(error.message, /broke|read|reset|complete/i, model);
    }
    if (model === "openai/broken") continue;
    const runner = client.chat.completions.stream({ model, messages });
    assertInstanceOf(await assertRejects(() => runner.finalChatCompletion()), OpenAI.OpenAIError);
  }
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

Deno.test("an abort or a timeout of the openai client ends the vendor's call, before any byte", async () => {
  const held = Promise.withResolvers<Response>();
  await using vendor = startUpstream(() => held.promise);
  await using router = await startRouter(vendor.env);
  const controller = new AbortController();
  const asked = clientOf(router).chat.completions
    .create({ model: "vendor-model", messages }, { signal: controller.signal });
  while (vendor.seen.length === 0) await router.get("/v1/models").then((r) => r.body?.cancel());
  controller.abort();
  await assertRejects(() => asked, APIUserAbortError);
  await vendor.seen[0]!.closed;

  const impatient = clientOf(router, { timeout: 100 });
  await assertRejects(
    () => impatient.chat.completions.create({ model: "vendor-model", messages, stream: true }),
    APIConnectionTimeoutError,
  );
  await vendor.seen[1]!.closed;
  held.resolve(new Response());
  const rows = await router.usage();
  assertEquals(rows.map(({ state, status }) => [state, status]), [["aborted", 499], [
    "aborted",
    499,
  ]]);
});

Deno.test("the openai client reaches a vendor through the router, with tools and a stream", async () => {
  await using vendor = startUpstream(({ body }) =>
    body.stream === true ? streamed(delta("Hel"), delta("lo."), ...ending()) : wholeAnswer("", {
      choices: [{
        index: 0,
        finish_reason: "tool_calls",
        message: {
          role: "assistant",
          content: null,
          tool_calls: [{
            id: "c1",
            type: "function",
            function: { name: "weather", arguments: "{}" },
          }],
        },
      }],
    })
  );
  await using router = await startRouter(vendor.env);
  const client = clientOf(router);
  const called = await client.chat.completions
    .create({
      model: "openai/vendor-model",
      messages,
      tools: [weather],
      parallel_tool_calls: false,
    });
  assertEquals(called.choices[0]!.message.tool_calls![0]!.id, "c1");
  assertEquals(vendor.seen[0]!.body.tools, [weather]);
  assertEquals(vendor.seen[0]!.body.parallel_tool_calls, false);
  const runner = client.chat.completions.stream({ model: "vendor-model", messages });
  assertEquals((await runner.finalChatCompletion()).choices[0]!.message.content, "Hello.");
});
