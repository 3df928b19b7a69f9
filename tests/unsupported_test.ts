import { assertEquals, assertMatch } from "@std/assert";
import { AccountStore } from "../core/ledger/accounts.ts";
import { KeyStore } from "../core/store/keys.ts";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { startRouter } from "./support/router.ts";

const question = {
  model: "gigachat/GigaChat-2",
  messages: [{ role: "user", content: "?" }],
  logprobs: true,
  presence_penalty: 0.5,
};

Deno.test("fields that a vendor cannot keep follow the key's policy, its owner's, then the server's", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_UNSUPPORTED: "warn" });
  const { database } = router.program;
  const accounts = new AccountStore(database);
  const { secret } = await new KeyStore(database).create({ name: "owned", owner: "ann" });
  const ask = async (key: string) => {
    const response = await router.chat(question, {
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    });
    const { error } = await response.json();
    return [response.status, response.headers.get("x-xrouter-changed"), error?.param];
  };
  assertEquals(await ask(router.secret), [200, "logprobs, presence_penalty", undefined]);
  await accounts.setLimits(router.keyId, { unsupported: "refuse" });
  await accounts.setLimits("owner:ann", { unsupported: "drop" });
  // Another key than before: what is known of a key may be two seconds old.
  assertEquals(await ask(secret), [200, null, undefined]);
  assertEquals(fake.chats.map((chat) => "logprobs" in chat), [false, false]);
});

Deno.test("by default a field that a vendor cannot keep is a 400 that names it and the cure", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const response = await router.chat(question);
  const { error } = await response.json();
  assertEquals([response.status, error.param], [400, "logprobs"]);
  assertMatch(error.message, /"logprobs" must be false/);
  assertEquals(fake.chats, []);
});

Deno.test("what one target changed is forgotten when another answers", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_UNSUPPORTED: "warn" });
  fake.failNext("chat", { status: 500 }, { status: 500 });
  const response = await router.chat({ ...question, models: ["echo"] });
  assertEquals(response.headers.get("x-xrouter-provider"), "echo");
  assertEquals(response.headers.get("x-xrouter-changed"), null);
  await response.body!.cancel();
});
