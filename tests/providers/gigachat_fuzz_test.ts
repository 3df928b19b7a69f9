// deno-lint-ignore-file camelcase -- the names of the wire
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { type ChatBody, parseChatBody } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { callOf } from "../support/call.ts";
import { checkChat } from "../support/fake_gigachat_rules.ts";
import { assertRightRefusal } from "../support/history_refusals.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";
import { pick, randomJson } from "../support/random_json.ts";
import { randomSchema } from "../support/random_schema.ts";

/** `RUNS` in the environment says how many requests are tried. */
const rounds = Number(Deno.env.get("RUNS") ?? 3_000);

const call = '{"name":"w","arguments":"{}"}';
const fields: Record<string, (schema: string) => string[]> = {
  tools: (schema) => [
    '[{"type":"function","function":{"name":"w"}}]',
    `[{"type":"function","function":{"name":"w","parameters":${schema}}}]`,
  ],
  tool_choice: () => [
    '"required"',
    '"none"',
    '{"type":"function","function":{"name":"w"}}',
    '{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"name":"w"}]}}',
  ],
  functions: (schema) => ['[{"name":"w"}]', `[{"name":"a/b","return_parameters":${schema}}]`],
  function_call: () => ['"auto"', '{"name":"w"}'],
  response_format: (schema) => [
    '{"type":"json_object"}',
    `{"type":"json_schema","json_schema":{"schema":${schema}}}`,
  ],
  stop: () => ['"x"', '["a","b"]'],
  temperature: () => ["0", "1e999"],
  seed: () => ["1"],
};
const messageFields: Record<string, string[]> = {
  content: ['"x"', '[{"type":"text","text":"a"}]'],
  tool_calls: [`[{"id":"a","type":"function","function":${call}}]`],
  tool_call_id: ['"a"', '"b"'],
  name: ['"w"'],
  function_call: [call],
  refusal: ['"no"'],
  functions_state_id: ['"x"'],
};

/** A request with nonsense in some of its fields. */
function randomRequest(random: RandomBelow): string {
  const json = () => randomJson(random, 2);
  const some = (names: Record<string, string[]>) =>
    Object.entries(names).filter(() => random(4) === 0)
      .map(([name, usual]) => `,"${name}":${random(4) === 0 ? json() : pick(random, usual)}`)
      .join("");
  const roles = ["user", "assistant", "system", "tool", "function", "developer"];
  const message = () =>
    `{"role":${random(40) === 0 ? json() : `"${pick(random, roles)}"`}${some(messageFields)}}`;
  const messages = Array.from({ length: 1 + random(5) }, message);
  const schema = JSON.stringify(randomSchema(random, 2));
  const rest = Object.fromEntries(
    Object.entries(fields).map(([name, usual]) => [name, usual(schema)]),
  );
  const model = pick(random, ["GigaChat-2", "GigaChat-3-Ultra"]);
  return `{"model":"${model}","messages":[${messages}]${some(rest)}}`;
}

/** Runs; only a {@linkcode RouterError} may come out of it, which `isRight` is asked about. */
function guarded<T>(
  run: () => T,
  about: string,
  isRight: (error: RouterError) => void,
): T | undefined {
  try {
    return run();
  } catch (error) {
    assertInstanceOf(error, RouterError, `${about}: ${error}`);
    isRight(error);
    return undefined;
  }
}

/** A request's refusal: of its history there are few. */
function isRightOf(text: string): (error: RouterError) => void {
  return (error) => {
    if (error.param?.startsWith("messages")) assertRightRefusal(error, JSON.parse(text));
    else {
      assertEquals(error.code, "invalid_request", text);
      assertMatch(error.param ?? "", new RegExp(`^(${Object.keys(fields).join("|")})\\b`), text);
    }
  };
}

/** An answer that is none is the vendor's fault; that one does not fit its format, the model's. */
function isVendors({ code }: RouterError): void {
  assertMatch(code, /^(upstream_unavailable|unfit_answer)$/);
}

Deno.test("whatever OpenAI's clients send, GigaChat takes it, or a field is named", () => {
  const random = seededRandom();
  let taken = 0;
  for (let round = 0; round < rounds; round++) {
    const text = randomRequest(random);
    const isRight = isRightOf(text);
    const body = guarded<ChatBody>(
      () => parseChatBody(new TextEncoder().encode(text)),
      text,
      isRight,
    );
    if (body === undefined) continue;
    const call = callOf({ policy: "warn" });
    const sent = guarded(() => JSON.parse(JSON.stringify(encode(body, call))), text, isRight);
    if (sent === undefined) continue;
    const refusal = checkChat(sent);
    // Formats that are no OpenAI's may be GigaChat's own, and it says so of those that are not.
    if (refusal !== undefined) assertStringIncludes(refusal.message, "in response_format", text);
    taken++;
    const decoder = new GigachatDecoder(body);
    const part = () => randomJson(random, 2);
    for (
      const data of [
        part(),
        `{"choices":[{"index":0,"delta":${part()},"finish_reason":${part()}}],"usage":${part()}}`,
        `{"choices":[{"index":0,"delta":{"content":${part()},"function_call":${part()}}}]}`,
        `{"choices":[{"index":0,"message":${part()},"finish_reason":${part()}}]}`,
      ]
    ) {
      guarded(() => JSON.stringify(decoder.event(data)), data, isVendors);
      guarded(() => JSON.stringify(decoder.whole(JSON.parse(data))), data, isVendors);
    }
  }
  assert(taken > rounds / 8, `${taken} of ${rounds} were taken`);
});

Deno.test("an answer's strangest parts are not the end of it", () => {
  const decoder = new GigachatDecoder({ model: "m", messages: [{ role: "user", content: "?" }] });
  const event = (delta: unknown) => JSON.stringify({ choices: [{ index: 0, delta }] });
  const texts = [null, { content: null }, { content: 5 }, { content: "a" }].flatMap((delta) =>
    decoder.event(event(delta)).map(({ choices }) => choices[0]!.delta!.content)
  );
  assertEquals(texts, [undefined, null, 5 as never, "a"]);
});
