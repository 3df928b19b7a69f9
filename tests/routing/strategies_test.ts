import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { ModelFacts, Target } from "../../core/model.ts";
import {
  type Candidate,
  type Circumstances,
  putInOrder,
  type StrategyName,
} from "../../core/routing/strategies.ts";
import { Traffic } from "../../core/routing/traffic.ts";

/** Numbers from 0, below 1, that are the same in each run (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function target(model: string, facts: ModelFacts = {}): Target {
  return { provider: "vendor", model, facts };
}

function candidates(weights: Record<string, number>): Candidate[] {
  return Object.entries(weights).map(([model, weight]) => ({ target: target(model), weight }));
}

function given(rest: Partial<Circumstances> = {}): Circumstances {
  return {
    random: chance(1),
    traffic: new Traffic(),
    tokens: { input: 1_000, output: 500 },
    currency: "RUB",
    conversation: () => "conversation",
    ...rest,
  };
}

const ids = (list: readonly Candidate[]) => list.map(({ target }) => target.model).join("");

/** How often each order came about in `times` requests. */
function orders(
  strategy: StrategyName,
  list: readonly Candidate[],
  circumstances: (i: number) => Circumstances,
  times = 20_000,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const order = ids(putInOrder(strategy, list, circumstances(i)));
    counts.set(order, (counts.get(order) ?? 0) + 1 / times);
  }
  return counts;
}

/** The share of orders that begin so. */
function beginning(counts: Map<string, number>, first: string): number {
  return [...counts].filter(([order]) => order.startsWith(first))
    .reduce((sum, [, share]) => sum + share, 0);
}

Deno.test("priority leaves targets as they stand", () => {
  const list = candidates({ a: 1, b: 9, c: 4 });
  assertEquals([...orders("priority", list, () => given(), 50).keys()], ["abc"]);
});

Deno.test("weighted gives every place by weight among those that are left", () => {
  const list = candidates({ a: 1, b: 3, c: 6 });
  const circumstances = given();
  const counts = orders("weighted", list, () => circumstances);
  for (const [first, share] of Object.entries({ a: 0.1, b: 0.3, c: 0.6 })) {
    assertAlmostEquals(beginning(counts, first), share, 0.015);
  }
  // After c, one of a and b: by 1 to 3. After b, one of a and c: by 1 to 6.
  assertAlmostEquals(beginning(counts, "cb") / beginning(counts, "c"), 3 / 4, 0.02);
  assertAlmostEquals(beginning(counts, "bc") / beginning(counts, "b"), 6 / 7, 0.02);
  assertEquals(counts.size, 6);
});

Deno.test("least-busy asks where least runs for its weight, and shares what is idle by weight", () => {
  const traffic = new Traffic();
  const list = candidates({ a: 1, b: 4, c: 1 });
  const begin = (model: string, times: number) => {
    for (let i = 0; i < times; i++) traffic.begin(target(model));
  };
  begin("a", 1);
  begin("b", 3);
  begin("c", 2);
  const circumstances = given({ traffic });
  assertEquals([...orders("least-busy", list, () => circumstances, 50).keys()], ["bac"]);
  begin("b", 2);
  assertEquals([...orders("least-busy", list, () => circumstances, 50).keys()], ["abc"]);
  const idle = given();
  const counts = orders("least-busy", list, () => idle);
  assertAlmostEquals(beginning(counts, "b"), 4 / 6, 0.02);
  assertAlmostEquals(beginning(counts, "a"), 1 / 6, 0.02);
});

Deno.test("latency asks the quickest, and one in twenty times one whose time is not known", () => {
  const traffic = new Traffic();
  traffic.note(target("b"), 300);
  traffic.note(target("c"), 200);
  const circumstances = given({ traffic });
  const counts = orders("latency", candidates({ a: 1, b: 1, c: 1, d: 1 }), () => circumstances);
  assertAlmostEquals(counts.get("cbad")!, 0.95, 0.01);
  assertAlmostEquals(counts.get("acbd")!, 0.025, 0.005);
  assertAlmostEquals(counts.get("dcba")!, 0.025, 0.005);
  assertEquals(counts.size, 3);
});

Deno.test("latency measures one again that was slow once", () => {
  const traffic = new Traffic();
  const times = { a: 50, b: 9_000, c: 80 };
  for (const [model, ms] of Object.entries(times)) traffic.note(target(model), ms);
  const circumstances = given({ traffic });
  const counts = orders("latency", candidates({ a: 1, b: 1, c: 1 }), () => circumstances);
  assertAlmostEquals(counts.get("acb")!, 0.95, 0.01);
  assertAlmostEquals(beginning(counts, "b"), 0.025, 0.005);
  assertAlmostEquals(beginning(counts, "c"), 0.025, 0.005);
});

Deno.test("cheapest goes by the price of what is expected, and asks the unpriced last", () => {
  const price = (input: number, output: number, currency = "RUB") => ({
    price: { input, output, currency },
  });
  const list = [
    { target: target("a"), weight: 1 },
    { target: target("b", price(1, 100)), weight: 1 },
    { target: target("c", price(40, 40)), weight: 1 },
    { target: target("d", price(1, 1, "USD")), weight: 1 },
  ];
  const order = (tokens: Circumstances["tokens"]) =>
    ids(putInOrder("cheapest", list, given({ tokens })));
  // 1,000 in and 500 out: 51,000 against 60,000.
  assertEquals(order({ input: 1_000, output: 500 }), "bcad");
  assertEquals(order({ input: 100, output: 500 }), "cbad");
});

Deno.test("sticky keeps a conversation where it is, and spreads conversations by weight", () => {
  const list = candidates({ a: 1, b: 1, c: 2 });
  const order = (name: string, among = list) =>
    ids(putInOrder("sticky", among, given({ conversation: () => name })));
  assertEquals(order("one"), order("one", list.toReversed()), "the order of the file says nothing");
  const counts = orders("sticky", list, (i) => given({ conversation: () => `talk ${i}` }), 5_000);
  assertAlmostEquals(beginning(counts, "c"), 0.5, 0.03);
  assertAlmostEquals(beginning(counts, "a"), 0.25, 0.03);
  // Where one goes, only its own conversations move, each to the one that was next.
  for (let i = 0; i < 200; i++) {
    const all = order(`talk ${i}`);
    const rest = order(`talk ${i}`, list.filter(({ target }) => target.model !== "b"));
    assertEquals(rest, all.replace("b", ""));
  }
});

Deno.test("a strategy asks nobody when there is nothing to choose", () => {
  const refuse = () => assert(false, "was asked");
  const none = given({ random: refuse as never, conversation: refuse as never });
  for (const strategy of ["weighted", "least-busy", "latency", "sticky"] as const) {
    assertEquals(ids(putInOrder(strategy, candidates({ a: 1 }), none)), "a");
    assertEquals(putInOrder(strategy, [], none), []);
  }
});
