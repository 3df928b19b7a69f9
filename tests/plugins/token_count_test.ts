import { assertEquals } from "@std/assert";
import { getEncoding } from "js-tiktoken";
import { ask, startRouter } from "../support/router.ts";

const text = "Сколько токенов в этом тексте? <|endoftext|> 你好，世界 👩‍👩‍👧‍👦";

/** OpenAI's rule for one message of a user: three for the message, three for the reply. */
function expected(encoding: "o200k_base" | "cl100k_base"): number {
  const encoder = getEncoding(encoding);
  const [role, words] = ["user", text].map((part) => encoder.encode(part, [], []).length);
  return 3 + 3 + role! + words!;
}

Deno.test("token-count counts the input by the model's encoding, whatever becomes of the request", async () => {
  const [current, old] = [expected("o200k_base"), expected("cl100k_base")];
  await using router = await startRouter({ XROUTER_RETRIES: "0" }, {
    models: { "echo/echo-fail": { encoding: "cl100k_base" } },
    routes: { legacy: "echo/echo-fail" },
  });
  const cases = [
    ["echo-busy", 429, current],
    ["echo-fail", 502, old],
    ["legacy", 502, old],
    ["nothing", 404, current],
    ["openai/gpt-4o", 404, current],
  ] as const;
  for (const [model, status] of cases) {
    const response = await router.chat(ask(model, text));
    await response.body?.cancel();
    assertEquals(response.status, status, model);
  }
  const rows = await router.usage();
  for (const [model, , tokens] of cases) {
    const row = rows.find((each) => each.model_asked === model)!;
    assertEquals([row.input_tokens, row.output_tokens, row.estimated], [tokens, null, 1], model);
  }
});

Deno.test("token-count counts nothing where nothing can be read", async () => {
  await using router = await startRouter();
  for (const body of ["{", "[]", '{"model":"echo"}']) {
    await (await router.chat(body)).body?.cancel();
  }
  for (const row of await router.usage()) {
    assertEquals([row.status, row.input_tokens], [400, null]);
  }
});
