import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Client } from "@libsql/client";
import type { ErrorCode } from "../../core/errors.ts";
import { createLog } from "../../core/log.ts";
import type { Attempt, Outcome } from "../../core/plugin.ts";
import { RouterError } from "../../core/plugin.ts";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { migrate } from "../../core/store/migrate.ts";
import { type Alert, createAlert } from "../../plugins/80_alerts/alert.ts";
import { AlertBoard } from "../../plugins/80_alerts/board.ts";
import type { Catalog } from "../../core/catalog.ts";
import type { CircuitChange, CircuitListener } from "../../core/circuits.ts";
import { Delivery } from "../../plugins/80_alerts/delivery.ts";
import { ErrorRate } from "../../plugins/80_alerts/error_rate.ts";
import { watchProviders } from "../../plugins/80_alerts/provider_watch.ts";
import { slack, webhook } from "../../plugins/80_alerts/sink.ts";
import { ToldStore } from "../../plugins/80_alerts/told.ts";
import { startSink } from "../support/alert_sink.ts";
import { HeldClock } from "../support/clock.ts";
import { seededRandom } from "../support/random.ts";

const quiet = createLog(() => {});
const quietMs = 60_000;

function alertOf(subject: string): Alert {
  return createAlert("provider", subject, true, { calls: 6, failed: 5, slow: 0 }, "en")!;
}

function boardOn(database: Client) {
  const sent: string[] = [];
  const board = new AlertBoard({
    told: new ToldStore(database, quietMs),
    quietMs,
    language: "en",
    log: quiet,
    send: ({ event, subject }) => sent.push(`${event} ${subject}`),
  });
  return { board, sent };
}

async function withDatabase(test: (database: Client) => Promise<void>): Promise<void> {
  const database = await openDatabase({ url: "file::memory:" });
  await migrate(database, migrationsFolder);
  await test(database);
  database.close();
}

const facts = { calls: 6, failed: 5, slow: 0 };

Deno.test("AlertBoard tells a change once, also of several processes, and after a restart", () =>
  withDatabase(async (database) => {
    using clock = new HeldClock();
    const [one, other] = [boardOn(database), boardOn(database)];
    for (let times = 0; times < 100; times++) {
      for (const { board } of [one, other]) board.report("provider", "p", true, facts);
    }
    await Promise.all([one.board.flush(), other.board.flush()]);
    assertEquals([...one.sent, ...other.sent], ["provider_down p"]);
    // Start after start while it is down: nothing more. One that sees it well again says so.
    for (let start = 0; start < 5; start++) {
      clock.pass(quietMs);
      const { board, sent } = boardOn(database);
      // A process that ran before it went down has not read it either.
      if (start % 2 === 0) await board.load();
      board.report("provider", "p", true, facts);
      board.tick();
      await board.flush();
      assertEquals(sent, []);
    }
    const last = boardOn(database);
    await last.board.load();
    assert(last.board.isTold("provider", "p"));
    for (const { board } of [last, one, other]) board.report("provider", "p", false, facts);
    await Promise.all([last, one, other].map(({ board }) => board.flush()));
    const sent = [last, one, other].flatMap((each) => each.sent);
    assertEquals(sent.toSorted(), ["provider_down p", "provider_up p"]);
  }));

Deno.test("AlertBoard is bounded by the quiet time, and ends with the truth", () =>
  withDatabase(async (database) => {
    const random = seededRandom();
    using clock = new HeldClock();
    const { board, sent } = boardOn(database);
    for (let step = 0; step < 2_000; step++) {
      board.report("provider", "p", random(2) === 0, facts);
      clock.pass(random(2_000));
      if (random(3) === 0) board.tick();
      if (random(10) === 0) await board.flush();
    }
    await board.flush();
    assertLessOrEqual(sent.length, Math.ceil(clock.passed / quietMs) + 1);
    board.report("provider", "p", true, facts);
    clock.pass(quietMs);
    board.tick();
    await board.flush();
    assertEquals(sent.at(-1), "provider_down p");
    for (let i = 1; i < sent.length; i++) assert(sent[i] !== sent[i - 1]);
  }));

Deno.test("AlertBoard tells without its database too, and forgets nothing when that is back", () =>
  withDatabase(async (database) => {
    using clock = new HeldClock();
    const { board, sent } = boardOn(database);
    await database.execute("ALTER TABLE alerts RENAME TO hidden");
    board.report("readiness", "", true, { failed: "database" });
    board.report("readiness", "", true, { failed: "database" });
    await board.flush();
    assertEquals(sent, ["not_ready "]);
    await database.execute("ALTER TABLE hidden RENAME TO alerts");
    board.report("readiness", "", false, {});
    await board.flush();
    assertEquals(sent, ["not_ready "], "quiet still");
    clock.pass(quietMs);
    board.tick();
    await board.flush();
    assertEquals(sent, ["not_ready ", "ready "]);
  }));

Deno.test("AlertBoard watches at most ten thousand subjects", () =>
  withDatabase(async (database) => {
    const { board, sent } = boardOn(database);
    for (let i = 0; i < 10_100; i++) board.report("credit-low", `key_${i}`, true, {});
    await board.flush();
    assertEquals(sent.length, 10_000);
  }));

const hasty = { timeout: 10_000, pauses: [5, 10], close: 10_000 };

Deno.test("Delivery tries three times, in order, and counts what never arrived", async () => {
  const statuses = [500, 429, 200, 400, 503, 503, 503, 302, 200];
  await using sink = startSink((number) => new Response("x", { status: statuses[number - 1]! }));
  const lost: string[] = [];
  const log = createLog((line) => {
    const { event: _, reason, lost: count } = JSON.parse(line);
    lost.push(`${reason} ${count}`);
  });
  const delivery = new Delivery(webhook(sink.url), log, hasty);
  for (const name of ["a", "b", "c", "d", "e"]) delivery.add(alertOf(name));
  await sink.message(8);
  await delivery.close();
  assertEquals(sink.messages.map(({ body }) => body.subject).join(""), "aaabcccde");
  assertEquals(new Set(sink.messages.slice(0, 3).map(({ body }) => body.id)).size, 1);
  assertEquals(lost, ["HTTP 400 1", "HTTP 503 2", "HTTP 302 3"]);
  assertEquals(delivery.dropped, 3);
});

Deno.test("Delivery to a sink that is silent is bounded in time and in number", async () => {
  const open = Promise.withResolvers<void>();
  await using sink = startSink(async () => {
    await open.promise;
    return new Response();
  });
  const reasons: string[] = [];
  const log = createLog((line) => reasons.push(JSON.parse(line).reason));
  const delivery = new Delivery(webhook(sink.url), log, { ...hasty, timeout: 20, close: 50 });
  for (let i = 0; i < 150; i++) delivery.add(alertOf(`s${i}`));
  // One is under way, a hundred wait.
  assertEquals(reasons, Array.from({ length: 49 }, () => "too many wait"));
  await sink.message(2);
  await delivery.close();
  assertEquals(delivery.dropped, 150);
  assert(reasons.includes("XRouter stops"));
  open.resolve();
});

Deno.test("Delivery goes on after a sink that was away has come back", async () => {
  let isAway = true;
  await using sink = startSink(() => new Response(null, { status: isAway ? 503 : 200 }));
  const delivery = new Delivery(webhook(sink.url), quiet, { ...hasty, pauses: [5, 5, 5, 5, 5, 5] });
  delivery.add(alertOf("a"));
  await sink.message(2);
  isAway = false;
  const { length } = sink.messages;
  await sink.message(length);
  await delivery.close();
  delivery.add(alertOf("b"));
  await delivery.close();
  assertEquals([delivery.dropped, sink.messages.at(-1)!.body.subject], [0, "b"]);
});

Deno.test("watchProviders tells of a model whose circuits are all open, and of its first answer", () => {
  const told: string[] = [];
  let state = "closed";
  let listener: CircuitListener = () => {};
  let ended = false;
  const watch = watchProviders(
    {
      isListed: ({ model }: { model: string }) => model === "m",
      providers: new Map([["p", { circuit: () => ({ state, retryAfterMs: 0 }) }]]),
      circuits: {
        subscribe(given: CircuitListener) {
          listener = given;
          return () => void (ended = true);
        },
      },
    } as unknown as Catalog,
    (name, isDown, { failed }) => told.push(`${name} ${isDown ? `down ${failed}` : "up"}`),
  );
  const change = (model: string) =>
    listener({ provider: "p", model, cause: { calls: 6, failed: 5, slow: 0 } } as CircuitChange);
  const answered = (model: string, error?: RouterError) =>
    watch.record({
      attempts: [{ target: { provider: "p", model, facts: {} }, durationMs: 1, error } as Attempt],
    });
  answered("m");
  answered("m");
  assertEquals(told.splice(0), ["p/m up"]);
  // Another account still answers.
  change("m");
  assertEquals(told, []);
  state = "open";
  change("m");
  // What ended late, and what failed, is no sign of life.
  answered("m");
  state = "closed";
  answered("m", new RouterError("timeout", "too late"));
  assertEquals(told.splice(0), ["p/m down 5"]);
  answered("m");
  assertEquals(told.splice(0), ["p/m up"]);
  // Names that clients make up share the provider's.
  state = "open";
  change("made-up-1");
  assertEquals(told, ["p down 5"]);
  watch.close();
  assertEquals(ended, true);
});

Deno.test("ErrorRate needs enough requests, leaves out clients' faults, and has to fall to half", () => {
  using clock = new HeldClock();
  const rate = new ErrorRate({ rate: 0.1, windowMs: 300_000, least: 20 }, false);
  const record = (times: number, state: Outcome["state"], code?: ErrorCode) => {
    for (let i = 0; i < times; i++) {
      rate.record({ state, ...(code && { error: { code, message: "" } }) } as Outcome);
    }
  };
  record(19, "failed", "timeout");
  record(50, "refused", "invalid_request");
  record(50, "failed", "model_not_found");
  record(50, "aborted");
  assertEquals(rate.judge().isHigh, false);
  // The operator has to pay.
  record(1, "failed", "insufficient_quota");
  assertEquals(rate.judge(), {
    isHigh: true,
    facts: { percent: 100, failed: 20, requests: 20, minutes: 5 },
  });
  record(200, "completed");
  assertEquals(rate.judge().isHigh, true, "9 %");
  record(180, "completed");
  assertEquals(rate.judge().isHigh, false, "5 %");
  clock.pass(400_000);
  record(30, "completed");
  assertEquals(rate.judge().facts, { percent: 0, failed: 0, requests: 30, minutes: 5 });
});

Deno.test("texts are one line in both languages, and a name calls nobody in Slack", () => {
  const facts = { calls: 30, failed: 24, slow: 0, percent: 12, requests: 200 };
  const all = { ...facts, minutes: 5, holder: 'key "<!channel>"', used: 80, left: "2.00 RUB" };
  for (
    const condition of [
      "provider",
      "error-rate",
      "credit-low",
      "credit-used-up",
      "readiness",
    ] as const
  ) {
    for (const bad of [true, false]) {
      const texts = (["en", "ru"] as const)
        .map((language) =>
          createAlert(condition, "p", bad, { ...all, failed: "database" }, language)
        )
        .map((alert) => alert?.text);
      if (texts[0] === undefined) continue;
      assert(texts.every((text) => !/undefined|\n/.test(text!)), texts.join());
      assert(!/[а-я]/.test(texts[0]) && /[а-я]/.test(texts[1]!), texts.join());
    }
  }
  const alert = createAlert("credit-low", "key_1", true, all, "en")!;
  assertEquals(slack("http://a.example").body(alert), {
    text: 'XRouter: key "&lt;!channel&gt;" has used 80 % of the credit, 2.00 RUB is left',
  });
});
