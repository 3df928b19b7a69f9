import { assert, assertEquals, assertMatch } from "@std/assert";
import { wholeText } from "./answer.ts";
import { cases, nameOf } from "./cases.ts";
import {
  answeredByFallback,
  askedAtMost,
  askedExactly,
  atFirst,
  backWithin,
  errorIsNot,
  noFallback,
  probesAtMost,
  soundTimes,
  waitsFor,
  within,
} from "./checks.ts";
import type { Seen } from "./client.ts";
import { type Check, type Demands, type Evidence, judge, type Verdict } from "./judge.ts";
import type { Booked } from "./system.ts";
import { fullPasses, readTable, renderTable } from "./table.ts";
import type { LoggedCall } from "./vendor.ts";

const answer: Seen = {
  text: wholeText,
  finishes: ["stop"],
  usage: { prompt: 30, completion: 60, cost: 0.0069 },
  model: "good-well",
  hung: false,
  startedAt: 0,
  ms: 900,
};

const row: Booked = {
  tag: "1",
  provider: "good",
  model: "well",
  state: "completed",
  input: 30,
  output: 60,
  cost: 6_900,
  durationMs: 900,
};

const lostRow: Booked = { ...row, provider: "bad", model: "busy", state: "failed", cost: 140 };

/** A call that ended in an error. */
function failed(error: NonNullable<Seen["error"]>, text = ""): Seen {
  return { text, finishes: [], error, hung: false, startedAt: 0, ms: 900 };
}

const clear = { code: "upstream_unavailable", message: "The provider failed" };

/** Calls of the vendors at these times. */
function asked(bad: readonly number[], good: readonly number[] = []): LoggedCall[] {
  const log = (vendor: string) => (at: number) => ({ vendor, model: "m", at, prefilled: false });
  return [...bad.map(log("bad")), ...good.map(log("good"))].toSorted((a, b) => a.at - b.at);
}

function evidence(change: Partial<Evidence> = {}): Evidence {
  return {
    seen: [answer],
    calls: asked([0], [500]),
    rows: [row],
    ledger: { holds: 0, mismatches: 0 },
    healthy: answer,
    pace: 1,
    ...change,
  };
}

const never: Check = () => "never";

const judged: [what: string, change: Partial<Evidence>, Demands, Verdict, reason: RegExp][] = [
  ["a whole answer", {}, {}, "pass", /^$/],
  ["an advisory check that fails", {}, { advisory: [never] }, "partial", /^never$/],
  ["a required check that fails", {}, { required: [never] }, "fail", /^never$/],
  ["a clear error", { seen: [failed(clear)], rows: [] }, {}, "safe", /^upstream_unavailable: /],
  [
    "a clear error after words",
    { seen: [failed(clear, "a router")], rows: [lostRow] },
    { advisory: [never] },
    "safe",
    /failed$/,
  ],
  [
    "a clear error where a required check fails",
    { seen: [failed(clear)], rows: [] },
    { required: [never] },
    "fail",
    /never/,
  ],
  [
    "a broken connection",
    { seen: [failed({ message: "terminated" })], rows: [] },
    {},
    "fail",
    /not clear: terminated/,
  ],
  [
    "an error that says nothing",
    { seen: [failed({ code: "internal", message: "XRouter failed" })], rows: [] },
    {},
    "fail",
    /not clear/,
  ],
  ["a hang", { seen: [{ ...failed(clear), hung: true }], rows: [] }, {}, "fail", /^hangs/],
  [
    "a cut answer without an error",
    { seen: [{ ...answer, text: "a router is", finishes: [] }], rows: [] },
    {},
    "fail",
    /a cut answer looks finished: 3 words, no end/,
  ],
  [
    "all words without an end",
    { seen: [{ ...answer, finishes: [] }], rows: [] },
    {},
    "fail",
    /looks finished/,
  ],
  [
    "all words but one",
    { seen: [{ ...answer, text: wholeText.replace(" door", "") }], rows: [] },
    {},
    "fail",
    /looks finished: 59 words, stop/,
  ],
  [
    "one hang among answers",
    { seen: [answer, { ...answer, hung: true }] },
    {},
    "fail",
    /^hangs/,
  ],
  ["one error among answers", { seen: [answer, failed(clear)] }, {}, "safe", /upstream/],
  ["a system that is ill afterwards", { healthy: failed(clear) }, {}, "fail", /healthy/],
  ["one that is slow afterwards", { healthy: { ...answer, ms: 11_000 } }, {}, "fail", /healthy/],
  ["an answer that is not booked", { rows: [] }, {}, "fail", /1 answers are booked as 0/],
  ["one that is booked twice", { rows: [row, row] }, {}, "fail", /1 answers are booked as 2/],
  [
    "one that is booked to another model",
    { rows: [{ ...row, provider: "bad" }] },
    {},
    "fail",
    /answers of good\/well are booked to bad\/well/,
  ],
  ["one that cost nothing", { rows: [{ ...row, cost: 0 }] }, {}, "fail", /cost nothing/],
  ["one that cost less than it said", { rows: [{ ...row, cost: 6_000 }] }, {}, "fail", /0.006 is/],
  ["a lost try that is booked beside it", { rows: [lostRow, row] }, {}, "pass", /^$/],
  ["a hold that is left", { ledger: { holds: 1, mismatches: 0 } }, {}, "fail", /1 holds/],
  ["sums that are wrong", { ledger: { holds: 0, mismatches: 2 } }, {}, "fail", /2 numbers/],
  [
    "a refusal that is wanted",
    { seen: [failed({ code: "content_filter", message: "no" })], rows: [] },
    { refusal: "content_filter" },
    "pass",
    /^$/,
  ],
  ["a refusal that was routed around", {}, { refusal: "content_filter" }, "partial", /refusal/],
];

Deno.test("judge tells pass, partial, safe and fail", () => {
  for (const [what, change, demands, verdict, reason] of judged) {
    const judgement = judge(evidence(change), demands);
    assertEquals(judgement.verdict, verdict, `${what}: ${judgement.reasons}`);
    assertMatch(judgement.reasons.join("; "), reason, what);
  }
});

const checked: [what: string, Check, Partial<Evidence>, isFine: boolean][] = [
  ["six tries", askedAtMost(6), { calls: asked([0, 1, 2, 3, 4, 5], [6]) }, true],
  ["seven tries", askedAtMost(6), { calls: asked([0, 1, 2, 3, 4, 5, 6]) }, false],
  ["once", askedExactly(1), { calls: asked([0], [1]) }, true],
  ["never", askedExactly(1), { calls: asked([], [1]) }, false],
  ["two at first", atFirst(2, 1_500), { calls: asked([0, 1_400, 1_600]) }, true],
  ["three at first", atFirst(2, 1_500), { calls: asked([0, 700], [1_400]) }, false],
  ["a wait", waitsFor(1_800), { calls: asked([100, 2_100]) }, true],
  ["half a wait", waitsFor(1_800), { calls: asked([100, 1_100]) }, false],
  ["half a wait at half pace", waitsFor(1_800), { calls: asked([100, 1_100]), pace: 0.5 }, true],
  ["no second try", waitsFor(1_800), { calls: asked([100], [200]) }, true],
  ["no fallback", noFallback, { calls: asked([0, 1]) }, true],
  ["a fallback", noFallback, { calls: asked([0], [1]) }, false],
  ["in time", within(1_000), {}, true],
  ["late", within(800), {}, false],
  ["late at a short pace", within(800), { pace: 0.1 }, true],
  ["too late at a short pace", within(800, 8_000), { pace: 0.1 }, false],
  ["the fallback's answer", answeredByFallback, {}, true],
  ["another's", answeredByFallback, { seen: [{ ...answer, model: "bad-well" }] }, false],
  [
    "another's usage",
    answeredByFallback,
    { seen: [{ ...answer, usage: { prompt: 20, completion: 60 } }] },
    false,
  ],
  ["its own error", errorIsNot(/prefill/), { seen: [failed(clear)] }, true],
  [
    "the fallback's error",
    errorIsNot(/prefill/),
    { seen: [failed({ code: "invalid_request", message: "no prefill" })] },
    false,
  ],
  ["five probes", probesAtMost(5, 1_000), { calls: asked([0, 1, 2, 3, 4, 2_000]) }, true],
  ["six probes", probesAtMost(5, 1_000), { calls: asked([0, 1, 2, 3, 4, 900]) }, false],
  ["never back", backWithin(1_000, 500), {}, false],
  [
    "back in time",
    backWithin(1_000, 500),
    { seen: [answer, { ...answer, model: "bad-flapping", startedAt: 1_400 }] },
    true,
  ],
  [
    "back late",
    backWithin(1_000, 500),
    { seen: [answer, { ...answer, model: "bad-flapping", startedAt: 1_600 }] },
    false,
  ],
  ["a sound time", soundTimes, {}, true],
  ["an hour", soundTimes, { rows: [{ ...row, durationMs: 3_600_900 }] }, false],
  ["less than nothing", soundTimes, { rows: [{ ...row, durationMs: -3_599_100 }] }, false],
];

Deno.test("judge's checks look at logs, times and rows", () => {
  for (const [what, check, change, isFine] of checked) {
    const complaint = check(evidence(change));
    assertEquals(complaint === undefined, isFine, `${what}: ${complaint}`);
  }
});

Deno.test("fullPasses counts a fault once, by its best mode, unless one of them fails", () => {
  const passesOf = (...verdicts: Verdict[]) => {
    const [one] = cases.filter(({ number }) => number === 8);
    const others = cases.filter(({ number }) => number !== 8)
      .map((each) => ({ one: each, verdict: "pass" as const }));
    return fullPasses([...others, ...verdicts.map((verdict) => ({ one: one!, verdict }))]);
  };
  assertEquals(passesOf("safe", "pass", "pass"), 16);
  assertEquals(passesOf("pass", "pass", "fail"), 15);
  assertEquals(passesOf("safe", "safe", "partial"), 15);
});

Deno.test("renderTable writes what readTable reads", () => {
  const results = cases.map((one) => ({
    one,
    verdict: "partial" as const,
    reasons: ["a | b"],
    evidence: evidence(),
  }));
  const text = renderTable(results);
  assertEquals(readTable(text), cases.map((one) => [nameOf(one), one.fault, "partial"]));
  assertEquals(new Set(text.split("\n").map(({ length }) => length)).size, 1);
  assert(text.includes("| bad 1, good 1 | good completed 0.0069 | a \\| b |"), text);
});
