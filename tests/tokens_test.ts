import { assert, assertEquals, assertLessOrEqual, assertStrictEquals } from "@std/assert";
import { countTokens as countCl100k } from "gpt-tokenizer/encoding/cl100k_base";
import { countTokens as countO200k } from "gpt-tokenizer/encoding/o200k_base";
import { Tiktoken, type TiktokenBPE } from "js-tiktoken/lite";
import cl100kRanks from "js-tiktoken/ranks/cl100k_base";
import o200kRanks from "js-tiktoken/ranks/o200k_base";
import {
  countInput,
  cutRuns,
  type Encoding,
  encodings,
  hasOnlyText,
  loadTokenizer,
  type Tokenizer,
  wholeRun,
} from "../core/tokens.ts";
import { randomInputs, repeatedInputs } from "./fixtures/tokens/worst_inputs.ts";
import { seededRandom } from "./support/random.ts";

/** The parts of {@linkcode cutRuns}. */
function runsOf(text: string): string[] {
  const steps = cutRuns(text);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

const ranks: Record<Encoding, TiktokenBPE> = {
  "o200k_base": o200kRanks,
  "cl100k_base": cl100kRanks,
};

const oracles = new Map<Encoding, Tiktoken>();

/** Tokens as js-tiktoken counts them, special tokens as ordinary text. */
function oracle(encoding: Encoding): (text: string) => number {
  const tiktoken = oracles.get(encoding) ?? new Tiktoken(ranks[encoding]);
  oracles.set(encoding, tiktoken);
  return (text) => tiktoken.encode(text, [], []).length;
}

const samples = {
  russian: "Маршрутизатор принимает запрос, считает его токены и выбирает поставщика — того, у " +
    "которого цена ниже. «Ёлки-палки!» — сказал инженер: съел 1 234,56 ₽ за ночь.\n",
  english: "The router counts a prompt's tokens before it's sent; we'd rather know the price " +
    "than guess. They'll thank us, won't they? I'M SURE THEY'LL — naïve café owners too.\n",
  code: "export async function* pull<T>(source: AsyncIterable<T>) {\n\tfor await (const item of " +
    "source) {\n        if (item?.['id'] !== undefined && !seen.has(item.id)) yield item; // ok\n" +
    "    }\r\n}\r\n\r\n#include <stdio.h>\nint main(void) { return 0xFF & ~1; }\n",
  emoji: "👍🏽 👨‍👩‍👧‍👦🏳️‍🌈❤️‍🔥 🇷🇺🇺🇸 ☕️→✅ ٩(◕‿◕)۶ 😀😀😀",
  mixed:
    "Запусти `deno task test --parallel` в PowerShell и пришли log.txt на почту 中文 me@x.ru 🙏",
  blanks: " \n\n\n   \t\t x  \r\n\r\n\u00a0\u2003y \u3000\n      z   \n",
  json: '{"model":"gpt-4o","messages":[{"role":"user","content":"\\u041f\\"и"}],"n":-1.5e-7}',
  numbers: "3.14159265358979323846 007 1234567890 1,000,000 ١٢٣ Ⅷ ½ 2²⁰ v1.2.3-rc.4",
  special: "<|endoftext|>a<|im_start|>user<|im_sep|><|fim_prefix|> <|endofprompt|><|im_end|>",
  address: "https://example.org/a/b-c_d/%D0%BF?q=1&list=a,b;c#r9==" + "/aGVsbG8gd29ybGQ".repeat(30),
  eastern:
    "今天天气很好，我们去公园散步吧。東京は夜の七時、한국어 텍스트입니다. ภาษาไทยไม่เว้นวรรค हिन्दी में लिखा है।",
  marks: "e\u0301te\u0301 й и\u0306 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯ \u200f\u0000\u0007\ud800x\udc00",
  table: "| a | b |\n|---|:-:|\n" + "-".repeat(120) + "\n" + "=".repeat(200) + "\n***\n",
};

for (const encoding of encodings) {
  Deno.test(`Tokenizer of ${encoding} counts as js-tiktoken does`, async () => {
    const tokenizer = await loadTokenizer(encoding);
    const expected = oracle(encoding);
    for (const [name, text] of Object.entries(samples)) {
      assertEquals(tokenizer.count(text), expected(text), name);
    }
    const all = Object.values(samples).join("").repeat(2);
    assertEquals(tokenizer.count(all), expected(all), "all samples in one text");
    assertEquals(tokenizer.count(""), 0);
  });

  Deno.test(`Tokenizer of ${encoding} counts random mixtures as js-tiktoken does`, async () => {
    const random = seededRandom();
    const tokenizer = await loadTokenizer(encoding);
    const expected = oracle(encoding);
    const words = Object.values(samples).flatMap((text) => text.match(/\s+|\w+|[^\s\w]{1,9}/g)!);
    for (let round = 0; round < 400; round++) {
      const length = 1 + random(120);
      const text = Array.from({ length }, () => words[random(words.length)]).join("");
      assertEquals(tokenizer.count(text), expected(text), JSON.stringify(text));
    }
  });

  Deno.test(`Tokenizer of ${encoding} counts a run of ${wholeRun} as js-tiktoken does`, async () => {
    const tokenizer = await loadTokenizer(encoding);
    const expected = oracle(encoding);
    for (const unit of ["a", "A", "!", " ", "\n", "я", "😀"]) {
      const run = unit.repeat(wholeRun / unit.length);
      const text = `First some ${samples.code} (${run}) and ${run}`;
      assertEquals(tokenizer.count(text), expected(text), unit);
    }
  });

  Deno.test(`Tokenizer of ${encoding} is off by at most four tokens a cut`, async () => {
    const random = seededRandom();
    const tokenizer = await loadTokenizer(encoding);
    const whole = encoding === "o200k_base" ? countO200k : countCl100k;
    for (const [name, input] of Object.entries({ ...repeatedInputs(), ...randomInputs(random) })) {
      const length = wholeRun + random(8 * wholeRun);
      const text = `Before ${input.slice(0, length)} after`;
      const difference = Math.abs(tokenizer.count(text) - whole(text));
      assertLessOrEqual(difference, 4 * (runsOf(text).length - 1), `${name}, ${length}`);
    }
  });
}

Deno.test("loadTokenizer loads an encoding once", async () => {
  assertStrictEquals(loadTokenizer("o200k_base"), loadTokenizer("o200k_base"));
  assertEquals((await loadTokenizer("cl100k_base")).encoding, "cl100k_base");
});

Deno.test("cutRuns leaves ordinary text whole", () => {
  for (const [name, text] of Object.entries(samples)) {
    assertEquals(runsOf(text.repeat(50)).length, 1, name);
  }
  assertEquals(runsOf(`${"#".repeat(wholeRun - 6)}internationalization`).length, 1);
});

Deno.test("cutRuns lets others work while it looks through a text", () => {
  const runs = "한".repeat(100 * wholeRun);
  for (const text of [runs, samples.code.repeat(200), `${runs.slice(0, 250)} `.repeat(100)]) {
    assertLessOrEqual(Math.floor((text.length - 1) / wholeRun), [...cutRuns(text)].length);
  }
});

Deno.test("cutRuns leaves no long piece in a megabyte of the worst inputs", () => {
  const pieces = Object.values(ranks).map((encoding) => new RegExp(encoding.pat_str, "gu"));
  const inputs = { ...repeatedInputs(), ...randomInputs(seededRandom()) };
  for (const [name, text] of Object.entries(inputs)) {
    const parts = runsOf(text);
    assert(parts.join("") === text, name);
    for (const part of parts) {
      assert(!/^\p{Cs}|\p{Cs}$/u.test(part) || name === "lone surrogates", `${name}: cut a pair`);
      for (const pattern of pieces) {
        for (const [piece] of part.matchAll(pattern)) {
          assertLessOrEqual(piece.length, 2 * wholeRun + 4, name);
        }
      }
    }
  }
});

Deno.test("cutRuns leaves no long piece in random alternations", () => {
  const random = seededRandom();
  const pieces = Object.values(ranks).map((encoding) => new RegExp(encoding.pat_str, "gu"));
  const units = [
    ..."aAяЯ中ーʰǅ\u0301\u0488\u200d😀𝐀\ud800 \t\n\r/'!-7½\ufeff\u00a0\u2028_\0",
    "'s",
  ];
  for (let round = 0; round < 1_000; round++) {
    let text = "";
    for (let stretch = 0; stretch < 3; stretch++) {
      const few = Array.from({ length: 1 + random(3) }, () => units[random(units.length)]);
      const length = random(1_500);
      text += Array.from({ length }, () => few[random(few.length)]).join("");
    }
    const parts = runsOf(text);
    assertEquals(parts.join(""), text);
    for (const pattern of pieces) {
      for (const [piece] of parts.flatMap((part) => [...part.matchAll(pattern)])) {
        assertLessOrEqual(piece.length, 2 * wholeRun + 4, JSON.stringify(piece));
      }
    }
  }
});

Deno.test("Tokenizer counts a megabyte of the worst inputs and does not hang", async () => {
  const script = new URL("fixtures/tokens/count_worst_inputs.ts", import.meta.url);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-lock", "--allow-all", script.href],
    signal: AbortSignal.timeout(60_000),
  });
  const { success, stdout, stderr } = await child.output();
  const printed = new TextDecoder().decode(stdout);
  assert(success, `${printed}${new TextDecoder().decode(stderr)}`);
  assert(printed.includes("o200k_base, one letter: 125000\n"), printed);
  assert(printed.includes("cl100k_base, digits: 333334\n"), printed);
});

/** Counts one token a letter, so that sums can be checked by hand. */
const letters: Pick<Tokenizer, "count"> = { count: (text) => text.length };

Deno.test("countInput adds 3 for the reply, 3 for each message and 1 for each name", () => {
  assertEquals(countInput({ messages: [] }, letters), 3);
  assertEquals(countInput({ messages: [{ role: "user", content: "hello" }] }, letters), 3 + 3 + 9);
  const named = { role: "user", name: "Anna", content: "hello" };
  assertEquals(countInput({ messages: [named, named] }, letters), 3 + 2 * (3 + 4 + 1 + 4 + 5));
});

Deno.test("countInput counts as OpenAI bills the shortest request", async () => {
  for (const encoding of encodings) {
    const messages = [{ role: "user", content: "Hello" }];
    assertEquals(countInput({ messages }, await loadTokenizer(encoding)), 8);
  }
});

Deno.test("countInput counts the text parts of a message, 765 for each image, and others by bytes", () => {
  const content = [
    { type: "text", text: "12345" },
    "678",
    { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(9_000)}` } },
    { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } },
    { type: "refusal", refusal: "no" },
    { type: "something_new", text: "90" },
  ];
  assertEquals(
    countInput({ messages: [{ role: "u", content }] }, letters),
    3 + 3 + 1 + (5 + 3 + 765 + 1 + 2 + 2),
  );
});

Deno.test("countInput estimates what is no text by its bytes, where the request has them", () => {
  const tokensOf = (part: object) => countInput({ messages: [{ content: [part] }] }, letters) - 6;
  const audio = (format: string) => ({
    type: "input_audio",
    input_audio: { data: "A".repeat(64_000), format },
  });
  // 3 s of speech at 16,000 bytes a second, ten tokens a second.
  assertEquals(tokensOf(audio("wav")), 30);
  assertEquals(tokensOf(audio("mp3")), 120);
  const file = (type: string, length: number) => ({
    type: "file",
    file: { file_data: `data:${type};base64,`.padEnd(length, "A") },
  });
  assertEquals(tokensOf(file("application/pdf", 64_000)), 3_000);
  assertEquals(tokensOf(file("application/pdf", 6_400_000)), 50_000);
  assertEquals(tokensOf(file("text/plain", 6_400)), 1_200);
  assertEquals(tokensOf(file("image/png", 64_000)), 765);
  assertEquals(tokensOf({ type: "file", file: { file_id: "file-1" } }), 0);
});

Deno.test("hasOnlyText tells messages of which every token is counted", () => {
  const text = { type: "text", text: "hi" };
  const refusal = { type: "refusal", refusal: "no" };
  assert(hasOnlyText([{ content: "hi" }, { content: [text, "hi", refusal] }, { attachments: [] }]));
  for (const type of ["image_url", "input_audio", "file", "something_new"]) {
    assertEquals(hasOnlyText([{ content: [text, { type }] }]), false);
  }
  assertEquals(hasOnlyText([{ content: "hi", attachments: ["id"] }]), false);
  assertEquals(hasOnlyText([{ role: "assistant", audio: { id: "audio_1" } }]), false);
});

Deno.test("countInput counts tool calls by name and arguments", () => {
  const call = (name: string, input: string) => ({
    id: "call_1",
    type: "function",
    function: { name, arguments: input },
  });
  const messages = [
    { role: "a", content: null, tool_calls: [call("add", '{"a":1}'), call("now", "{}")] },
    { role: "a", content: null, function_call: { name: "now", arguments: "{}" } },
    { role: "a", tool_calls: [{ type: "custom", custom: { name: "sh", input: "ls" } }] },
    { role: "t", tool_call_id: "call_1", content: "12" },
  ];
  assertEquals(countInput({ messages }, letters), 3 + 4 * (3 + 1) + (10 + 5) + 5 + 4 + 2);
});

Deno.test("countInput counts the keys and values of tools and of a JSON schema", () => {
  const tools = [{ type: "function", function: { name: "now", strict: true, enum: [1, null] } }];
  const lines = ["type", "function", "function", "name", "now", "strict", "true", "enum", "1"];
  const text = [...lines, "null"].join("\n").length;
  assertEquals(countInput({ messages: [], tools }, letters), 3 + text);
  assertEquals(countInput({ messages: [], functions: tools }, letters), 3 + text);
  const schema = { type: "json_schema", "json_schema": { name: "x" } };
  assertEquals(countInput({ messages: [], response_format: schema }, letters), 3 + 6);
  assertEquals(countInput({ messages: [], response_format: { type: "text" } }, letters), 3);
});

Deno.test("countInput raises no error, whatever the JSON", async () => {
  const tokenizer = await loadTokenizer("o200k_base");
  const depth = 100_000;
  const deep = JSON.parse('{"1":'.repeat(depth) + "[]" + "}".repeat(depth));
  const odd = [
    null,
    true,
    -0.5,
    "",
    "text",
    [],
    {},
    [[null]],
    [{ type: 1, text: [2] }],
    { length: -1, toString: 1, __proto__: null },
    Array(200_000).fill(0),
    deep,
  ];
  for (const value of odd) {
    const message = Object.fromEntries(
      ["role", "name", "content", "refusal", "function_call", "tool_calls"]
        .map((key) => [key, value]),
    );
    const call = { name: value, arguments: value };
    const calls = {
      "tool_calls": [value, { function: value }, { function: call }, { custom: call }],
    };
    const parts = { content: [value, { type: "text", text: value }, { type: "image_url" }] };
    const messages = [value, message, calls, parts];
    const rest = { tools: value, functions: value, "response_format": { json_schema: value } };
    assert(Number.isInteger(countInput({ messages, ...rest }, tokenizer)));
    const body = { messages: value as never, "response_format": value };
    assert(Number.isInteger(countInput(body, tokenizer)));
  }
});
