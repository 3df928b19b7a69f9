import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { Catalog } from "../../core/catalog.ts";
import { wholeAnswer } from "../../core/deadline.ts";
import { type ErrorCode, errorTable, RouterError } from "../../core/errors.ts";
import { faults, HealthWindow } from "../../core/health.ts";
import { createLog } from "../../core/log.ts";
import { migrationsFolder } from "../../core/program.ts";
import type { Provider } from "../../core/provider.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import { Transport } from "../../core/transport.ts";
import { StatusHistory, type StatusRow } from "../../plugins/65_provider_status/history.ts";
import { Probe } from "../../plugins/65_provider_status/probe.ts";
import { reportStatus } from "../../plugins/65_provider_status/report.ts";
import { resultOf } from "../../plugins/65_provider_status/result.ts";
import { judge, type Status } from "../../plugins/65_provider_status/status.ts";
import { HeldClock } from "../support/clock.ts";
import { catalogOf } from "../support/metrics.ts";
import { ended, startBoard, tried } from "../support/provider_status.ts";

const minute = 60_000;
const thresholds = { minAttempts: 5, degradedRate: 0.1, downRate: 0.5 };

/** What a window of so many tries, errors and busy answers is judged to be. */
function judged(before: Status, attempts: number, errors: number, busy = 0): Status | undefined {
  const window = new HealthWindow(5 * minute);
  for (let i = 0; i < attempts; i++) {
    const fault = i < errors ? "timeout" : i < errors + busy ? "upstream_busy" : undefined;
    window.record(1, fault, undefined, undefined);
  }
  return judge(window, before, thresholds);
}

Deno.test("judge goes by error rates, and waits for enough tries", () => {
  assertEquals(judged("unknown", 0, 0), undefined);
  assertEquals(judged("unknown", 1, 0), "up");
  assertEquals(judged("up", 4, 4), undefined);
  assertEquals(judged("up", 5, 5), "down");
  assertEquals(judged("up", 10, 5), "down");
  assertEquals(judged("up", 10, 4), "degraded");
  assertEquals(judged("up", 10, 1), "degraded");
  assertEquals(judged("up", 11, 1), "up");
  assertEquals(judged("up", 10, 0, 10), "degraded", "a busy vendor is alive");
  assertEquals(judged("down", 4, 0), "up");
});

Deno.test("judge leaves a bad status at half of what led to it", () => {
  assertEquals(judged("down", 100, 26), "down");
  assertEquals(judged("down", 100, 25), "degraded");
  assertEquals(judged("degraded", 100, 6), "degraded");
  assertEquals(judged("degraded", 100, 5), "up");
  assertEquals(judged("down", 100, 0), "up");
});

Deno.test("resultOf blames the provider for what is its own, and for nothing else", () => {
  const target = catalogOf().target("alpha", "priced");
  const result = (code: ErrorCode, options = {}, left = false, rest = {}) =>
    resultOf(ended(target, new RouterError(code, "It failed", options), rest), left);
  const blamed = (Object.keys(errorTable) as ErrorCode[]).filter((code) => result(code));
  assertEquals(blamed.sort(), [...faults].sort());
  for (const fault of faults) assertEquals(result(fault), fault);
  assertEquals(result("upstream_rejected", { param: "model" }), undefined);
  // Nobody waited any more; and an answer that had begun may not have been read.
  assertEquals(result("timeout", {}, true), undefined);
  assertEquals(result("timeout", { detail: wholeAnswer }), undefined);
  assertEquals(
    result("timeout", { detail: wholeAnswer }, false, { firstChunkMs: undefined }),
    "timeout",
  );
  assertEquals(result("upstream_unavailable", {}, true), "upstream_unavailable");
  assertEquals(resultOf(ended(target), false), "answered");
  // An exchange that was given up has a try without an end.
  const { durationMs: _, ...hanging } = ended(target);
  assertEquals(resultOf(hanging, false), undefined);
});

Deno.test("StatusBoard keeps no counts of 10,000 names that clients made up", () => {
  using clock = new HeldClock();
  const catalog = catalogOf();
  const { board, rows } = startBoard(catalog);
  const rejected = new RouterError("upstream_rejected", "It failed");
  for (let i = 0; i < 10_000; i++) {
    const target = catalog.target("alpha", `made-up-${i}-${Math.random()}`);
    // Some vendors answer to any name.
    board.record(...tried([ended(target, i % 2 === 0 ? rejected : undefined)]));
    clock.pass(1);
  }
  board.record(...tried([ended(catalog.target("alpha", "x".repeat(10_000)))]));
  board.record(...tried([ended(catalog.target("alpha", "priced"))]));
  board.record(...tried([ended(catalog.target("nobody", "priced"))]));
  const [alpha] = board.observe();
  assertEquals(alpha!.whole.window.attempts, 10_002);
  assertEquals(alpha!.models.size, 101);
  board.snapshot();
  assertLessOrEqual(rows.length, 103);

  // Others may have written private names.
  const modelsFor = (admin: boolean) => {
    const { data } = reportStatus(board.observe(), catalog, 5 * minute, admin);
    const [{ models }] = data as [{ models: { model: string }[] }];
    return models.map(({ model }) => model);
  };
  assertEquals(modelsFor(false), ["priced"]);
  assertEquals(modelsFor(true).length, 101);

  clock.pass(6 * minute);
  const [rested] = board.observe();
  assertEquals([...rested!.models.keys()], ["priced"], "what rests makes room");
  board.record(...tried([ended(catalog.target("alpha", "new"))]));
  assertEquals(rested!.models.size, 2);
});

Deno.test("StatusBoard forgives only the try in which the client left", () => {
  const catalog = catalogOf();
  const { board } = startBoard(catalog);
  const target = catalog.target("alpha", "priced");
  const late = () => ended(target, new RouterError("timeout", "late"));
  board.record(...tried([late(), late()], "aborted"));
  const [alpha] = board.observe();
  assertEquals([alpha!.whole.window.attempts, alpha!.whole.window.errors], [1, 1]);
  board.record(...tried([late(), late()], "failed"));
  assertEquals(alpha!.whole.window.errors, 3);
});

Deno.test("StatusBoard enters an outage once, and nothing when a provider rests and comes back", () => {
  using clock = new HeldClock();
  const catalog = catalogOf();
  const { board, rows } = startBoard(catalog);
  const target = catalog.target("alpha", "priced");
  const busy = new RouterError("upstream_unavailable", "It failed");
  const run = (times: number, error?: RouterError) => {
    for (let i = 0; i < times; i++) board.record(...tried([ended(target, error)]));
    board.tick();
  };
  const changes = (model: string | null) =>
    rows.filter((row) => row.changed && row.model === model).map(({ status }) => status);
  for (let i = 0; i < 3; i++) {
    run(1);
    clock.pass(10 * minute);
    board.tick();
    assertEquals([...board.observe()][0]!.whole.status, "unknown");
  }
  run(5);
  assertEquals([changes(null), changes("priced")], [["up"], []]);
  run(20, busy);
  run(20, busy);
  clock.pass(10 * minute);
  run(1);
  assertEquals([changes(null), changes("priced")], [["up", "down", "up"], ["down", "up"]]);
  run(9, busy);
  clock.pass(10 * minute);
  board.tick();
  assertEquals(changes("priced"), ["down", "up", "down", "unknown"], "an outage has an end");
  rows.length = 0;
  board.snapshot();
  assertEquals(rows, [], "no row without traffic");
});

/** The probe of a vendor whose list the test writes. */
function probeOf(list: () => Promise<string[]>) {
  const provider: Provider = { name: "vendor", baseUrl: "http://127.0.0.1/v1", listModels: list };
  const sources = { env: { VENDOR_API_KEY: "k" }, file: {} };
  const { transport } = Transport.connect(provider, sources);
  return { probe: new Probe(transport!, minute), catalog: new Catalog([transport!]) };
}

Deno.test("Probe asks one at a time, after some rest that differs, and stops when it is closed", async () => {
  using clock = new HeldClock();
  let asked = 0;
  const answer = Promise.withResolvers<string[]>();
  const { probe } = probeOf(() => {
    asked++;
    return answer.promise;
  });
  let results = 0;
  const ask = (busyTick = -Infinity) => probe.ask(performance.now(), busyTick, () => results++);
  clock.pass(minute - 1);
  ask();
  clock.pass(minute);
  ask(performance.now());
  assertEquals(asked, 0, "neither before a minute, nor while it is busy");
  for (let i = 0; i < 5; i++) {
    ask();
    clock.pass(minute);
  }
  assertEquals(asked, 1);
  await probe.close();
  ask();
  assertEquals([asked, results], [1, 0]);
});

Deno.test("Probe waits for another time in every process", async () => {
  using clock = new HeldClock();
  const waits: number[] = [];
  for (let i = 0; i < 20; i++) {
    let isAsked = false;
    const { probe } = probeOf(() => {
      isAsked = true;
      return Promise.resolve([]);
    });
    const start = clock.passed;
    while (!isAsked) {
      clock.pass(100);
      probe.ask(performance.now(), -Infinity, () => {});
      // The list is asked for in a later turn.
      await Promise.resolve();
    }
    waits.push(clock.passed - start);
    await probe.close();
  }
  assert(waits.every((ms) => ms >= minute && ms <= 1.5 * minute + 200), `asked after ${waits}`);
  assert(new Set(waits).size > 5, `asked after ${waits}`);
});

Deno.test("Probe takes a refused list for a fault only where there has been one", async () => {
  using clock = new HeldClock();
  let error: unknown;
  const { probe } = probeOf(() =>
    error === undefined ? Promise.resolve([]) : Promise.reject(error)
  );
  const ask = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.pass(1.5 * minute);
    probe.ask(performance.now(), -Infinity, () => resolve());
    await promise;
    return probe.verdict;
  };
  for (const code of ["upstream_rejected", "insufficient_quota"] as const) {
    error = new RouterError(code, "Not with this key");
    for (let i = 0; i < 3; i++) assertEquals(await ask(), undefined);
  }
  error = undefined;
  assertEquals(await ask(), "up");
  for (
    const [code, param] of [["upstream_rejected", "model"], ["upstream_busy", undefined]] as const
  ) {
    error = new RouterError(code, "No list", param === undefined ? {} : { param });
    for (let i = 0; i < 3; i++) assertEquals(await ask(), undefined);
  }
  error = new RouterError("upstream_rejected", "Not any more");
  assertEquals([await ask(), await ask()], [undefined, "down"]);
  error = new TypeError("connection refused");
  assertEquals([await ask(), probe.result!.error!.code], ["down", "upstream_unavailable"]);
  probe.answered();
  assertEquals(probe.verdict, undefined);
  await probe.close();
});

Deno.test("StatusBoard takes two failed probes in a row for more than good traffic before", async () => {
  using clock = new HeldClock();
  const { probe: unused, catalog } = probeOf(() =>
    Promise.reject(new TypeError("no route to host"))
  );
  await unused.close();
  const { board, rows } = startBoard(catalog, minute);
  const good = () => board.record(...tried([ended(catalog.target("vendor", "m"))]));
  const [vendor] = board.observe();
  const status = () => [...board.observe()][0]!.whole.status;
  const probe = async () => {
    const before = vendor!.probe!.result;
    clock.pass(1.5 * minute);
    board.tick();
    while (vendor!.probe!.result === before) await new Promise((resolve) => setTimeout(resolve));
    return status();
  };
  for (let i = 0; i < 5; i++) good();
  assertEquals([await probe(), await probe()], ["up", "down"]);
  assertEquals(vendor!.whole.window.attempts, 5);
  clock.pass(1);
  good();
  assertEquals(status(), "up");
  assertEquals(
    [await probe(), await probe()],
    ["up", "down"],
    "failures before an answer do not count",
  );
  assertEquals(rows.map(({ status }) => status), ["up", "down", "up", "down"]);
  await board.close();
});

Deno.test("StatusHistory drops what is older than asked, and no more", async () => {
  const database = await openDatabase({ url: "file::memory:" });
  await migrate(database, migrationsFolder);
  const history = new StatusHistory(database, createLog(() => {}));
  const row: Omit<StatusRow, "at"> = {
    ...{ provider: "alpha", model: null, status: "up", changed: true, probeMs: null },
    ...{ latencyMs: null, latencyP95Ms: null, durationMs: null, durationP95Ms: null },
    ...{ attempts: 0, errors: 0, errorRate: null, errorCode: null },
    ...{ account: null, circuit: null },
  };
  for (let i = 0; i < 2_000; i++) history.add({ ...row, at: 1_700_000_000_000 + i });
  await history.close();
  const limit = 5_000;
  const all = { since: 0, snapshots: false, limit };
  assertEquals((await history.read(all)).length, 2_000);
  await history.dropBefore(1_700_000_001_234);
  const kept = await history.read(all);
  assertEquals([kept.length, kept[0]!.at], [2_000 - 1_234, 1_700_000_001_234]);
  const { rows } = await database.execute(
    "EXPLAIN QUERY PLAN SELECT * FROM provider_status WHERE id >= 'a' AND changed = 1 ORDER BY id",
  );
  assert(rows.some(({ detail }) => String(detail).includes("provider_status_changes")));
  database.close();
});
