import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { createLog } from "../../core/log.ts";
import { PriceBook, type PriceSource, type SourceTariff } from "../../core/prices/price_book.ts";
import type { Step } from "../../core/prices/tariff.ts";
import { HeldClock } from "../support/clock.ts";

const rub = (input: number) => ({ currency: "RUB", input, output: 1 });

function says(
  source: PriceSource,
  model: string,
  ...steps: [from: number, input: number | undefined][]
) {
  const tariff: Step[] = steps.map(([from, input]) => ({
    from,
    price: input === undefined ? undefined : rub(input),
  }));
  return { provider: "alpha", model, source, tariff } satisfies SourceTariff;
}

function inputAt(book: PriceBook, model: string, now: number): number | undefined {
  return book.at("alpha", model, now)?.input;
}

/** What a book follows, with answers that the test gives one by one. */
class ScriptedSource {
  asked = 0;
  #next = Promise.withResolvers<readonly SourceTariff[]>();

  readonly read = (): Promise<readonly SourceTariff[]> => {
    this.asked++;
    return this.#next.promise;
  };

  answer(...tariffs: SourceTariff[]): void {
    this.#next.resolve(tariffs);
    this.#next = Promise.withResolvers();
  }

  fail(): void {
    this.#next.reject(new Error("the database is away"));
    this.#next = Promise.withResolvers();
  }
}

function logged() {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: createLog((line) => lines.push(JSON.parse(line))) };
}

Deno.test("PriceBook takes the command's price, then the file's, then the provider's", () => {
  const book = new PriceBook([
    says("provider", "all", [0, 1]),
    says("file", "all", [0, 2]),
    says("provider", "one", [0, 1]),
  ]);
  book.take([says("command", "all", [0, 3]), says("command", "unlisted", [0, 4])]);
  const inputs = ["all", "one", "unlisted", "unknown", "constructor", "__proto__"]
    .map((model) => inputAt(book, model, 10));
  assertEquals(inputs, [3, 1, 4, undefined, undefined, undefined]);
  assertEquals(book.at("beta", "all", 10), undefined);
  assertEquals(book.models().map(({ model }) => model), ["all", "one", "unlisted"]);
});

Deno.test("PriceBook goes by time, and lets the next source speak where one has no price", () => {
  const book = new PriceBook([
    says("provider", "m", [0, 1], [40, 2]),
    says("file", "m", [20, 3], [60, undefined]),
  ]);
  book.take([says("command", "m", [30, 4], [50, undefined], [70, 5])]);
  const steps: [from: number, input: number, source: PriceSource][] = [
    [0, 1, "provider"],
    [20, 3, "file"],
    [30, 4, "command"],
    [50, 3, "file"],
    // At 40 the provider's price changed, and nobody saw it.
    [60, 2, "provider"],
    [70, 5, "command"],
  ];
  assertEquals(
    book.steps("alpha", "m").map(({ from, price, source }) => [from, price?.input, source]),
    steps,
  );
  for (const [i, [from, input]] of steps.entries()) {
    const end = steps[i + 1]?.[0] ?? Infinity;
    assertEquals([from, end - 1].map((now) => inputAt(book, "m", now)), [input, input], `${from}`);
  }
});

Deno.test("PriceBook knows no price before the first one, and none after one that ended", () => {
  const book = new PriceBook([says("file", "m", [20, 3])]);
  book.take([says("command", "n", [10, 1], [20, undefined])]);
  assertEquals([19, 20].map((now) => inputAt(book, "m", now)), [undefined, 3]);
  assertEquals([9, 10, 20].map((now) => inputAt(book, "n", now)), [undefined, 1, undefined]);
  assertEquals(book.steps("alpha", "n").map(({ source }) => source), ["command", undefined]);
});

Deno.test("PriceBook has a step where the price or who says it changes, and nowhere else", () => {
  const book = new PriceBook([says("provider", "m", [0, 1], [10, 1]), says("file", "m", [20, 1])]);
  assertEquals(book.steps("alpha", "m").map(({ from, source }) => [from, source]), [
    [0, "provider"],
    [20, "file"],
  ]);
});

Deno.test("PriceBook forgets what is no longer set, and keeps what the files say", () => {
  const book = new PriceBook([says("provider", "m", [0, 1])]);
  book.take([says("command", "m", [0, 2]), says("command", "n", [0, 3])]);
  assertEquals(["m", "n"].map((model) => inputAt(book, model, 1)), [2, 3]);
  book.take([]);
  assertEquals(["m", "n"].map((model) => inputAt(book, model, 1)), [1, undefined]);
  assertEquals(book.models(), [{ provider: "alpha", model: "m" }]);
});

Deno.test("PriceBook hands out one object for one price", () => {
  const book = new PriceBook([says("provider", "m", [0, 1])]);
  assertStrictEquals(book.at("alpha", "m", 1), book.at("alpha", "m", 2));
});

/** A book that has read once, and whose clock the test moves. */
async function following(): Promise<{
  book: PriceBook;
  source: ScriptedSource;
  lines: Record<string, unknown>[];
}> {
  const source = new ScriptedSource();
  const { lines, log } = logged();
  const book = new PriceBook([]);
  const reading = book.follow(source.read, log);
  source.answer(says("command", "m", [0, 1]));
  await reading;
  return { book, source, lines };
}

Deno.test("PriceBook reads again when it is asked, at most once a second, and holds up nobody", async () => {
  using clock = new HeldClock();
  const { book, source } = await following();
  for (let ms = 0; ms < 800; ms += 100) {
    assertEquals(inputAt(book, "m", 1), 1);
    clock.pass(100);
  }
  assertEquals(source.asked, 1);
  clock.pass(200);
  for (let i = 0; i < 100; i++) {
    assertEquals(inputAt(book, "m", 1), 1);
    assertEquals(book.refresh(), undefined);
  }
  assertEquals(source.asked, 2);
  source.answer(says("command", "m", [0, 2]));
  await book.close();
  assertEquals(inputAt(book, "m", 1), 2);
});

Deno.test("PriceBook has whoever asks after a pause wait for what was set meanwhile", async () => {
  using clock = new HeldClock();
  const { book, source } = await following();
  clock.pass(3_600_000);
  const reading = book.refresh();
  assertStrictEquals(book.refresh(), reading);
  source.answer(says("command", "m", [0, 2]));
  await reading;
  assertEquals([inputAt(book, "m", 1), source.asked], [2, 2]);
  assertEquals(book.refresh(), undefined);
});

Deno.test("PriceBook never uses what was read two seconds ago", async () => {
  using clock = new HeldClock();
  const { book, source } = await following();
  clock.pass(1_000);
  assertEquals(book.refresh(), undefined);
  clock.pass(1_000);
  // The reading takes long: what it brings may itself be a second old.
  const reading = book.refresh();
  source.answer(says("command", "m", [0, 2]));
  await reading;
  const next = book.refresh();
  assertEquals([inputAt(book, "m", 1), source.asked], [2, 3]);
  source.answer(says("command", "m", [0, 3]));
  assertEquals(next, undefined);
  await book.close();
  assertEquals(inputAt(book, "m", 1), 3);
});

Deno.test("PriceBook keeps the last known prices while reading fails, says so once, and tries on", async () => {
  using clock = new HeldClock();
  const { book, source, lines } = await following();
  const read = async (answer: () => void) => {
    clock.pass(1_900);
    const reading = book.refresh();
    answer();
    await reading;
  };
  for (let i = 0; i < 3; i++) {
    await read(() => source.fail());
    assertEquals([inputAt(book, "m", 1), book.refresh()], [1, undefined]);
  }
  assertEquals(lines.map(({ level, error }) => [level, error]), [
    ["error", "Error: the database is away"],
  ]);
  await read(() => source.answer(says("command", "m", [0, 2])));
  assertEquals([inputAt(book, "m", 1), lines.length, source.asked], [2, 1, 5]);
  await read(() => source.fail());
  assertEquals(lines.length, 2);
});

Deno.test("PriceBook survives a reader that throws at once", async () => {
  using clock = new HeldClock();
  const { lines, log } = logged();
  const book = new PriceBook([]);
  let answers: (() => SourceTariff[])[] = [() => [says("command", "m", [0, 1])]];
  // deno-lint-ignore require-await
  await book.follow(async () => answers.shift()!(), log);
  answers = [() => {
    throw new Error("broken");
  }, () => [says("command", "m", [0, 2])]];
  for (const input of [1, 2]) {
    clock.pass(2_000);
    await book.refresh();
    assertEquals(inputAt(book, "m", 1), input);
  }
  assertEquals(lines.length, 1);
});

Deno.test("PriceBook.follow rejects when the first reading does, and follows nothing", async () => {
  using clock = new HeldClock();
  const source = new ScriptedSource();
  const book = new PriceBook([]);
  const reading = book.follow(source.read, logged().log);
  source.fail();
  await assertRejects(() => reading, Error, "the database is away");
  clock.pass(5_000);
  assertEquals([book.refresh(), source.asked], [undefined, 1]);
});

Deno.test("PriceBook.close waits for a running reading and starts none", async () => {
  using clock = new HeldClock();
  const { book, source } = await following();
  clock.pass(1_000);
  assertEquals(inputAt(book, "m", 1), 1);
  let closed = false;
  const closing = book.close().then(() => closed = true);
  await Promise.resolve();
  assertEquals(closed, false);
  source.answer(says("command", "m", [0, 2]));
  await closing;
  clock.pass(5_000);
  assertEquals([inputAt(book, "m", 1), source.asked], [2, 2]);
});
