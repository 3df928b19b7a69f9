// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals } from "@std/assert";
import { type ChatMessage, type ChatReply, toEvents } from "../../core/chat.ts";
import { GatheredAnswer } from "../../core/gather.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";

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

Deno.test("GatheredAnswer keeps what later pieces leave empty", () => {
  const answer = new GatheredAnswer();
  const say = (delta: object, more: object = {}) =>
    answer.add({ ...more, choices: [{ index: 0, delta }] } as ChatReply);
  const first = { index: 0, id: "c1", type: "function", function: { name: "w", arguments: "" } };
  say({ role: "assistant", tool_calls: [first] }, { id: "a", model: "m" });
  const rest = { index: 0, id: "", function: { name: "", arguments: "{}" } };
  say({ role: "", tool_calls: [rest] }, { id: "", model: "" });
  const { id, model, choices: [choice] } = answer.reply;
  assertEquals([id, model, choice!.message!.role], ["a", "m", "assistant"]);
  assertEquals(choice!.message!.tool_calls, [
    { id: "c1", type: "function", function: { name: "w", arguments: "{}" } },
  ]);
});

Deno.test("GatheredAnswer tells calls apart that have no index, or all the same", () => {
  const callsOf = (...pieces: object[][]) => {
    const answer = new GatheredAnswer();
    for (const calls of pieces) {
      answer.add({ choices: [{ index: 0, delta: { tool_calls: calls } }] } as unknown as ChatReply);
    }
    return (answer.reply.choices[0]!.message!.tool_calls ?? []).map((call) => {
      const { name, arguments: given } = call.function as { name: string; arguments: string };
      return `${name}${given}`;
    });
  };
  const call = (name: string | undefined, given: string, more: object = {}) => ({
    ...more,
    function: { ...name !== undefined && { name }, arguments: given },
  });
  assertEquals(callsOf([call("a", "{}"), call("b", "{}")]), ["a{}", "b{}"]);
  assertEquals(callsOf([call("a", "{")], [call(undefined, "}")]), ["a{}"]);
  assertEquals(
    callsOf([call("a", "{}", { index: 0, id: "c1" })], [call("b", "{}", { index: 0, id: "c2" })]),
    ["a{}", "b{}"],
  );
});

Deno.test("GatheredAnswer joins the words of messages and of calls, and nothing else of that name", () => {
  const page = { sources: { "1": { url: "u", content: "a page" } } };
  const older = (given: string) => piece({ function_call: { arguments: given } });
  const { choices } = gathered([
    piece({ content: "Yes", inline_data: page, function_call: { name: "w" } }),
    piece({ content: ", it is", inline_data: page }),
    older('{"a":'),
    older("1}"),
  ]);
  assertEquals(choices[0]!.message, {
    role: "assistant",
    content: "Yes, it is",
    inline_data: page,
    function_call: { name: "w", arguments: '{"a":1}' },
  });
});

Deno.test("GatheredAnswer reads a message that stands in a delta's place, or beside an empty one", () => {
  const message = { role: "assistant", content: "whole" };
  for (const delta of [undefined, {}]) {
    const event = { choices: [{ index: 0, delta, message, finish_reason: "stop" }] };
    assertEquals(gathered([event as ChatReply]).choices[0]!.message, message);
  }
});

Deno.test("GatheredAnswer joins what is spoken, and what is written of it", () => {
  const { choices } = gathered([
    piece({ audio: { id: "audio_1", data: "AAAA" } }),
    piece({ audio: { data: "BBBB", transcript: "hello" } }),
    piece({ audio: { transcript: " world", expires_at: 7 } }),
  ]);
  const audio = { id: "audio_1", data: "AAAABBBB", transcript: "hello world", expires_at: 7 };
  assertEquals(choices[0]!.message!.audio, audio);
});
