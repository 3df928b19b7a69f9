import { assertEquals } from "@std/assert";
import { spliceUsage } from "../../core/splice_usage.ts";
import { seededRandom } from "../support/random.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, cost: 0.5 };

function splice(text: string): string | undefined {
  const spliced = spliceUsage(encoder.encode(text), JSON.parse(text).usage, usage);
  return spliced && decoder.decode(spliced);
}

const printed = JSON.stringify(usage);

Deno.test("spliceUsage changes the usage and no other byte", () => {
  const cases: [text: string, expected: string | undefined][] = [
    ['{"a":1}', `{"a":1,"usage":${printed}}`],
    ["{}", `{"usage":${printed}}`],
    [" { \n} ", ` { \n"usage":${printed}} `],
    ['{"usage":{"prompt_tokens":1},"b":1e2}', `{"usage":${printed},"b":1e2}`],
    ['{"b":"ключ", "usage" : {"x":{"y":"}"}} }\n', `{"b":"ключ", "usage" : ${printed} }\n`],
    ['{"said":"\\"usage\\":{}","usage":{}}', `{"said":"\\"usage\\":{}","usage":${printed}}`],
    ['{"usage":{"a":1},"usage":{"b":1}}', `{"usage":{"a":1},"usage":${printed}}`],
    // Not for certain the answer's own.
    ['{"usage":{"a":1},"inner":{"usage":{"a":1}}}', undefined],
    ['{"usage":null}', undefined],
    ['{"usage":7,"x":{}}', undefined],
    ['{"said":"usage","x":{}}', `{"said":"usage","x":{},"usage":${printed}}`],
  ];
  for (const [text, expected] of cases) assertEquals(splice(text), expected, text);
});

Deno.test("spliceUsage never says what printing anew would not", () => {
  const random = seededRandom();
  const value = (depth: number): unknown => {
    const kind = random(depth > 3 ? 4 : 7);
    if (kind === 0) return random(1000);
    if (kind === 1) return ['"usage":{', "}", "\\", '"', "ключ", "usage"][random(6)];
    if (kind === 2) return null;
    if (kind === 3) return true;
    if (kind === 4) return Array.from({ length: random(3) }, () => value(depth + 1));
    const keys = ["usage", "a", 'x"', "}"];
    return Object.fromEntries(
      Array.from({ length: random(4) }, () => [keys[random(keys.length)], value(depth + 1)]),
    );
  };
  let spliced = 0;
  for (let round = 0; round < 5_000; round++) {
    const answer = { a: value(0), ...random(2) === 0 ? { usage: value(2) } : {}, b: value(0) };
    const text = JSON.stringify(answer, undefined, random(3));
    const result = splice(text);
    if (result === undefined) continue;
    spliced++;
    assertEquals(JSON.parse(result), { ...answer, usage }, text);
  }
  assertEquals(spliced > 1_000, true, `${spliced}`);
});
