import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import type { Provider } from "../../core/provider.ts";
import { readSettings } from "../../core/settings.ts";
import { accountsOf } from "../../providers/gigachat/accounts.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { type FakeGigachat, startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open, readAll, textOf } from "../support/fake_gigachat_call.ts";
import { startKernel, type TestKernel } from "../support/kernel.ts";

const firstKey = btoa("first-client:first-secret");
const secondKey = btoa("second-client:second-secret");
const question = { model: "gigachat/GigaChat-2", messages: [{ role: "user", content: "Привет" }] };

function startRouter(fake: FakeGigachat, env: Record<string, string> = {}): TestKernel {
  return startKernel({ providers: [gigachat as Provider], env: { ...fake.env, ...env } });
}

/** A fake with two personal accounts, and the router that knows both keys. */
async function startPair(): Promise<{ fake: FakeGigachat; router: TestKernel }> {
  const fake = await startFakeGigachat({ credentials: firstKey });
  fake.addAccount({ credentials: secondKey });
  fake.streams = 1;
  const router = startRouter(fake, { GIGACHAT_CREDENTIALS: `${firstKey}, Basic ${secondKey}` });
  return { fake, router };
}

function accounts(env: Record<string, string>, file: Record<string, unknown> = {}) {
  const { value, problems } = readSettings(gigachatSettings, { env, file, at: "gigachat" });
  assertEquals(problems, []);
  return accountsOf(value!);
}

Deno.test("20 clients of one personal key are served one after another", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  await using router = startRouter(fake);
  const answers = await Promise.all(Array.from({ length: 20 }, async (_, at) => {
    const stream = at % 2 === 0;
    const response = await router.chat({ ...question, stream });
    assertEquals(response.status, 200);
    if (!stream) return (await response.json()).choices.length === 1;
    return (await readWholeStream(response)).done;
  }));
  assertEquals(answers, Array(20).fill(true));
  assertEquals(fake.running.most, 1);
});

Deno.test("clients are served although gigachat counts a stream that has just ended", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  fake.running.lateRefusals = 2;
  await using router = startRouter(fake);
  const statuses = await Promise.all(Array.from({ length: 4 }, async () => {
    const response = await router.chat({ ...question, stream: true });
    await readWholeStream(response);
    return response.status;
  }));
  assertEquals(statuses, [200, 200, 200, 200]);
  assertEquals(fake.chats.length, 4 + 3 * 2);
  const busy = router.log.filter(({ code }) => code === "upstream_busy");
  assertEquals(busy.length, 6);
  assertStringIncludes(String(busy[0]!.detail), "GIGACHAT_PARALLEL");
});

Deno.test("a stream keeps its place to the last byte, and whoever leaves gives it back", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  using connection = connectTo(fake);
  let rest = Promise.withResolvers<void>();
  async function* slowly() {
    yield "один";
    await rest.promise;
    yield "два";
  }
  fake.reply = () => ({ content: slowly() });
  const first = await open(connection, { stream: true });
  const second = open(connection, { stream: true });
  assertEquals(fake.chats.length, 1);
  rest.resolve();
  assertEquals(textOf(await readAll(first)), "одиндва");
  rest = Promise.withResolvers<void>();
  const left = await second;
  fake.reply = () => ({ content: "снова" });
  const third = ask(connection);
  await left.cancel();
  assertEquals((await third).choices[0]!.message!.content, "снова");
  assertEquals(await fake.requestsTo("/v1/chat/completions")[1]!.end, "aborted");
  rest.resolve();
  assertEquals(connection.transport.onAbort, "cancel");
});

Deno.test("lists, balances and sign-ins take no place", async () => {
  await using fake = await startFakeGigachat({ balance: [] });
  using connection = connectTo(fake);
  const rest = Promise.withResolvers<void>();
  async function* slowly() {
    yield "один";
    await rest.promise;
  }
  fake.reply = () => ({ content: slowly() });
  const stream = await open(connection, { stream: true });
  const { signal } = new AbortController();
  fake.expireTokens();
  assertEquals((await connection.transport.listModels(signal))[0], fake.models[0]);
  assertEquals(await connection.transport.accounts[0]!.balance(signal), []);
  rest.resolve();
  assertEquals(textOf(await readAll(stream)), "один");
  assertEquals(fake.tokensIssued, 2);
});

Deno.test("a client who leaves the queue costs no call, and the next one is served", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  using connection = connectTo(fake);
  const rest = Promise.withResolvers<void>();
  fake.reply = async () => {
    await rest.promise;
    return { content: "да" };
  };
  const leaving = new AbortController();
  const first = ask(connection);
  const second = open(connection, {}, leaving.signal).catch((error: unknown) => error);
  const third = ask(connection);
  leaving.abort(new Error("left"));
  assertEquals(((await second) as Error).message, "left");
  rest.resolve();
  await Promise.all([first, third]);
  assertEquals(fake.chats.length, 2);
});

Deno.test("two keys serve two clients at a time", async () => {
  const { fake, router } = await startPair();
  await using _fake = fake;
  await using _router = router;
  const both = Promise.withResolvers<void>();
  let asked = 0;
  fake.reply = async () => {
    if (++asked === 2) both.resolve();
    await both.promise;
    return { content: "да" };
  };
  const responses = await Promise.all(Array.from({ length: 6 }, () => router.chat(question)));
  for (const response of responses) {
    assertEquals(response.status, 200);
    await response.body!.cancel();
  }
  assertEquals(fake.running.most, 1);
  assertEquals(fake.tokensIssued, 2);
  const tokens = fake.requestsTo("/v1/chat/completions")
    .map(({ headers }) => headers.get("authorization"));
  assertEquals(new Set(tokens).size, 2);
});

for (const status of [401, 402, 403, 404, 429]) {
  Deno.test(`an account of gigachat that answers ${status} is followed by the other`, async () => {
    const { fake, router } = await startPair();
    await using _fake = fake;
    await using _router = router;
    fake.account.refuses = { status };
    for (let request = 0; request < 3; request++) {
      const response = await router.chat(question);
      assertEquals(response.status, 200);
      await response.body!.cancel();
    }
    const refused = fake.requestsTo("/v1/chat/completions").filter((each) =>
      each.status === status
    );
    assertLessOrEqual(refused.length, status === 401 ? 2 : 1);
    const line = router.log.find(({ message }) => String(message).startsWith("an account refused"));
    assertEquals(line?.account, "1");
  });
}

Deno.test("20 clients ask an account that refuses once, and wait for the other", async () => {
  const { fake, router } = await startPair();
  await using _fake = fake;
  await using _router = router;
  fake.account.refuses = { status: 402 };
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => {
    const response = await router.chat(question);
    await response.body!.cancel();
    return response.status;
  }));
  assertEquals(statuses, Array(20).fill(200));
  const calls = fake.requestsTo("/v1/chat/completions");
  assertEquals(calls.filter(({ status }) => status === 402).length, 1);
});

Deno.test("a client is served by the one account that works, though the other is busy for long", async () => {
  const { fake, router } = await startPair();
  await using _fake = fake;
  await using _router = router;
  // Somebody else uses the first key.
  fake.account.streams = 0;
  fake.running.lateRefusals = 2;
  const rest = Promise.withResolvers<void>();
  async function* slowly() {
    yield "один";
    await rest.promise;
    yield "два";
  }
  fake.reply = () => ({ content: slowly() });
  const first = await router.chat({ ...question, stream: true });
  const second = router.chat({ ...question, messages: [{ role: "user", content: "Ещё" }] });
  // The first client was refused there as well. Now the second has been patient in vain.
  const refusals = () => router.log.filter(({ account }) => account === "1").length;
  while (refusals() < 7) await new Promise((resolve) => setTimeout(resolve, 5));
  fake.reply = () => ({ content: "да" });
  rest.resolve();
  assertEquals((await readWholeStream(first)).done, true);
  const response = await second;
  assertEquals([response.status, response.headers.get("x-xrouter-queue")], [200, "1"]);
  assertEquals((await response.json()).choices[0].message.content, "да");
});

Deno.test("a key that is not known costs the others nothing", async () => {
  await using fake = await startFakeGigachat({ credentials: secondKey });
  await using router = startRouter(fake, { GIGACHAT_CREDENTIALS: `${firstKey},${secondKey}` });
  const response = await router.chat(question);
  assertEquals(response.status, 200);
  await response.body!.cancel();
  const line = router.log.find(({ message }) => String(message).startsWith("an account refused"));
  assertStringIncludes(String(line?.detail), "The authorization key is not known");
  const text = JSON.stringify(router.log);
  assert(!text.includes(firstKey) && !text.includes(secondKey));
});

Deno.test("accountsOf lets a personal key run one call and a company's ten, or as many as it is told", () => {
  const parallel = (env: Record<string, string>) => accounts(env).map((each) => each.parallel);
  const keys = { GIGACHAT_CREDENTIALS: `${firstKey},${secondKey}` };
  assertEquals(parallel(keys), [1, 1]);
  assertEquals(parallel({ ...keys, GIGACHAT_SCOPE: "GIGACHAT_API_B2B" }), [10, 10]);
  assertEquals(parallel({ ...keys, GIGACHAT_SCOPE: "GIGACHAT_API_CORP" }), [10, 10]);
  assertEquals(parallel({ ...keys, GIGACHAT_PARALLEL: "3" }), [3, 3]);
  assertEquals(parallel({ GIGACHAT_ACCESS_TOKEN: "token" }), [1]);
  assertEquals(parallel({ GIGACHAT_USER: "u", GIGACHAT_PASSWORD: "p" }), [10]);
});

Deno.test("accountsOf takes from the configuration file what differs, and the rest from all", () => {
  const found = accounts({ GIGACHAT_SCOPE: "GIGACHAT_API_B2B", GIGACHAT_SESSIONS: "off" }, {
    accounts: [
      { name: "shop", credentials: firstKey, parallel: 20 },
      {
        name: "own",
        credentials: secondKey,
        scope: "GIGACHAT_API_PERS",
        baseUrl: "https://gigachat.devices.sberbank.ru/api/v1",
      },
    ],
  });
  assertEquals(found.map(({ name, parallel, baseUrl }) => [name, parallel, baseUrl]), [
    ["shop", 20, undefined],
    ["own", 1, "https://gigachat.devices.sberbank.ru/api/v1"],
  ]);
  const [shop, own] = found.map(({ settings }) => settings);
  assertEquals([shop!.credentials, own!.credentials], [[firstKey], [secondKey]]);
  assertEquals([shop!.scope, own!.scope], ["GIGACHAT_API_B2B", "GIGACHAT_API_PERS"]);
  assertEquals([shop!.sessions, own!.sessions], ["off", "off"]);
});
