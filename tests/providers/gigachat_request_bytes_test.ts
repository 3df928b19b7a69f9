/**
 * What GigaChat gets of conversations and schemas, to the byte: each fixture has OpenAI's request,
 * what GigaChat must get of it, and the fields that the client is told were changed.
 */
import { assertEquals } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { checkChat } from "../support/fake_gigachat_rules.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { namesIn, RawGigachat, readJson, spokenWords } from "../support/raw_gigachat.ts";
import { startRouter } from "../support/router.ts";

const chat = "POST /v1/chat/completions";

interface RequestFixture {
  readonly openai: ChatBody;
  readonly changed: string;
  readonly gigachat: unknown;
}

for (const folder of ["messages", "schemas"]) {
  for (const name of namesIn(folder)) {
    Deno.test(`GigaChat gets the very bytes of ${folder}/${name}.json`, async () => {
      const { openai, changed, gigachat } = readJson<RequestFixture>(`${folder}/${name}.json`);
      assertEquals(differences("Chat", gigachat), []);
      assertEquals(checkChat(gigachat), undefined);
      await using server = new RawGigachat({ [chat]: [spokenWords()] });
      await using router = await startRouter(server.env);
      const response = await router.chat({ ...openai, model: `gigachat/${openai.model}` });
      assertEquals(response.status, 200, await response.text());
      assertEquals(server.requestsTo(chat).map(({ body }) => body), [JSON.stringify(gigachat)]);
      assertEquals(response.headers.get("x-xrouter-changed") ?? "", changed);
    });
  }
}
