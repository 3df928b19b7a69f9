/** GigaChat's lists of models as the bytes of HTTP: each host has its own. */
import { assertEquals } from "@std/assert";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { namesIn, RawGigachat, readHttp, spokenWords } from "../support/raw_gigachat.ts";

const list = "GET /v1/models";
const chat = "POST /v1/chat/completions";

const lists: Record<string, string[]> = {
  api_giga_chat: [
    "GigaChat-2",
    "GigaChat-2-Max",
    "GigaChat-3-Ultra",
    "GigaChat-3-Lightning",
    "EmbeddingsGigaR",
  ],
  old_host: ["GigaChat", "GigaChat-2", "GigaChat-2-Max", "Embeddings"],
  builds: ["GigaChat-2", "GigaChat-3-Ultra"],
  previews: ["GigaChat-2-Max-preview", "GigaChat-3-Ultra-preview"],
  unknown_types: ["GigaChat-2", "GigaEmbeddings-3B-2025-09"],
  no_types: ["GigaChat", "glm-5.2", "Embeddings"],
};
for (const [name, models] of Object.entries(lists)) {
  Deno.test(`GigaChat's list ${name}.http offers what chats or makes vectors`, async () => {
    const { bytes, body } = readHttp(`models/${name}.http`);
    assertEquals(differences("Models", JSON.parse(body)), []);
    await using gigachat = new RawGigachat({ [list]: [bytes] });
    using connection = connectTo(gigachat);
    assertEquals(await connection.transport.listModels(AbortSignal.timeout(20_000)), models);
  });
}

Deno.test("a model that GigaChat's other host lacks is asked of the one that has it", async () => {
  const missing = readHttp("errors/404_other_host.http").bytes;
  await using old = new RawGigachat({ [chat]: [missing] });
  await using current = new RawGigachat({ [chat]: [spokenWords()] });
  const accounts = Object.entries({ old, current }).map(([name, { env }]) => ({
    name,
    credentials: btoa(`${name}:secret`),
    baseUrl: env.GIGACHAT_BASE_URL,
    authUrl: env.GIGACHAT_AUTH_URL,
  }));
  using connection = connectTo(old, { GIGACHAT_CREDENTIALS: "" }, { accounts });
  for (let times = 0; times < 3; times++) {
    const { choices } = await ask(connection, { model: "GigaChat-3-Ultra" });
    assertEquals(choices[0]!.message!.content, "Привет!");
  }
  assertEquals([old.requestsTo(chat).length, current.requestsTo(chat).length], [1, 3]);
});

Deno.test("every fixture of GigaChat's lists is read by a test", () => {
  assertEquals(namesIn("models"), Object.keys(lists).sort());
});
