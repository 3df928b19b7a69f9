import { assertEquals } from "@std/assert";
import type { Verdict } from "../../core/breaker.ts";
import { drained, wholeAnswer } from "../../core/deadline.ts";
import { type ErrorCode, errorTable, RouterError } from "../../core/errors.ts";
import { WatchedCall } from "../../core/watched_call.ts";

/** What a breaker is told, the first time. */
function heard(end: (call: WatchedCall) => void): Verdict | undefined | "nothing" {
  const verdicts: (Verdict | undefined)[] = [];
  end(new WatchedCall({ end: (_now, verdict) => verdicts.push(verdict) }));
  return verdicts.length === 0 ? "nothing" : verdicts[0];
}

/** The same but for the error. */
function told(end: (call: WatchedCall) => void) {
  const verdict = heard(end);
  if (typeof verdict !== "object") return verdict;
  const { error: _error, ...rest } = verdict;
  return rest;
}

const failed = { failed: true, slow: false };
const failedSlowly = { failed: true, slow: true };

Deno.test("WatchedCall blames the provider for what is its own, and for nothing else", () => {
  const blamed: ErrorCode[] = [];
  for (const code of Object.keys(errorTable) as ErrorCode[]) {
    const verdict = told((call) => call.failed(new RouterError(code, "It failed")));
    if (verdict !== undefined) blamed.push(code);
  }
  assertEquals(blamed.sort(), [
    "insufficient_quota",
    "timeout",
    "upstream_rejected",
    "upstream_unavailable",
  ]);
  const param = { param: "model" };
  assertEquals(
    told((call) => call.failed(new RouterError("upstream_rejected", "It failed", param))),
    undefined,
  );
  assertEquals(told((call) => call.dropped()), undefined);
});

Deno.test("WatchedCall says why it failed", () => {
  const error = new RouterError("upstream_rejected", "It failed");
  assertEquals(heard((call) => call.failed(error)), { failed: true, slow: false, error });
});

Deno.test("WatchedCall takes a timeout for slow, unless the client left or may not have read", () => {
  const timeout = (detail: string, begun = false) =>
    told((call) => {
      if (begun) call.began(5);
      call.failed(new RouterError("timeout", "Too slow", { detail }));
    });
  assertEquals(timeout("the first byte"), failedSlowly);
  assertEquals(timeout("the next chunk", true), failedSlowly);
  assertEquals(timeout(wholeAnswer), failedSlowly);
  assertEquals(timeout(wholeAnswer, true), undefined);
  assertEquals(timeout(drained), undefined);
  assertEquals(timeout(drained, true), undefined);
});

Deno.test("WatchedCall goes by the time to the first token of a stream", () => {
  const answered = (ms: number | undefined) =>
    told((call) => {
      call.began(ms);
      call.answered();
    });
  assertEquals(answered(10_000), { failed: false, slow: false });
  assertEquals(answered(10_001), { failed: false, slow: true });
  assertEquals(answered(undefined), { failed: false, slow: false });
  const broken = told((call) => {
    call.began(100);
    call.failed(new RouterError("upstream_unavailable", "It broke off"));
  });
  assertEquals(broken, failed);
});
