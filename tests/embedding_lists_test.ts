/** Lists of texts at a vendor that takes one text a call. */
import { assertEquals, assertRejects } from "@std/assert";
import { askEmbeddings } from "../core/ask_embeddings.ts";
import { RouterError } from "../core/errors.ts";
import type { Call } from "../core/provider.ts";
import { clientOf } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";
import { startUpstream } from "./support/upstream.ts";

const model = "yandex/text-search-doc";
const texts = Array.from({ length: 10 }, (_, number) => `text ${number}`);

/** A Yandex that answers some calls, by their numbers from 1 on, otherwise than with a vector. */
async function startYandex(refusal: (number: number) => Response | undefined) {
  const vendor = startUpstream(({ body }, number) =>
    refusal(number) ?? Response.json({
      object: "list",
      data: [{ object: "embedding", index: 0, embedding: [Number(body.input.slice(5)), 1] }],
      model: body.model,
      usage: { prompt_tokens: 2, total_tokens: 2 },
    })
  );
  const router = await startRouter({
    YANDEX_FOLDER_ID: "b1g1",
    YANDEX_API_KEY: "key-1",
    YANDEX_BASE_URL: vendor.url,
    XROUTER_RETRIES: "0",
  }, { models: { [model]: { price: { currency: "RUB", input: 10, output: 0 } } } });
  const embed = (rest: { dimensions?: number } = {}) =>
    clientOf(router).embeddings.create({
      model,
      input: texts,
      encoding_format: "float",
      ...rest,
    });
  return {
    vendor,
    embed,
    /** What is recorded in the end. */
    rows: async () => {
      await router.stop();
      return (await router.usage()).map(({ input_tokens, cost, charged }) => [
        input_tokens,
        cost,
        charged,
      ]);
    },
    async [Symbol.asyncDispose]() {
      await router[Symbol.asyncDispose]();
      await vendor[Symbol.asyncDispose]();
    },
  };
}

function busy(retryAfter: string): Response {
  const headers = { "retry-after": retryAfter };
  return Response.json({ error: "too many" }, { status: 429, headers });
}

Deno.test("a busy vendor is asked again for the text that it refused, and for no other", async () => {
  await using yandex = await startYandex((number) =>
    number === 4 || number === 5 ? busy("0") : undefined
  );
  const { data, usage } = await yandex.embed();
  assertEquals(data.map(({ embedding }) => embedding[0]), texts.map((_, number) => number));
  assertEquals(usage.prompt_tokens, 20);
  assertEquals(yandex.vendor.seen.map(({ body }) => body.input), [
    ...texts.slice(0, 4),
    texts[3],
    ...texts.slice(3),
  ]);
  assertEquals(await yandex.rows(), [[20, 200, 200]]);
});

Deno.test("vectors that XRouter throws away, because the vendor refuses the rest, cost the key nothing", async () => {
  await using yandex = await startYandex((number) => number === 4 ? busy("3600") : undefined);
  const error = await assertRejects(() => yandex.embed()) as { status?: number };
  assertEquals(error.status, 429);
  assertEquals(yandex.vendor.seen.length, 4);
  assertEquals(await yandex.rows(), [[6, 60, 0]]);
});

Deno.test("vectors that the client asked for wrongly are charged", async () => {
  await using yandex = await startYandex(() => undefined);
  const error = await assertRejects(() => yandex.embed({ dimensions: 3 })) as { status?: number };
  assertEquals(error.status, 400);
  assertEquals(await yandex.rows(), [[20, 200, 200]]);
});

Deno.test("askEmbeddings waits no longer for a busy vendor than anybody waits for it", async () => {
  const end = new AbortController();
  const reason = new Error("over");
  let sent = 0;
  const send = () => {
    if (++sent === 1) return Promise.resolve({ bytes: new Uint8Array(), json: { data: [{}] } });
    queueMicrotask(() => end.abort(reason));
    const busy = new RouterError("upstream_busy", "Busy", { retryAfterMs: 19_000 });
    return Promise.reject(busy);
  };
  const call = { signal: end.signal } as Call;
  const asked = askEmbeddings({ model, input: ["a", "b"] }, { single: true }, call, send);
  assertEquals(await assertRejects(() => asked), reason);
  assertEquals(sent, 2);
});
