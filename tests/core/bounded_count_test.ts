import { assert, assertEquals } from "@std/assert";
import { Tiktoken } from "js-tiktoken/lite";
import ranks from "js-tiktoken/ranks/o200k_base";
import { countTexts, mostUnits } from "../../core/bounded_count.ts";
import { noteInput } from "../../core/input_tokens.ts";
import { loadTokenizer } from "../../core/tokens.ts";
import { randomInputs, randomWords, repeatedInputs } from "../fixtures/tokens/worst_inputs.ts";
import { startKernel } from "../support/kernel.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { seededRandom } from "../support/random.ts";
import { ask } from "../support/router.ts";

const tokenizer = await loadTokenizer("o200k_base");

const english = "The router counts a prompt's tokens before it's sent, and we'd rather know.\n";
const russian = "Маршрутизатор считает токены запроса до отправки: «Ёлки-палки!» — сказал он.\n";

/** A text of `units` that repeats `unit`. */
function fill(units: number, unit: string): string {
  return unit.repeat(Math.ceil(units / unit.length)).slice(0, units);
}

Deno.test("countTexts counts short texts at once", () => {
  const texts = ["Hello", "", " world", fill(20_000, english)];
  const tokens = texts.reduce((sum, text) => sum + tokenizer.count(text), 0);
  assertEquals(countTexts(texts, tokenizer), { tokens, exact: true });
});

Deno.test("countTexts counts long texts as js-tiktoken does, however often it is interrupted", async () => {
  const random = seededRandom();
  const oracle = new Tiktoken(ranks);
  const texts = [
    randomWords(random, 60_000),
    fill(30_000, english),
    fill(10_000, russian),
    "\u00a0\r\n 1234567 't we'Ll/\n/ ",
    fill(20_000, `${english}x1 !?\n\n  {"a":[1,22,4444]}\t👍🏽 你好，世界 e\u0301\r\n   `),
  ];
  const expected = texts.reduce((sum, text) => sum + oracle.encode(text, [], []).length, 0);
  let interruptions = 0;
  const timer = setInterval(() => interruptions++, 0);
  const [first, second] = await Promise.all(
    [texts, texts.toReversed()].map((each) => countTexts(each, tokenizer)),
  );
  clearInterval(timer);
  assertEquals([first, second], Array(2).fill({ tokens: expected, exact: true }));
  assert(interruptions > 0);
});

Deno.test("countTexts counts all of a text up to its limit, and samples of a longer one", async () => {
  const text = fill(mostUnits, english);
  assertEquals(await countTexts([text], tokenizer), { tokens: tokenizer.count(text), exact: true });
  assertEquals((await countTexts([text, "x"], tokenizer)).exact, false);
});

/** How much of the true count is estimated. */
async function ratioOf(...texts: string[]): Promise<number> {
  const { tokens, exact } = await countTexts(texts, tokenizer);
  assertEquals(exact, false);
  // A second count comes to the same.
  assertEquals((await countTexts(texts, tokenizer)).tokens, tokens);
  return tokens / texts.reduce((sum, text) => sum + tokenizer.count(text), 0);
}

Deno.test("countTexts estimates long texts to within a few percent, and hardly ever too low", async () => {
  const random = seededRandom();
  const units = 1_500_000;
  const cases: Record<string, string[]> = {
    "English": [fill(units, english)],
    "random words": [randomWords(random, 600_000)],
    "an English head, a Russian tail": [fill(units, english), fill(units, russian)],
    "a Russian head in English": [fill(100_000, russian), fill(9_900_000, english)],
  };
  for (const [name, texts] of Object.entries(cases)) {
    const ratio = await ratioOf(...texts);
    assert(ratio > 0.995 && ratio < 1.03, `${name}: ${ratio}`);
  }
});

Deno.test("countTexts estimates many short texts a token too high each at most", async () => {
  const texts = Array.from({ length: 20_000 }, (_, i) => `${english.slice(i % 40)}${i}`);
  const { tokens, exact } = await countTexts(texts, tokenizer);
  const counted = texts.reduce((sum, text) => sum + tokenizer.count(text), 0);
  assertEquals(exact, false);
  assert(tokens > 0.995 * counted && tokens < 1.01 * (counted + texts.length), `${tokens}`);
});

Deno.test("countTexts adds two standard errors to an estimate", async () => {
  let samples = 0;
  // Every second sample has 200 tokens more: a variance of 200² / 2 by the differences.
  const count = () => samples++ % 2 === 0 ? 100 : 300;
  const { tokens } = await countTexts([fill(2 * mostUnits, english)], { ...tokenizer, count });
  const sum = 256 * 200;
  const error = Math.sqrt(256 * 200 ** 2 / 2);
  assertEquals([samples, tokens], [256, Math.ceil(2 * (sum + 2 * error))]);
});

Deno.test("countTexts serves others while it counts many empty texts", async () => {
  let counted = 0;
  const count = () => {
    // All the time of a slice, twice in all.
    if (counted++ % 50_000 === 0) {
      for (const end = performance.now() + 10; performance.now() < end;);
    }
    return 0;
  };
  const result = countTexts(Array(100_000).fill(""), { ...tokenizer, count });
  assert(counted < 50_000, `${counted}`);
  assertEquals(await result, { tokens: 0, exact: true });
  assertEquals(counted, 100_000);
});

Deno.test("countTexts estimates the worst inputs to within a few percent", async () => {
  const { "random letters": letters = "" } = randomInputs(seededRandom());
  for (const [name, text] of Object.entries({ ...repeatedInputs(), letters })) {
    const ratio = text.length > mostUnits ? await ratioOf(text) : 1;
    assert(ratio > 0.99 && ratio < 1.05, `${name}: ${ratio}`);
  }
});

Deno.test("countTexts finds what is hidden between places that are easy to guess", async () => {
  const units = 2_560_000;
  const stretch = units / 256;
  // Twelve times as many tokens a unit.
  const cheap = (length: number) => fill(length, "a");
  const dense = (length: number) => fill(length, " ꙮ");
  const hidden = {
    "behind the first of each stretch": cheap(2_048) + dense(stretch - 2_048),
    "before the end of each stretch": dense(stretch - 2_048) + cheap(2_048),
    "in halves": cheap(stretch / 2) + dense(stretch / 2),
  };
  for (const [name, period] of Object.entries(hidden)) {
    const ratio = await ratioOf(fill(units, period));
    assert(ratio > 0.9 && ratio < 1.4, `${name}: ${ratio}`);
  }
});

Deno.test("countTexts serves others while it counts ten megabytes of any kind", async () => {
  const random = seededRandom();
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const texts = {
    "words": fill(10_000_000, randomWords(random, 600_000)),
    "base64": fill(10_000_000, bytes.toBase64()),
    "emoji": fill(5_000_000, randomInputs(random)["random emoji"]!),
  };
  for (const [name, text] of Object.entries(texts)) {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const { exact } = await countTexts([text], tokenizer);
    clearInterval(timer);
    assertEquals(exact, false);
    assert(turns > 3, `${name}: ${turns}`);
  }
});

Deno.test("the counting ends when its client leaves", async () => {
  const begun = Promise.withResolvers<void>();
  function* parts() {
    for (;;) {
      begun.resolve();
      yield 1;
    }
  }
  const endless = { ...tokenizer, count: () => 1, parts };
  await using kernel = startKernel({
    plugins: [{ hooks: { onRequest: async (x) => await noteInput(x, endless) } }],
  });
  const body = ask("vendor/m", "word ".repeat(1_000));
  const client = new LeavingClient((init) => kernel.chat(body, init));
  await begun.promise;
  client.leave();
  const { state, status, usage } = await kernel.ended();
  assertEquals([state, status, usage], ["aborted", 499, undefined]);
});
