// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertRejects } from "@std/assert";
import { NotFoundError } from "openai";
import { clientOf, messages } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { delta, ending, startUpstream, streamed, wholeAnswer } from "./support/upstream.ts";

const weather = {
  type: "function" as const,
  function: {
    name: "weather",
    description: "Tells the weather",
    parameters: { type: "object", properties: { text: { type: "string" } } },
  },
};

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

Deno.test("the openai client reaches a vendor through the router, with tools and a stream", async () => {
  await using vendor = startUpstream(({ body }) =>
    body.stream === true
      ? streamed(
        delta("", { choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }] }),
        delta("Hel"),
        delta("lo."),
        ...ending(),
      )
      : wholeAnswer("", {
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
