import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { KeyStore } from "../../core/store/keys.ts";
import type { LimitChanges } from "../../core/ledger/limits.ts";
import { MemoryRateStore } from "../../core/store/rate_limit.ts";
import { HeldClock } from "../support/clock.ts";
import { dropIn } from "../support/drop_in.ts";
import { seededRandom } from "../support/random.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}

/** OpenAI's durations, such as `1m30s` and `250ms`, in milliseconds. */
function toMs(duration: string): number {
  const [, minutes = 0, seconds = 0, ms = 0] = /^(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/
    .exec(duration)!;
  return Number(minutes) * 60_000 + Number(seconds) * 1000 + Number(ms);
}

Deno.test("of 200 requests at a time exactly 100 are admitted", async () => {
  using _clock = new HeldClock();
  await using router = await startRouter();
  const answers = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const { status, headers, body } = await router.chat(ask("echo", "hi", { stream: i % 2 === 0 }));
    await body?.cancel();
    return { status, remaining: Number(headers.get("x-ratelimit-remaining-requests")) };
  }));
  const admitted = answers.filter(({ status }) => status === 200);
  assertEquals(
    admitted.map(({ remaining }) => remaining).sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
  const refused = answers.filter(({ status }) => status === 429);
  assertEquals([admitted.length, refused.length], [100, 100]);
  assertEquals(refused.filter(({ remaining }) => remaining !== 0), []);
});

Deno.test("the headers say what is left, and the request after retry-after is admitted", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "3" });
  const names = ["limit", "remaining", "reset"].map((name) => `x-ratelimit-${name}-requests`);
  for (const remaining of ["2", "1", "0"]) {
    const { status, headers, body } = await router.chat(ask("echo"));
    await body?.cancel();
    assertEquals(status, 200);
    assertEquals(names.slice(0, 2).map((name) => headers.get(name)), ["3", remaining]);
    assertMatch(headers.get(names[2]!)!, /^(\d+m)?(\d+s)?$|^\d+ms$/);
    const reset = toMs(headers.get(names[2]!)!);
    assert(reset > 60_000 && reset <= 120_000, `${reset}`);
    assertEquals(headers.get("retry-after"), null);
  }
  for (let round = 0; round < 10; round++) {
    const refused = await router.chat(ask("echo"));
    assertEquals([refused.status, refused.headers.get(names[1]!)], [429, "0"]);
    const { error } = await refused.json();
    assertEquals([error.code, error.type], ["rate_limited", "rate_limit_error"]);
    assertMatch(
      error.message,
      /^The limit of key "test" is 3 requests a minute; 3 are used\. Try again in \S+$/,
    );
    const { renews_at: renewsAt, ...numbers } = error.metadata;
    assertEquals(numbers, { scope: "key", limit: 3, used: 3, left: 0, needed: 1 });
    const seconds = Number(refused.headers.get("retry-after"));
    assertEquals(Math.ceil((Date.parse(renewsAt) - Date.now()) / 1000), seconds);
    assert(Number.isInteger(seconds) && seconds >= 1 && seconds <= 120);
    clock.pass(seconds * 1000);
    assertEquals(await statusOf(router.chat(ask("echo"))), 200);
  }
});

Deno.test("every key has a minute of its own, and a wrong key takes from none", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "2" });
  const other = await new KeyStore(router.program.database).create({ name: "other" });
  const as = (secret: string, body: unknown = ask("echo")) =>
    statusOf(router.chat(body, { headers: { authorization: `Bearer ${secret}` } }));
  for (let i = 0; i < 5; i++) assertEquals(await as(`xr-${"A".repeat(43)}`), 401);
  assertEquals([await as(router.secret), await as(router.secret)], [200, 200]);
  assertEquals(await as(router.secret), 429);
  // What is asked wrongly is asked all the same.
  assertEquals([await as(other.secret, "{"), await as(other.secret)], [400, 200]);
  assertEquals(await as(other.secret), 429);
  clock.pass(120_000);
  assertEquals([await as(router.secret), await as(other.secret)], [200, 200]);
});

Deno.test("a refused request asks no vendor, and is recorded with its key", async () => {
  using _clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "1" });
  await statusOf(router.chat(ask("echo")));
  await statusOf(router.chat(ask("echo")));
  const row = (await router.usage()).find(({ state }) => state === "refused");
  assertEquals(
    [row!.state, row!.status, row!.error_code, row!.key_id, row!.attempts, row!.provider],
    ["refused", 429, "rate_limited", router.keyId, 0, null],
  );
});

const minute = 60_000;

/** A clock at which a window begins, so that what fades when is the same in every run. */
function startOfMinute(): HeldClock {
  const clock = new HeldClock();
  clock.pass(minute - Date.now() % minute);
  return clock;
}

/** What is asked by a key with these limits, whose owner has those. */
async function limitedKey(
  { program: { database } }: TestRouter,
  limits: LimitChanges,
  owner?: { name: string; limits: LimitChanges },
) {
  const made = { name: "limited", ...owner && { owner: owner.name } };
  const { key, secret } = await new KeyStore(database).create(made);
  await new AccountStore(database).setLimits(key.id, limits);
  if (owner) await new AccountStore(database).setLimits(`owner:${owner.name}`, owner.limits);
  return { authorization: `Bearer ${secret}` };
}

/** How a request ended, and what the headers say of one kind of limit. */
async function outcome(answer: Promise<Response>, kind: "requests" | "tokens") {
  const { status, headers, body } = await answer;
  const text = await new Response(body).text();
  const [limit, remaining, reset] = ["limit", "remaining", "reset"]
    .map((name) => headers.get(`x-ratelimit-${name}-${kind}`));
  return { status, text, limit, remaining, reset, retryAfter: headers.get("retry-after") };
}

Deno.test("a key's own limit goes before the setting, up or down", async () => {
  using clock = new HeldClock();
  await using router = await startRouter({ API_RATE_LIMIT: "2" });
  const fewer = await limitedKey(router, { requestsPerMinute: 1 });
  const more = await limitedKey(router, { requestsPerMinute: 3 });
  for (const [headers, limit] of [[fewer, "1"], [more, "3"]] as const) {
    for (let left = Number(limit) - 1; left >= 0; left--) {
      const said = await outcome(router.chat(ask("echo"), { headers }), "requests");
      assertEquals([said.status, said.limit, said.remaining], [200, limit, `${left}`]);
    }
    const refused = await outcome(router.chat(ask("echo"), { headers }), "requests");
    assertEquals([refused.status, refused.limit, refused.remaining], [429, limit, "0"]);
  }
  const { rows } = await router.program.database
    .execute("UPDATE accounts SET requests_per_minute = NULL RETURNING id");
  assertEquals(rows.length, 3);
  clock.pass(2_000);
  const lowered = await outcome(router.chat(ask("echo"), { headers: more }), "requests");
  assertEquals([lowered.status, lowered.limit], [429, "2"], "a change counts within two seconds");
});

Deno.test("the keys of an owner share its minute, and a refusal takes from neither", async () => {
  using clock = startOfMinute();
  await using router = await startRouter();
  const me = { name: "me", limits: { requestsPerMinute: 3 } };
  const one = await limitedKey(router, { requestsPerMinute: 2 }, me);
  const two = await limitedKey(router, {}, me);
  const say = (headers: Record<string, string>) =>
    outcome(router.chat(ask("echo"), { headers }), "requests");
  const shown = ({ status, limit, remaining }: Awaited<ReturnType<typeof say>>) =>
    [status, limit, remaining].join(" ");
  assertEquals(shown(await say(one)), "200 2 1", "the key's own is the tighter one");
  assertEquals(shown(await say(two)), "200 3 1", "the owner's is");
  assertEquals(shown(await say(two)), "200 3 0");
  for (const headers of [two, one, one]) {
    const refused = await say(headers);
    assertEquals(shown(refused), "429 3 0");
    assertStringIncludes(
      refused.text,
      'limit of owner \\"me\\" is 3 requests a minute; 3 are used',
    );
    assert(Number(refused.retryAfter) > 0);
  }
  // A key without an owner is none of its keys.
  assertEquals(shown(await say({})), "200 100 99");
  clock.pass(Number((await say(one)).retryAfter) * 1000);
  assertEquals((await say(one)).status, 200, "the refused ones took nothing of the key's two");
});

Deno.test("tokens are taken before the call, and the answer's are added to them", async () => {
  using clock = startOfMinute();
  await using router = await startRouter();
  const headers = await limitedKey(router, { tokensPerMinute: 60 });
  const say = (text: string, stream = false) =>
    outcome(router.chat(ask("echo", text, { stream }), { headers }), "tokens");
  const words = "one two three four five six seven eight nine ten";
  const first = await say(words);
  const { usage } = JSON.parse(first.text);
  assertEquals([first.status, first.limit], [200, "60"]);
  assertEquals(first.remaining, `${60 - usage.prompt_tokens}`);
  assertMatch(first.reset!, /^1m\d+s$|^2m0s$/);
  const second = await say(words, true);
  const used = usage.total_tokens + usage.prompt_tokens;
  assertEquals([second.status, second.remaining], [200, `${60 - used}`]);
  const refused = await say(words);
  const all = 2 * usage.total_tokens;
  assert(all + usage.prompt_tokens > 60 && all <= 60, "the numbers fit the test");
  assertEquals([refused.status, refused.remaining], [429, `${60 - all}`]);
  const { error } = JSON.parse(refused.text);
  assertMatch(
    `${error.code}: ${error.message}`,
    new RegExp(
      `^rate_limited: The limit of key "limited" is 60 tokens a minute; ${all} are used and this ` +
        `request has ${usage.prompt_tokens}\\. Try again in \\S+$`,
    ),
  );
  clock.pass(Number(refused.retryAfter) * 1000);
  assertEquals((await say(words)).status, 200);
});

Deno.test("the keys of an owner share its tokens, also past the limit", async () => {
  using clock = startOfMinute();
  await using router = await startRouter();
  const me = { name: "me", limits: { tokensPerMinute: 50 } };
  const one = await limitedKey(router, { tokensPerMinute: 500 }, me);
  const two = await limitedKey(router, { tokensPerMinute: 1000 }, me);
  const say = (headers: Record<string, string>, model: string) =>
    outcome(router.chat(ask(model), { headers }), "tokens");
  // A thousand words come back.
  assertEquals((await say(one, "echo-long")).status, 200);
  // The key's own 500 are used up too, and are there again sooner.
  for (const headers of [one, two]) {
    const refused = await say(headers, "echo");
    assertEquals([refused.status, refused.limit, refused.remaining], [429, "50", "0"]);
    const { scope, limit, used, held, left } = JSON.parse(refused.text).error.metadata;
    assertEquals([scope, limit, held, left], ["owner", 50, undefined, 0]);
    assert(used > 1000, `${used}`);
    assertStringIncludes(refused.text, `owner \\"me\\" is 50 tokens a minute; ${used} are used`);
  }
  clock.pass(110_000);
  const again = await say(two, "echo");
  assertEquals(again.status, 429, "what was used beyond the limit is waited for");
  clock.pass(Number(again.retryAfter) * 1000);
  assertEquals((await say(two, "echo")).status, 200);
});

Deno.test("a request with more tokens than a minute has is told to send less, not to wait", async () => {
  await using router = await startRouter();
  const headers = await limitedKey(router, { tokensPerMinute: 5 });
  const said = await outcome(router.chat(ask("echo", "w ".repeat(20)), { headers }), "tokens");
  assertEquals([said.status, said.retryAfter, said.remaining], [429, null, "5"]);
  const { metadata } = JSON.parse(said.text).error;
  assert(metadata.needed > 20);
  assertEquals({ ...metadata, needed: 0 }, { scope: "key", limit: 5, used: 0, left: 5, needed: 0 });
  assertMatch(said.text, /is 5 tokens a minute; 0 are used and this request has \d+\. Send less"/);
});

Deno.test("what running requests ask for is held, so that they use no more than a minute has", async () => {
  using _clock = startOfMinute();
  const asked = Promise.withResolvers<void>();
  const may = Promise.withResolvers<void>();
  await using vendor = startUpstream(async (_seen, number) => {
    if (number === 4) asked.resolve();
    await may.promise;
    return wholeAnswer("Hello.", { usage: { prompt_tokens: 5, completion_tokens: 3 } });
  });
  await using router = await startRouter(vendor.env);
  const headers = await limitedKey(router, { tokensPerMinute: 100 });
  const say = (rest: object) =>
    outcome(router.chat(ask("openai/vendor-model", "hi", rest), { headers }), "tokens");
  const running = [
    ...Array.from({ length: 3 }, () => say({ max_tokens: 10 })),
    // An alternative each.
    say({ max_completion_tokens: 10, n: 2 }),
  ];
  await asked.promise;
  const refused = await Promise.all(Array.from({ length: 8 }, () => say({ max_tokens: 90 })));
  for (const { status, text } of refused) {
    assertEquals(status, 429);
    const { message, metadata: { used, held, left, needed } } = JSON.parse(text).error;
    const input = needed - 90;
    assertEquals([used, held, left], [0, 4 * input + 50, 50 - 4 * input]);
    assertStringIncludes(
      message,
      `100 tokens a minute; 0 are used, ${held} are held by running requests and this request has ` +
        `${input} and asks for 90 more. Try again in `,
    );
  }
  may.resolve();
  assertEquals((await Promise.all(running)).map(({ status }) => status), [200, 200, 200, 200]);
  // Of what was held, 8 tokens each were used, and the rest is there again.
  const last = await say({ max_tokens: 10 });
  assertEquals([last.status, Number(last.remaining) > 40], [200, true], last.text);
  assertEquals(vendor.seen.length, 5);
});

Deno.test("a request that asks for more tokens than a minute has is told to ask for less", async () => {
  await using router = await startRouter();
  const headers = await limitedKey(router, { tokensPerMinute: 50 });
  const say = (max_tokens: number) =>
    outcome(router.chat(ask("echo", "hi", { max_tokens }), { headers }), "tokens");
  const { status, retryAfter, text } = await say(50);
  assertEquals([status, retryAfter], [429, null]);
  assertMatch(
    text,
    /this request has \d+ and asks for 50 more. Send less, or ask for less with \\"max/,
  );
  assertEquals((await say(20)).status, 200, "it took nothing");
});

Deno.test("a request that nobody answered gives back what it held", async () => {
  using _clock = startOfMinute();
  await using router = await startRouter();
  const headers = await limitedKey(router, { tokensPerMinute: 100 });
  for (const model of ["echo-fail", "nobody/has-it", "echo"]) {
    const body = ask(model, "hi", { max_tokens: 80 });
    const { remaining } = await outcome(router.chat(body, { headers }), "tokens");
    assert(Number(remaining) < 20 && Number(remaining) > 0, `${model}: ${remaining}`);
  }
});

const cache = `
import { definePlugin } from "xrouter/plugin";

export default definePlugin({
  name: "cache",
  setup: () => ({
    onRequest: () => ({
      id: "c", object: "chat.completion", created: 1, model: "cache",
      choices: [{ index: 0, message: { role: "assistant", content: "kept" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 40, completion_tokens: 40, total_tokens: 80 },
    }),
  }),
});
`;

Deno.test("an answer that no provider gave takes no tokens, nor does a key without the limit", async () => {
  await using folder = await dropIn({ "35_cache.ts": cache });
  await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder.path });
  const limited = await limitedKey(router, { tokensPerMinute: 50 });
  for (let i = 0; i < 3; i++) {
    const said = await outcome(router.chat(ask("echo"), { headers: limited }), "tokens");
    assertEquals([said.status, said.limit], [200, null]);
  }
  const free = await outcome(router.chat(ask("echo")), "tokens");
  assertEquals([free.status, free.limit], [200, null]);
});

Deno.test("what is said to be left is left, and after the reset all of it is", () => {
  const random = seededRandom();
  for (let run = 0; run < 500; run++) {
    let now = 1_700_000_000_000;
    const store = new MemoryRateStore(() => now);
    const limit = 1 + random(30);
    const take = () => store.take([{ key: "key", limit, windowMs: minute, cost: 1 }])[0]!;
    for (let i = random(60); i > 0; i--) {
      // Bursts, steady streams, pauses, and the edges of the minute.
      const edge = minute - now % minute;
      now += [0, 0, 1, random(50), random(2_000), random(200_000), edge - 1, edge][random(8)]!;
      take();
    }
    const { remaining } = take();
    for (let left = remaining; left > 0; left--) assertEquals(take().fits, true);
    const { fits, resetMs } = take();
    assertEquals(fits, false);
    now += resetMs;
    assertEquals(take().remaining, limit - 1);
  }
});

Deno.test("a request that comes when room is made is counted in all its windows", () => {
  let now = 1_700_000_000_000;
  const store = new MemoryRateStore(() => now);
  const window = (key: string) => ({ key, limit: 5, windowMs: minute, cost: 1 });
  for (let i = 0; i < 10_000 - 1; i++) store.take([window(`old ${i}`)]);
  now += 3 * minute;
  const pair = [window("new"), window("newer")];
  assertEquals(store.take(pair).map(({ remaining }) => remaining), [4, 4]);
  assertEquals(store.take(pair).map(({ remaining }) => remaining), [3, 3]);
});
