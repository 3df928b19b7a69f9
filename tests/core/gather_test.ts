// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type ChatMessage, type ChatReply, toEvents } from "../../core/chat.ts";
import { GatheredAnswer } from "../../core/gather.ts";
import { inParts, inProcess, type KernelSetup, startKernel } from "../support/kernel.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { clientOf } from "../support/openai_client.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";
import { ask, startRouter } from "../support/router.ts";
import {
  delta,
  ending,
  event,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const [stop, usage, done] = ending() as [string, string, string];

function gathered(events: readonly ChatReply[]): ChatReply {
  const answer = new GatheredAnswer();
  for (const each of events) answer.add(each);
  return answer.reply;
}

/** An event of one alternative. */
function piece(delta: object, rest: object = {}): ChatReply {
  return { choices: [{ index: 0, delta, ...rest }] } as ChatReply;
}

function randomText(random: RandomBelow): string {
  return Array.from({ length: random(30) }, () => ["a", "Ж", "🥐", " ", '"'][random(5)]).join("");
}

function cut(random: RandomBelow, text: string): string[] {
  const at = random(text.length + 1);
  return text === "" ? [""] : [text.slice(0, at), text.slice(at)];
}

function randomWhole(random: RandomBelow): ChatReply {
  const choices = Array.from({ length: 1 + random(3) }, (_, index) => {
    const calls = Array.from({ length: random(3) }, (_, place) => ({
      id: `call_${place}`,
      type: "function",
      function: { name: `f${place}`, arguments: randomText(random) },
    }));
    const message = {
      role: "assistant",
      content: random(4) === 0 ? null : randomText(random),
      ...random(2) === 0 && { reasoning_content: randomText(random) },
      ...random(4) === 0 && { refusal: randomText(random) },
      ...calls.length > 0 && { tool_calls: calls },
    };
    return { index, message, finish_reason: ["stop", "length", "tool_calls"][random(3)]! };
  });
  const report = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
  const head = { id: "chatcmpl-1", created: 5, model: "m" };
  return {
    ...head,
    ...random(2) === 0 && { usage: report },
    object: "chat.completion",
    choices,
  };
}

/** The same events, their texts in pieces; alternatives take turns. */
function inPieces(random: RandomBelow, events: readonly ChatReply[]): ChatReply[] {
  const byChoice = new Map<number, ChatReply[]>();
  for (const { choices: [choice], ...shared } of events) {
    if (choice === undefined) continue;
    const own = byChoice.get(choice.index) ?? [];
    byChoice.set(choice.index, own);
    const say = (delta: object, rest: object = { finish_reason: null }) =>
      own.push({
        ...shared,
        choices: [{ index: choice.index, delta: delta as ChatMessage, ...rest }],
      });
    const { role, tool_calls: calls = [], ...texts } = choice.delta!;
    if (role !== undefined) say({ role });
    for (const [field, text] of Object.entries(texts)) {
      const parts = typeof text === "string" ? cut(random, text) : [text];
      for (const part of parts) say({ [field]: part });
    }
    for (const { index, function: called, ...call } of calls) {
      const [first, ...others] = cut(random, called!.arguments!);
      say({ tool_calls: [{ index, ...call, function: { ...called, arguments: first } }] });
      for (const part of others) say({ tool_calls: [{ index, function: { arguments: part } }] });
    }
    if (choice.finish_reason) say({}, { finish_reason: choice.finish_reason });
  }
  const mixed: ChatReply[] = [];
  for (let left = [...byChoice.values()]; left.length > 0;) {
    mixed.push(left[random(left.length)]!.shift()!);
    left = left.filter((own) => own.length > 0);
  }
  return [...mixed, ...events.filter(({ choices }) => choices.length === 0)];
}

Deno.test("GatheredAnswer makes the whole answer of its events, however they are cut", () => {
  const random = seededRandom();
  for (let round = 0; round < 2_000; round++) {
    const whole = randomWhole(random);
    assertEquals(gathered(inPieces(random, toEvents(whole))), whole);
    assertEquals(gathered(toEvents(whole)), whole);
  }
});

Deno.test("GatheredAnswer joins what comes in pieces, and of all else keeps what holds now", () => {
  const older = [
    piece({ role: "assistant", function_call: { name: "f", arguments: "" } }),
    piece({ role: "assistant", function_call: { arguments: '{"a":' } }),
    piece({ content: null, function_call: { arguments: "1}" } }, {
      finish_reason: "function_call",
    }),
  ];
  assertEquals(gathered(older).choices[0]!.message, {
    role: "assistant",
    content: null,
    function_call: { name: "f", arguments: '{"a":1}' },
  });
  const probable = [
    piece({ content: "a" }, { logprobs: { content: [{ token: "a" }], refusal: null } }),
    piece({ content: "b", annotations: [1] }, { logprobs: { content: [{ token: "b" }] } }),
    piece({ content: null, annotations: [2] }, { logprobs: null, finish_reason: "stop" }),
  ];
  assertEquals(gathered(probable).choices, [{
    logprobs: { content: [{ token: "a" }, { token: "b" }], refusal: null },
    index: 0,
    message: { role: "assistant", content: "ab", annotations: [1, 2] },
    finish_reason: "stop",
  }]);
  // Every event repeats these; lists that all of the answer shares are whole in each.
  const shared = { citations: ["x"], usage: null };
  assertEquals(
    gathered([{ ...piece({ content: "a" }), ...shared }, { ...piece({}), ...shared }]).citations,
    ["x"],
  );
});

Deno.test("GatheredAnswer tells calls apart by index or id, and takes events of any shape", () => {
  const calls = [
    piece({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{}" } }] }),
    piece({ tool_calls: [{ id: "b", function: { name: "g", arguments: "{" } }, null] }),
    piece({ tool_calls: [{ id: "b", function: { arguments: "}" } }] }),
  ];
  assertEquals(gathered(calls).choices[0]!.message!.tool_calls, [
    { id: "a", function: { name: "f", arguments: "{}" } },
    { id: "b", function: { name: "g", arguments: "{}" } },
  ]);
  const odd = [
    { choices: "none" },
    { choices: [{}, null, 5, { index: 2, message: { content: "whole" } }] },
    JSON.parse(
      '{"choices":[{"index":2,"delta":{"__proto__":{"polluted":1}}}],"__proto__":{"a":1}}',
    ),
    JSON.parse('{"choices":[{"index":2,"delta":{"__proto__":{"polluted":1}}}]}'),
  ] as unknown as ChatReply[];
  assertEquals(gathered(odd).choices.map(({ message }) => message!.content), [null, "whole"]);
  assertEquals("polluted" in {}, false);
});

Deno.test("a vendor that streams although it was not asked to answers the openai client", async () => {
  const say = (delta: object, finish_reason: string | null = null) =>
    event({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "vendor-model-0613",
      choices: [
        { index: 0, delta, finish_reason },
      ],
    });
  const call = (more: object) => say({ tool_calls: [{ index: 0, ...more }] });
  await using upstream = startUpstream(() =>
    streamed(
      say({ role: "assistant", content: "" }),
      say({ content: "Let me " }),
      ": a comment\n\n",
      say({ content: "see." }),
      call({ id: "call_1", type: "function", function: { name: "w", arguments: "" } }),
      call({ function: { arguments: '{"city":' } }),
      call({ function: { arguments: '"Rome"}' } }),
      say({}, "tool_calls"),
      usage,
      done,
    )
  );
  await using router = await startRouter(upstream.env);
  const messages = [{ role: "user" as const, content: "?" }];
  const answer = await clientOf(router).chat.completions.create({ model: "openai/m", messages });
  assertEquals(upstream.seen[0]!.headers.get("accept"), "application/json");
  assertEquals(upstream.seen[0]!.body.stream, undefined);
  assertEquals([answer.id, answer.object], ["chatcmpl-1", "chat.completion"]);
  assertEquals(answer.choices, [{
    index: 0,
    message: {
      role: "assistant",
      content: "Let me see.",
      tool_calls: [{
        id: "call_1",
        type: "function",
        function: { name: "w", arguments: '{"city":"Rome"}' },
      }],
    },
    finish_reason: "tool_calls",
  }] as never);
  assertEquals(answer.usage?.completion_tokens, 5);
  const [row, ...others] = await router.usage();
  assertEquals(others, []);
  assertEquals(
    [row!.state, row!.input_tokens, row!.output_tokens, row!.estimated, row!.model_served],
    ["completed", 10, 5, 0, "vendor-model-0613"],
  );
});

/** Two vendors; what the first one's try used, once the second one, or nobody, has answered. */
async function fallBack(
  broken: () => Response,
  setup: Partial<KernelSetup> = {},
): Promise<{ status: number; used: unknown[]; code: string | undefined; told: string }> {
  let used: unknown[] = [];
  let failure: string | undefined;
  await using kernel = startKernel({
    ...setup,
    providers: [
      inProcess(broken, { name: "first" }),
      inProcess(() => wholeAnswer("fine"), { name: "second" }),
    ],
    plugins: [{
      hooks: {
        onFinish({ attempts: [first] }) {
          const { usage, unanswered, error } = first!;
          used = [usage?.input, usage?.output, usage?.estimated, unanswered];
          failure = error?.code;
        },
      },
    }],
  });
  const response = await kernel.chat(ask("first/m", "hi", { models: ["second/m"] }));
  const json = await response.json();
  await kernel.ended();
  const told = json.choices?.[0].message.content;
  return { status: response.status, used, code: failure, told };
}

Deno.test("a gathered answer that breaks off is none: the next one is asked, what was said counts", async () => {
  const words = [delta("One two three "), delta("four")];
  const failed = event({ error: { message: "overheated" } });
  for (const end of [[], [failed], [event({ choices: [{ finish_reason: "error" }] }), done]]) {
    const { used, ...rest } = await fallBack(() => inParts([...words, ...end]));
    assertEquals(rest, { status: 200, code: "upstream_unavailable", told: "fine" });
    const [input, output, estimated, unanswered] = used;
    assert(Number(input) > 0 && Number(output) >= 4, JSON.stringify(used));
    assertEquals([estimated, unanswered], [true, undefined]);
  }
  for (const nothing of [[], [done], [event({ choices: [] }), done]]) {
    const { used, ...rest } = await fallBack(() => inParts(nothing));
    assertEquals(rest, { status: 200, code: "upstream_unavailable", told: "fine" });
    assertEquals(used.slice(1), [0, true, true]);
  }
});

Deno.test("a gathered answer that takes too long is charged to nobody", async () => {
  const script = new Script();
  await script.send(delta("One two three"));
  const route = { timeouts: { whole: 100 } };
  const { used, ...rest } = await fallBack(() => script.response(), { route });
  assertEquals(rest, { status: 200, code: "timeout", told: "fine" });
  assertEquals(used.slice(1), [0, true, true]);
});

Deno.test("a client that leaves while its answer is gathered ends the vendor's call", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  const vendor = { name: "vendor", baseUrl: upstream.url, onAbort: "cancel" as const };
  await using kernel = startKernel({ providers: [vendor] });
  const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
  const { closed } = await upstream.nextChat();
  await script.send(delta("One"));
  client.leave();
  await closed;
  assertEquals((await kernel.ended()).state, "aborted");
});

Deno.test("a gathered answer that has said why it ends is whole, though its stream never closes", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
  await script.send(delta("fine"), stop, usage);
  const answer = await (await kernel.chat(ask("only/m"))).json();
  assertEquals(answer.choices[0].message.content, "fine");
  assertEquals(answer.usage.completion_tokens, 5);
  await upstream.seen[0]!.closed;
});

Deno.test("no more of a gathered answer is kept than of one that comes whole", async () => {
  let left = 0;
  const bytes = new TextEncoder().encode(delta("x".repeat(4 * 1024 * 1024)));
  function* endless() {
    try {
      for (;;) yield bytes;
    } finally {
      left++;
    }
  }
  const headers = { "content-type": "text/event-stream" };
  const answer = () => new Response(ReadableStream.from(endless()), { headers });
  await using kernel = startKernel({ providers: [inProcess(answer)] });
  const response = await kernel.chat(ask("vendor/m"));
  const { error } = await response.json();
  assertEquals([response.status, error.code], [502, "upstream_unavailable"]);
  assertMatch(error.message, /longer than 67108864 bytes/);
  assertEquals(left, 1);
});
