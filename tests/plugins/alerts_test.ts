import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { ConfigError } from "../../core/config.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { createLog } from "../../core/log.ts";
import { Program } from "../../core/program.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { type AlertSink, startSink } from "../support/alert_sink.ts";
import { HeldClock } from "../support/clock.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const token = "12345:canary-bot-token";
const hook = "canary-hook-path";

const listed = {
  models: { "openai/m": { price: { currency: "RUB", input: 10_000, output: 20_000 } } },
};

/** All sinks at one address, told apart by their paths. */
function sinks({ url }: AlertSink): Record<string, string> {
  return {
    XROUTER_ALERT_WEBHOOK_URL: `${url}/${hook}/any`,
    XROUTER_ALERT_SLACK_URL: `${url}/${hook}/slack`,
    XROUTER_ALERT_TELEGRAM_TOKEN: token,
    XROUTER_ALERT_TELEGRAM_CHAT: "-100777",
    XROUTER_ALERT_TELEGRAM_URL: url,
    XROUTER_ALERT_QUIET_SECONDS: "0",
    XROUTER_RETRIES: "0",
  };
}

/** A router whose looks from time to time are made by hand. */
async function startLooking(...args: Parameters<typeof startRouter>) {
  const looks: (() => void)[] = [];
  const real = globalThis.setInterval;
  globalThis.setInterval = ((run: () => void, ms: number) => {
    if (ms === 2_000) looks.push(run);
    return real(ms === 2_000 ? () => {} : run, ms);
  }) as typeof real;
  const router = await startRouter(...args).finally(() => globalThis.setInterval = real);
  return {
    router,
    /** Looks until something has come. */
    async until<Result>(waited: Promise<Result>): Promise<Result> {
      for (;;) {
        for (const look of looks) look();
        const turn = Promise.withResolvers<void>();
        const timer = setTimeout(turn.resolve, 5);
        const came = await Promise.race([waited, turn.promise]);
        clearTimeout(timer);
        if (came !== undefined) return came as Result;
      }
    },
  };
}

async function chats(router: TestRouter, count: number, model = "openai/m"): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) {
    const response = await router.chat(ask(model));
    await response.body?.cancel();
    statuses.push(response.status);
  }
  return statuses;
}

Deno.test("alerts tell every sink once that a provider is down, and once that it is up", async () => {
  let isWell = true;
  await using vendor = startUpstream(() =>
    isWell ? wholeAnswer() : new Response("no", { status: 503 })
  );
  await using sink = startSink();
  using clock = new HeldClock();
  await using router = await startRouter({ ...vendor.env, ...sinks(sink) }, listed);
  await chats(router, 3);
  isWell = false;
  await chats(router, 2);
  assertEquals(sink.messages, []);
  // Half of the last six: the model is asked no more.
  await chats(router, 6);
  await sink.message(2);
  isWell = true;
  clock.pass(5_000);
  await chats(router, 4);
  await sink.message(5);
  await router.stop();

  const of = (path: string) => sink.messages.filter((each) => each.path === path);
  const down = "XRouter: openai/m is down: 3 of its last 6 calls failed";
  const up = "XRouter: openai/m is up again";
  const told = of(`/${hook}/any`).map(({ body }) => body);
  assertEquals(told.map(({ event, subject, text }) => [event, subject, text]), [
    ["provider_down", "openai/m", down],
    ["provider_up", "openai/m", up],
  ]);
  assertEquals(told[0].facts, { calls: 6, failed: 3, slow: 0 });
  assertMatch(told[0].at, /^\d{4}-\d\d-\d\dT.*Z$/);
  assert(told[0].id !== told[1].id);
  assertEquals(of(`/${hook}/slack`).map(({ body }) => body), [{ text: down }, { text: up }]);
  assertEquals(of(`/bot${token}/sendMessage`).map(({ body }) => body), [
    { chat_id: "-100777", text: down },
    { chat_id: "-100777", text: up },
  ]);
  assertEquals(sink.messages.length, 6);
});

Deno.test("alerts of a provider that goes up and down do not pile up", async () => {
  let isWell = false;
  await using vendor = startUpstream(() =>
    isWell ? wholeAnswer() : new Response("no", { status: 503 })
  );
  await using sink = startSink();
  const env = { ...vendor.env, XROUTER_RETRIES: "0", XROUTER_ALERT_WEBHOOK_URL: sink.url };
  await using router = await startRouter(env, listed);
  using clock = new HeldClock();
  for (let turn = 0; turn < 6; turn++) {
    isWell = false;
    await chats(router, 5);
    isWell = true;
    // Less than the time after an alert in which nothing more is told.
    clock.pass(5_000);
    await chats(router, 1);
  }
  await router.stop();
  assertEquals(sink.messages.map(({ body }) => body.event), ["provider_down"]);
});

Deno.test("alerts tell when credit is used to 80 %, and used up, once each", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using sink = startSink();
  const { router, until } = await startLooking({
    ...vendor.env,
    XROUTER_ALERT_WEBHOOK_URL: sink.url,
    XROUTER_ALERT_LANGUAGE: "ru",
    XROUTER_CURRENCY: "RUB",
  }, listed);
  try {
    // An answer costs 0.20: 10 tokens of input and 5 of output.
    const accounts = new AccountStore(router.program.database);
    await accounts.credit(router.keyId, 2_000_000, "credit");
    const body = ask("openai/m", "hi", { max_tokens: 5 });
    const spend = async (): Promise<number> => {
      const response = await router.chat(body);
      await response.body?.cancel();
      return response.status;
    };
    for (let i = 0; i < 8; i++) assertEquals(await spend(), 200);
    // The charges are written in groups, from a timer.
    while ((await accounts.read(router.keyId))!.balance !== 400_000) {
      await new Promise<void>((resolve) => setTimeout(resolve, 1));
    }
    const low = await until(sink.message(0));
    assertEquals(low.body.event, "credit_low");
    assertEquals(low.body.subject, router.keyId);
    assertEquals(
      low.body.text,
      `XRouter: key "test" (${router.keyId}): израсходовано 80 % кредита, осталось 0.40 RUB`,
    );
    while (await spend() === 200);
    const used = await until(sink.message(1));
    assertEquals(used.body.event, "credit_used_up");
    assertStringIncludes(used.body.text, "кредит исчерпан");
    for (let i = 0; i < 5; i++) assertEquals(await spend(), 402);

    // New credit ends both silently; what is used up so soon again has been told.
    await accounts.credit(router.keyId, 300_000, "credit");
    while (await spend() === 200);
  } finally {
    await router.stop();
    await router[Symbol.asyncDispose]();
  }
  assertEquals(sink.messages.length, 2);
});

Deno.test("alerts of credit that is used up between two looks are one, for the owner too", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  await using sink = startSink();
  const { router, until } = await startLooking({
    ...vendor.env,
    XROUTER_ALERT_WEBHOOK_URL: sink.url,
    XROUTER_ALERT_QUIET_SECONDS: "0",
  }, listed);
  try {
    const { database } = router.program;
    const { secret } = await new KeyStore(database).create({ name: "one", owner: "Anna" });
    await new AccountStore(database).credit("owner:Anna", 500_000, "credit");
    const headers = { authorization: `Bearer ${secret}` };
    const body = ask("openai/m", "hi", { max_tokens: 5 });
    for (let status = 200; status === 200;) {
      const response = await router.chat(body, { headers });
      await response.body?.cancel();
      status = response.status;
    }
    const { body: { event, subject, text } } = await until(sink.message(0));
    assertEquals([event, subject], ["credit_used_up", "owner:Anna"]);
    assertEquals(text, 'XRouter: owner "Anna" has used the credit up, 0.10 RUB is left');
    // Nothing else is told by the next looks, nor at the stop.
    await until(new Promise((resolve) => setTimeout(() => resolve(true), 50)));
  } finally {
    await router[Symbol.asyncDispose]();
  }
  assertEquals(sink.messages.length, 1);
});

Deno.test("alerts tell when nothing can be recorded, and when it can again", async () => {
  await using sink = startSink();
  const { router, until } = await startLooking({
    XROUTER_ALERT_WEBHOOK_URL: sink.url,
    XROUTER_ALERT_QUIET_SECONDS: "0",
  });
  try {
    const { database } = router.program;
    await database.execute("ALTER TABLE usage RENAME TO hidden");
    await chats(router, 1, "echo");
    const { body } = await until(sink.message(0));
    assertEquals([body.event, body.facts], ["not_ready", { failed: "usage-record" }]);
    await database.execute("ALTER TABLE hidden RENAME TO usage");
    assertEquals((await until(sink.message(1))).body.event, "ready");
  } finally {
    await router[Symbol.asyncDispose]();
  }
  assertEquals(sink.messages.length, 2);
});

Deno.test("alerts tell when too many requests fail, and when few do again", async () => {
  let isWell = true;
  await using vendor = startUpstream(() =>
    isWell ? wholeAnswer() : new Response("no", { status: 503 })
  );
  await using sink = startSink();
  const { router, until } = await startLooking({
    ...vendor.env,
    XROUTER_RETRIES: "0",
    XROUTER_ALERT_WEBHOOK_URL: sink.url,
    XROUTER_ALERT_QUIET_SECONDS: "0",
  });
  try {
    await chats(router, 18);
    isWell = false;
    await chats(router, 2);
    const { body } = await until(sink.message(0));
    assertEquals([body.event, body.facts.failed, body.facts.requests], ["error_rate_high", 2, 20]);
    assertEquals(body.text, "XRouter: 10 % of requests failed within 5 min (2 of 20)");
    isWell = true;
    await chats(router, 20);
    assertEquals((await until(sink.message(1))).body.event, "error_rate_normal");
  } finally {
    await router[Symbol.asyncDispose]();
  }
});

Deno.test("alerts whose sink is gone touch no request, are counted, and show no secret", async () => {
  await using vendor = startUpstream(() => new Response("no", { status: 503 }));
  let gone: string;
  {
    await using sink = startSink();
    gone = sink.url;
  }
  await using silent = startSink(() => new Response("canary-answer", { status: 404 }));
  await using router = await startRouter({
    ...vendor.env,
    ...sinks(silent),
    XROUTER_ALERT_WEBHOOK_URL: `${gone}/${hook}`,
  });
  assertEquals(await chats(router, 6), [502, 502, 502, 502, 502, 503]);
  assertEquals(await chats(router, 3, "echo"), [200, 200, 200]);
  await router.stop();
  const lost = router.log.filter(({ message }) => message === "an alert is lost");
  assertEquals(
    lost.map(({ sink, reason, event, lost }) => `${sink} ${reason} ${event} ${lost}`).sort(),
    [
      "slack HTTP 404 provider_down 1",
      "telegram HTTP 404 provider_down 1",
      "webhook no connection provider_down 1",
    ],
  );
  const log = JSON.stringify(router.log);
  for (const canary of [token, hook, "canary-answer", "127.0.0.1"]) {
    assert(!log.includes(canary), `"${canary}" is in the log`);
  }
});

Deno.test("alerts refuse settings that cannot work, and do not repeat them", async () => {
  const problems = async (env: Record<string, string>) =>
    (await assertRejects(() => Program.open(env, createLog(() => {})), ConfigError)).message;
  assertStringIncludes(
    await problems({ XROUTER_ALERT_TELEGRAM_TOKEN: token }),
    "set both XROUTER_ALERT_TELEGRAM_TOKEN and XROUTER_ALERT_TELEGRAM_CHAT",
  );
  const wrong = await problems({ XROUTER_ALERT_SLACK_URL: `ftp://a.example/${hook}` });
  assertStringIncludes(wrong, "XROUTER_ALERT_SLACK_URL");
  assertStringIncludes(wrong, "must be an address that begins with https://");
  assert(!wrong.includes(hook), wrong);
});
