// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { chatUrlOfV2 } from "../../providers/gigachat/v2/chat_url.ts";
import { encodeV2 } from "../../providers/gigachat/v2/encode.ts";
import { callOf, type CallSetup } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, bodyOf, connectTo, type Question } from "../support/fake_gigachat_call.ts";
import { randomFrom, randomHistory } from "../support/random_history.ts";

const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

async function encoded(
  question: Question,
  setup: CallSetup = {},
  env: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const call = callOf({ settings: gigachatSettings.parse({ v2Models: ["*"], ...env }), ...setup });
  return JSON.parse(JSON.stringify(await encodeV2(bodyOf(question), call as never)));
}

Deno.test("v2 is asked for the models that are set to it, in the environment or the file", async () => {
  await using fake = await startFakeGigachat();
  const env = { GIGACHAT_V2_MODELS: "GigaChat-2-Max, GigaChat-3-Ultra" };
  using connection = connectTo(fake, env);
  for (const model of ["GigaChat-2-Max", "GigaChat-2", "GigaChat-3-Ultra"]) {
    await ask(connection, { model });
  }
  assertEquals(fake.chatsV2.map(({ model }) => model), ["GigaChat-2-Max", "GigaChat-3-Ultra"]);
  assertEquals(fake.chats.map(({ model }) => model), ["GigaChat-2"]);
  const { chatUrl } = gigachat;
  const wire = (v2Models: string[]) => ({
    settings: gigachatSettings.parse({ v2Models }),
    baseUrl: "https://api.giga.chat/v1",
  });
  const urls = [[], ["GigaChat-2"], ["*"]].map((models) =>
    chatUrl!(bodyOf({}), wire(models) as never)
  );
  assertEquals(urls.map((url) => url.includes("/v2/")), [false, true, true]);
});

Deno.test("v2's address stands beside v1's", () => {
  for (
    const [base, url] of [
      ["https://api.giga.chat/v1", "https://api.giga.chat/v2/chat/completions"],
      [
        "https://gigachat.devices.sberbank.ru/api/v1",
        "https://gigachat.devices.sberbank.ru/api/v2/chat/completions",
      ],
      [
        "https://proxy.example/v1/gigachat/v10",
        "https://proxy.example/v1/gigachat/v2/chat/completions",
      ],
      ["https://api.giga.chat/v2", "https://api.giga.chat/v2/chat/completions"],
    ]
  ) assertEquals(chatUrlOfV2(base!), url);
});

Deno.test("v2: a base address without a version is named together with the cure", async () => {
  await using fake = await startFakeGigachat();
  const env = {
    GIGACHAT_V2_MODELS: "*",
    GIGACHAT_BASE_URL: fake.env.GIGACHAT_BASE_URL!.replace("/v1", "/api"),
  };
  using connection = connectTo(fake, env);
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_rejected");
  assertStringIncludes(error.detail!, "GIGACHAT_BASE_URL");
});

Deno.test("v2: options stand apart, and what v1 calls otherwise is renamed", async () => {
  const format = {
    type: "json_schema",
    json_schema: { name: "a", strict: true, schema: { type: "object", properties: {} } },
  };
  assertEquals(
    await encoded({
      temperature: 0.5,
      top_p: 0.9,
      max_completion_tokens: 100,
      repetition_penalty: 1.1,
      reasoning_effort: "minimal",
      response_format: format,
      profanity_check: false,
      user_info: { timezone: "Europe/Moscow" },
      stream: true,
    }),
    {
      model: "GigaChat-2",
      messages: [{ role: "user", content: [{ text: "Привет" }] }],
      model_options: {
        temperature: 0.5,
        top_p: 0.9,
        max_tokens: 100,
        repetition_penalty: 1.1,
        reasoning: { effort: "low" },
        response_format: {
          type: "json_schema",
          strict: true,
          schema: { type: "object", properties: {} },
        },
      },
      disable_filter: true,
      user_info: { timezone: "Europe/Moscow" },
      stream: true,
    },
  );
  const regex = { type: "regex", regex: "[A-Z]{3}" };
  assertEquals((await encoded({ response_format: regex })).model_options, {
    response_format: regex,
  });
  // What v2 alone knows is sent as the client gives it.
  const own = { model_options: { preset: "fast" }, storage: {}, tool_config: { mode: "none" } };
  const sent = await encoded({ ...own, temperature: 1, tools: [weather] });
  assertEquals([sent.storage, sent.tool_config], [{}, { mode: "none" }]);
  assertEquals(sent.model_options, { temperature: 1, preset: "fast" });
});

Deno.test("v2: threads and assistants, which belong to the account, cannot be kept", async () => {
  for (const name of ["thread_id", "assistant_id"]) {
    const error = await assertRejects(() => encoded({ storage: { [name]: "t" } }), RouterError);
    assertEquals([error.code, error.param], ["invalid_request", "storage"]);
  }
  const error = await assertRejects(() => encoded({ assistant_id: "a" }), RouterError);
  assertEquals([error.code, error.param], ["invalid_request", "assistant_id"]);
});

Deno.test("v2: tools and the choice among them", async () => {
  const specifications = [weather.function];
  const of = async (choice: unknown) =>
    (await encoded({ tools: [weather], tool_choice: choice })).tool_config;
  const { tools } = await encoded({ tools: [weather] });
  assertEquals(tools, [{ functions: { specifications } }]);
  assertEquals(await of(undefined), { mode: "auto" });
  assertEquals(await of({ type: "function", function: { name: "weather" } }), {
    mode: "forced",
    function_name: "weather",
  });
  assertEquals(await of("required"), { mode: "forced", function_name: "weather" });
  const older = await encoded({ functions: specifications, function_call: "none" });
  assertEquals(older.tool_config, { mode: "none" });
});

Deno.test("v2: GigaChat's own tools are offered, forced and chosen among functions", async () => {
  const search = { type: "web_search" };
  assertEquals((await encoded({ web_search_options: {} })).tools, [{ web_search: {} }]);
  for (const type of ["web_search", "web_search_preview", "web_search_2025_08_26"]) {
    const { tools, tool_config } = await encoded({ tools: [{ type }, weather] });
    assertEquals(tools, [
      { functions: { specifications: [weather.function] } },
      { web_search: {} },
    ]);
    assertEquals(tool_config, { mode: "auto" });
  }
  assertEquals((await encoded({ tools: [{ ...search, indexes: ["a"] }] })).tools, [
    { web_search: { indexes: ["a"] } },
  ]);
  const forced = { mode: "forced", tool_name: "web_search" };
  assertEquals((await encoded({ tools: [search], tool_choice: "required" })).tool_config, forced);
  assertEquals(
    (await encoded({ tools: [search, weather], tool_choice: search })).tool_config,
    forced,
  );
  assertEquals((await encoded({ tools: [search], tool_choice: "none" })).tool_config, {
    mode: "none",
  });
});

Deno.test("v2: what GigaChat's search cannot be told is refused, or left out and named", async () => {
  const question = {
    web_search_options: { search_context_size: "high", user_location: { type: "approximate" } },
  };
  const error = await assertRejects(() => encoded(question), RouterError);
  assertEquals(error.param, "web_search_options.search_context_size");
  const replyHeaders: Record<string, string> = {};
  const sent = await encoded(question, { policy: "warn", replyHeaders });
  assertEquals(sent.tools, [{ web_search: {} }]);
  assertEquals(
    replyHeaders["x-xrouter-changed"],
    "web_search_options.search_context_size, web_search_options.user_location",
  );
  assertEquals((await encoded({ web_search_options: { search_context_size: "medium" } })).tools, [
    { web_search: {} },
  ]);
  for (
    const [wrong, param] of [
      [{ tools: [weather, { type: "web_search" }], tool_choice: "required" }, "tool_choice"],
      [{ tools: [weather], tool_choice: { type: "web_search" } }, "tool_choice.type"],
      [{ tools: [{ type: "mcp" }] }, "tools[0].type"],
      [{ stop: ["x"], n: 2 }, undefined],
    ] as const
  ) {
    const error = await assertRejects(() => encoded(wrong as unknown as Question), RouterError);
    assertEquals(error.code, "invalid_request");
    if (param !== undefined) assertEquals(error.param, param);
  }
});

Deno.test("v2: a client that forbids parallel calls is told that XRouter sees to it", async () => {
  const replyHeaders: Record<string, string> = {};
  await encoded({ tools: [weather], parallel_tool_calls: false }, { replyHeaders });
  assertEquals(replyHeaders["x-xrouter-changed"], "parallel_tool_calls");
});

Deno.test("v2: parallel calls are one message, their results follow, and files are parts", async () => {
  const state = "77d3fb14-457a-46ba-937e-8d856156d003";
  const ids = ["a", "b"].map((end) => `call_gsd9P7FEV6RrqTfo2FYVbQAw0000000${end}`);
  const call = (id: string, city: string) => ({
    id,
    type: "function",
    function: { name: "weather", arguments: JSON.stringify({ city, n: "12345678901234567890" }) },
  });
  const messages = [
    { role: "system", content: "Кратко" },
    { role: "user", content: "Погода?", attachments: ["file-1", "file-2"] },
    {
      role: "assistant",
      content: "Смотрю.",
      tool_calls: [call(ids[0]!, "Москва"), call(ids[1]!, "Тверь")],
    },
    { role: "tool", tool_call_id: ids[1]!, content: '{"id":12345678901234567890}' },
    { role: "tool", tool_call_id: ids[0]!, content: "1°" },
    { role: "assistant", content: null, tool_calls: [call("x", "Пермь")] },
    { role: "tool", tool_call_id: "x", content: "{}" },
    { role: "user", content: "" },
  ];
  const called = (city: string) => ({
    function_call: { name: "weather", arguments: { city, n: "12345678901234567890" } },
  });
  const result = (role: string, given: unknown) => ({
    role,
    content: [{ function_result: { name: "weather", result: given } }],
  });
  const settings = (v2ToolRole: string) => gigachatSettings.parse({ v2ToolRole });
  const texts = await encodeV2(
    bodyOf({ messages }),
    callOf({ settings: settings("tool") }) as never,
  );
  // Long numbers keep their digits, which an object of the test could not hold.
  assertStringIncludes(JSON.stringify(texts.messages), '"result":{"id":12345678901234567890}');
  const sent = await encoded({ messages }, { settings: settings("function") });
  assertEquals(sent.messages, [
    { role: "system", content: [{ text: "Кратко" }] },
    {
      role: "user",
      content: [{ text: "Погода?" }, { files: [{ id: "file-1" }, { id: "file-2" }] }],
    },
    {
      role: "assistant",
      content: [{ text: "Смотрю." }, called("Москва"), called("Тверь")],
      tools_state_id: state,
    },
    result("function", '{"result":"1°"}'),
    result("function", '{"id":12345678901234567890}'),
    { role: "assistant", content: [called("Пермь")] },
    result("function", "{}"),
    { role: "user", content: [{ text: "" }] },
  ]);
});

Deno.test("v2: any history that OpenAI takes is taken, and loses nothing", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  console.log(`seed ${seed}`);
  const random = randomFrom(seed);
  await using fake = await startFakeGigachat();
  for (const toolRole of ["tool", "function"] as const) {
    fake.v2.toolRole = toolRole;
    using connection = connectTo(fake, {
      GIGACHAT_V2_MODELS: "*",
      GIGACHAT_V2_TOOL_ROLE: toolRole,
    });
    for (let round = 0; round < 60; round++) {
      const { markers, ...question } = randomHistory(random);
      assertEquals((await ask(connection, question)).choices.length, 1);
      const { messages } = fake.chatsV2.at(-1)!;
      const wire = JSON.stringify(messages);
      for (const marker of markers) assertStringIncludes(wire, marker);
      // The calls of a message stay together, and each has its result.
      const turns = question.messages.flatMap(({ tool_calls: calls }) => calls?.length ?? []);
      const sent = messages.map(({ content }) =>
        content.filter((part) => part.function_call !== undefined).length
      );
      assertEquals(sent.filter((calls) => calls > 0), turns);
      assertEquals(
        messages.filter(({ role }) => role === toolRole).length,
        turns.reduce((sum, calls) => sum + calls, 0),
      );
    }
  }
});
