// deno-lint-ignore-file camelcase -- the names of the wire
/** Calls of v2 that several events tell. */
import { assertEquals } from "@std/assert";
import { stateOf } from "../../providers/gigachat/call_id.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { callOf } from "../support/call.ts";
import { bodyOf } from "../support/fake_gigachat_call.ts";

const tools = [{ type: "function", function: { name: "weather" } }];

function decoderFor() {
  const call = callOf({ settings: gigachatSettings.parse({ v2Models: ["*"] }) });
  return gigachat.decoder!(bodyOf({ tools }), call as never);
}

Deno.test("v2: the call that an event repeats is told once, and its state may come last", () => {
  const decoder = decoderFor();
  const state = crypto.randomUUID();
  const called = { function_call: { id: "1", name: "weather", arguments: '{"n":1}' } };
  const messages = [{ role: "assistant", content: [called] }];
  assertEquals(decoder.event(JSON.stringify({ messages })), []);
  const events = decoder.event(
    JSON.stringify({ messages, finish_reason: "stop", tools_state_id: state }),
    "response.message.done",
  );
  const calls = events.flatMap(({ choices }) => choices[0]?.delta?.tool_calls ?? []);
  assertEquals(calls.map((call) => [stateOf(call.id!), call.function!.arguments]), [
    [state, '{"n":1}'],
  ]);
  assertEquals(events.at(-1)!.choices[0]!.finish_reason, "tool_calls");
});

Deno.test("v2: calls without an id are several, however they lack it", () => {
  const called = (n: number) => ({ name: "weather", arguments: { n } });
  for (const id of [null, undefined, ""]) {
    const content = [1, 2].map((n) => ({ function_call: { ...called(n), id } }));
    const { choices } = decoderFor().whole({
      messages: [{ role: "assistant", content }],
      finish_reason: "function_call",
    });
    const calls = choices[0]!.message!.tool_calls!;
    assertEquals(calls.map((call) => call.function!.arguments), ['{"n":1}', '{"n":2}']);
  }
});

Deno.test("v2: calls without an id that the last event repeats are told once", () => {
  const called = (n: number, id?: string) => ({
    function_call: { name: "weather", arguments: { n }, ...id && { id } },
  });
  const event = (content: unknown[], rest: object = {}) =>
    JSON.stringify({ messages: [{ role: "assistant", content }], ...rest });
  const end = { finish_reason: "function_call" };
  for (
    const [first, last, told] of [
      [[called(1)], [called(1)], [1]],
      [[called(1), called(1)], [called(1), called(1), called(2)], [1, 1, 2]],
      [[called(1)], [called(1, "a")], [1]],
      [[called(1, "a")], [called(1, "b")], [1, 1]],
      [[], [called(1), called(1)], [1, 1]],
    ] as const
  ) {
    const decoder = decoderFor();
    decoder.event(event([...first]));
    const events = decoder.event(event([...last], end), "response.message.done");
    const calls = events.flatMap(({ choices }) => choices[0]?.delta?.tool_calls ?? []);
    assertEquals(calls.map((call) => JSON.parse(call.function!.arguments!).n), [...told]);
  }
});
