import { assert, assertEquals } from "@std/assert";
import { callOf } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, type Connection, connectTo, readAll } from "../support/fake_gigachat_call.ts";

const { signal } = new AbortController();
const text = { model: "Embeddings", input: "Привет" };

/** Asks for the text's embeddings. */
async function embed({ transport }: Connection): Promise<unknown[]> {
  const { clientHeaders, keyId, headers, cannotKeep, changed } = callOf();
  const call = { clientHeaders, keyId, headers, cannotKeep, changed, signal };
  return await readAll(await transport.open({ ...call, body: text }));
}

Deno.test("nobody is refused although gigachat counts embeddings and counts of tokens as calls", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  fake.counted = ["count", "embeddings"];
  await using connection = connectTo(fake);
  const count = () => connection.transport.countTokens(text, signal);
  for (let round = 0; round < 5; round++) {
    const [counted, unavailable] = await Promise.all([
      count(),
      count(),
      ask(connection),
      embed(connection),
    ]);
    assert(counted! > 0);
    assertEquals(unavailable, undefined);
  }
  const refused = fake.requests.filter(({ status }) => status === 429);
  assertEquals([refused, fake.running.most], [[], 1]);
});

Deno.test("embeddings and counts of tokens pass by a chat where gigachat does not count them", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  const { promise, resolve } = Promise.withResolvers<string>();
  fake.reply = async () => ({ content: await promise });
  await using connection = connectTo(fake, { GIGACHAT_COUNTED_CALLS: "none" });
  const chat = ask(connection);
  assertEquals((await embed(connection)).length, 1);
  assert((await connection.transport.countTokens(text, signal))! > 0);
  resolve("Да.");
  assertEquals((await chat).choices[0]!.message!.content, "Да.");
});
