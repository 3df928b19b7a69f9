import { assertEquals, assertNotEquals } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { tokensOf } from "../support/fake_gigachat_answer.ts";
import { startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const words = "Съешь же ещё этих мягких французских булок";
const question = {
  model: "gigachat/GigaChat-2",
  messages: [{ role: "user", content: words }],
  max_tokens: 10,
};

/** What is held while the vendor is asked, in millionths. */
async function holding(
  exactCount: boolean | null,
  fail = false,
): Promise<{ held: number; counts: unknown[]; status: number }> {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const { database } = router.program;
  await new AccountStore(database).setLimits(router.keyId, { exactCount });
  let held = 0;
  fake.reply = async () => {
    const { rows } = await database.execute("SELECT sum(amount) AS held FROM holds");
    held = Number(rows[0]!.held);
    return { content: "Да." };
  };
  if (fail) fake.failNext("count", { status: 500 });
  const response = await router.chat(question);
  await response.body?.cancel();
  const counts = fake.requestsTo("/v1/tokens/count").map(({ body }) => body);
  return { held, counts, status: response.status };
}

Deno.test("exact-count holds what the vendor itself counts, for keys that ask for it", async () => {
  const { held, counts } = await holding(true);
  assertEquals(counts, [{ model: "GigaChat-2", input: [words] }]);
  // 65 roubles a million: what the vendor counted, 3 around the message, 3 around the reply, 10 asked.
  assertEquals(held, 65 * (tokensOf(words) + 3 + 3 + 10));
});

Deno.test("exact-count asks nobody for other keys", async () => {
  for (const choice of [null, false]) {
    const { held, counts } = await holding(choice);
    assertEquals(counts, []);
    assertNotEquals(held, 65 * (tokensOf(words) + 3 + 3 + 10));
  }
});

Deno.test("exact-count goes on with the own count when the vendor cannot count", async () => {
  const { held, counts, status } = await holding(true, true);
  assertEquals([counts.length, status], [1, 200]);
  assertEquals(held, (await holding(false)).held);
});

Deno.test("exact-count does not ask a vendor at each request that cannot count now", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  await new AccountStore(router.program.database).setLimits(router.keyId, { exactCount: true });
  fake.failNext("count", { status: 500 });
  for (let i = 0; i < 3; i++) await (await router.chat(question)).body?.cancel();
  assertEquals(fake.requestsTo("/v1/tokens/count").length, 1);
});

Deno.test("exact-count does not wait long for a vendor that does not answer", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  await new AccountStore(router.program.database).setLimits(router.keyId, { exactCount: true });
  fake.failNext("count", "silence");
  for (let i = 0; i < 2; i++) {
    const response = await router.chat(question);
    assertEquals(response.status, 200);
    await response.body?.cancel();
  }
  const [count, ...others] = fake.requestsTo("/v1/tokens/count");
  assertEquals(others, []);
  // Long before its own call gives up, which is what ends it at the vendor.
  assertEquals(await Promise.race([count!.end, Promise.resolve("not over")]), "not over");
  const [line] = router.log.filter(({ message }) =>
    message === "the provider could not count a request's tokens"
  );
  assertEquals(line?.level, "warn");
});

Deno.test("exact-count asks again after a count that was refused for the request itself", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  await new AccountStore(router.program.database).setLimits(router.keyId, { exactCount: true });
  fake.failNext("count", { status: 400 });
  for (let i = 0; i < 3; i++) await (await router.chat(question)).body?.cancel();
  assertEquals(fake.requestsTo("/v1/tokens/count").length, 3);
});

Deno.test("exact-count leaves a fallback at a vendor without a counter to the own count", async () => {
  await using fake = await startFakeGigachat();
  let held = 0;
  await using vendor = startUpstream(async () => {
    const { rows } = await router.program.database.execute("SELECT amount FROM holds");
    held = Number(rows[0]!.amount);
    return wholeAnswer();
  });
  await using router = await startRouter({ ...fake.env, ...vendor.env }, {
    models: { "openai/m": { price: { currency: "RUB", input: 1_000, output: 0 } } },
  });
  const { database } = router.program;
  await new AccountStore(database).setLimits(router.keyId, { exactCount: true });
  fake.failNext("chat", { status: 500 }, { status: 500 });
  const response = await router.chat({ ...question, models: ["openai/m"] });
  assertEquals(response.headers.get("x-xrouter-provider"), "openai");
  await response.body!.cancel();
  await router.stop();
  const counted = Number((await router.usage())[0]!.counted_tokens);
  assertNotEquals(counted, tokensOf(words) + 6);
  // With the margin for an encoding that nobody has told.
  assertEquals(held, 1_000 * Math.ceil(1.2 * counted));
});
