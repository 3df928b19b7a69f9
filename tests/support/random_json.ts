/**
 * Random JSON texts, the odd ones more often than the usual ones.
 *
 * @module
 */
import type { RandomBelow } from "./random.ts";

const odd = [
  "null",
  "true",
  "0",
  "-0",
  "-1",
  "1.5",
  "1e999",
  "-1e999",
  "1e-999",
  "9007199254740993",
  "123456789012345678901234567890",
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ufeff"',
  '"\\u202e\\u2028"',
  '"👩‍👩‍👧‍👦"',
  '"__proto__"',
  '"constructor"',
  '"user"',
  '"required"',
  '"text"',
  "[]",
  "{}",
  "[null]",
  "[[]]",
  '{"":""}',
  '{"__proto__":null}',
  '{"__proto__":{"type":"text","role":"user"}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"toString":1,"valueOf":1,"toJSON":1}',
  '{"then":1}',
  '{"length":-1}',
  '{"type":"text"}',
  '{"type":"text","text":{}}',
  '{"type":"image_url","image_url":null}',
  '{"type":"function","function":null}',
  '{"type":"function","function":{"name":{"toString":1}}}',
  '{"id":"1","function":{"name":{"toString":1},"arguments":5}}',
  '{"role":"user"}',
  '{"role":"user","content":"hi"}',
  '{"role":"__proto__","content":[]}',
];

const keys = [
  "type",
  "text",
  "role",
  "content",
  "name",
  "id",
  "function",
  "arguments",
  "include_usage",
  "__proto__",
  "constructor",
  "toString",
  "toJSON",
  "0",
  "",
];

/** One of some things. */
export function pick<T>(random: RandomBelow, choices: readonly T[]): T {
  return choices[random(choices.length)]!;
}

/** A JSON text that nests at most `levels` deep. */
export function randomJson(random: RandomBelow, levels = 4): string {
  const kind = random(levels > 0 ? 10 : 7);
  if (kind < 5) return pick(random, odd);
  if (kind === 5) return String((random(2 ** 31) - 2 ** 30) / pick(random, [1, 7, 1e9]));
  if (kind === 6) return JSON.stringify(randomText(random));
  const items = Array.from({ length: random(4) }, () => randomJson(random, levels - 1));
  if (kind === 7) return `[${items}]`;
  return `{${items.map((item) => `${JSON.stringify(pick(random, keys))}:${item}`)}}`;
}

function randomText(random: RandomBelow): string {
  const length = pick(random, [1, 5, 300, 3000]);
  const unit = pick(random, [0x80, 0x800, 0x10000]);
  return Array.from({ length }, () => String.fromCharCode(random(unit))).join("");
}
