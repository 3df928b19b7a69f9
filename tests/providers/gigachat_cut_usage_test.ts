// deno-lint-ignore-file camelcase -- the names of the wire
/** What is charged of a prompt that Sber's cache holds, where an answer is cut before the report. */
import { assert, assertEquals } from "@std/assert";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, startRouter } from "../support/router.ts";

const model = "gigachat/GigaChat-2";
const rules = {
  role: "system",
  content: "Считай до тех пор, пока не скажут, и ни словом дальше. ".repeat(40),
};
const more = [{ role: "assistant", content: "Раз, " }, { role: "user", content: "Дальше" }];

for (const stream of [false, true]) {
  Deno.test(`a cut answer pays for what is new in its conversation, ${stream ? "streamed" : "whole"}`, async () => {
    await using fake = await startFakeGigachat();
    fake.reply = () => ({ content: "Раз, два, три" });
    await using router = await startRouter({ ...fake.env });
    const turn = async (question: string, later: object[] = []) => {
      const messages = [rules, { role: "user", content: question }, ...later];
      const response = await router.chat(ask(model, "", { messages, stop: [" два"], stream }));
      assertEquals(response.status, 200);
      return await response.text();
    };
    await turn("Начни");
    const second = await turn("Начни", more);
    // The same beginning, and nothing of what was asked last.
    await turn("Начни", [{ role: "user", content: "Иначе" }]);
    // Another conversation.
    await turn("Прочти");
    const rows = await router.usage() as Record<string, number>[];
    const [input, longer] = rows.map(({ input_tokens }) => input_tokens!);
    assert(input! > 200 && longer! > input!);
    assertEquals(rows.map(({ cached_tokens, estimated }) => [cached_tokens, estimated]), [
      [0, 1],
      [input!, 1],
      [0, 1],
      [0, 1],
    ]);
    assert(rows[1]!.cost! < rows[0]!.cost! / 5, `${rows[1]!.cost}`);
    if (stream) return;
    const { usage } = JSON.parse(second);
    assertEquals(usage.prompt_tokens_details.cached_tokens, input);
  });
}

Deno.test("nothing counts as cached that another account has read, or that has no session", async () => {
  await using fake = await startFakeGigachat();
  fake.reply = () => ({ content: "Раз, два, три" });
  const messages = [rules, { role: "user", content: "Начни" }];
  const cachedOf = async (env: Record<string, string>, between: () => void = () => {}) => {
    await using router = await startRouter({ ...fake.env, ...env });
    for (let turn = 0; turn < 2; turn++) {
      const response = await router.chat(ask(model, "", { messages, stop: [" два"] }));
      assertEquals(response.status, 200);
      await response.body?.cancel();
      between();
    }
    return (await router.usage()).map(({ cached_tokens }) => Number(cached_tokens));
  };
  const [, again] = await cachedOf({});
  assert(again! > 200);
  assertEquals(await cachedOf({ GIGACHAT_SESSIONS: "off" }), [0, 0]);
  const second = btoa("second-client:second-secret");
  fake.addAccount({ credentials: second });
  const credentials = `${fake.env.GIGACHAT_CREDENTIALS},${second}`;
  const refuse = () => fake.failNext("chat", { status: 429 });
  assertEquals(await cachedOf({ GIGACHAT_CREDENTIALS: credentials }, refuse), [0, 0]);
});
