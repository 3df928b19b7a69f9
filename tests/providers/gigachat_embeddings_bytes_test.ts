// deno-lint-ignore-file camelcase -- the names of the wire
/** GigaChat's embeddings as the bytes of HTTP: usage stands at each of them, OpenAI's is one. */
import { assertEquals } from "@std/assert";
import { differences } from "../support/fake_gigachat_schema.ts";
import { namesIn, RawGigachat, readHttp } from "../support/raw_gigachat.ts";
import { startRouter } from "../support/router.ts";

const path = "POST /v1/embeddings";

interface Read {
  /** Tokens; the price of a million is 14 roubles. */
  tokens: number;
  /** What the published file finds wrong with the bytes. */
  broken: string[];
}

const answers: Record<string, Read> = {
  sum: { tokens: 7 + 5 + 6, broken: [] },
  // Not the sum of the others: XRouter counts all three texts itself.
  one_count_missing: { tokens: 5, broken: ["Embedding.data[1].usage: required"] },
};
for (const [name, { tokens, broken }] of Object.entries(answers)) {
  Deno.test(`GigaChat's embeddings ${name}.http are read`, async () => {
    const { bytes, body } = readHttp(`embeddings/${name}.http`);
    const found = differences("Embedding", JSON.parse(body)).map((each) => each.split(",", 1)[0]);
    assertEquals(found, broken);
    await using gigachat = new RawGigachat({ [path]: [bytes] });
    await using router = await startRouter(gigachat.env);
    const response = await fetch(`${router.url}/v1/embeddings`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.secret}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "gigachat/Embeddings", input: ["раз", "два", "три"] }),
    });
    const reply = await response.json();
    assertEquals(response.status, 200, JSON.stringify(reply));
    assertEquals(
      reply.data.map(({ index, embedding }: Record<string, unknown>) => [index, embedding]),
      [[0, [0.5, -0.25]], [1, [-1.5, 0.125]], [2, [0.0625, 2]]],
    );
    const cost = tokens * 14 / 1e6;
    assertEquals(reply.usage, { prompt_tokens: tokens, total_tokens: tokens, cost });
    const sent = { model: "Embeddings", input: ["раз", "два", "три"] };
    assertEquals(differences("EmbeddingsBody", sent), []);
    assertEquals(gigachat.requestsTo(path).map(({ body }) => body), [JSON.stringify(sent)]);
  });
}

Deno.test("every fixture of GigaChat's embeddings is read by a test", () => {
  assertEquals(namesIn("embeddings"), Object.keys(answers).sort());
});
