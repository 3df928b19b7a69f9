import { assertEquals } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import type { Call, Provider } from "../../core/provider.ts";
import { Transport } from "../../core/transport.ts";
import { callOf } from "../support/call.ts";
import { inProcess, startKernel } from "../support/kernel.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

const question = { model: "acme/m", messages: [{ role: "user", content: "?" }] };

/** What a provider was asked to prepare, and what it encoded. */
interface Seen {
  readonly prepared: ChatBody[];
  readonly encoded: (readonly [body: ChatBody, prepared: unknown])[];
}

/** A provider with accounts that let one call run at a time, and the vendor at an address. */
function vendorAt(
  url: string,
  prepare: (body: ChatBody, signal: AbortSignal) => Promise<unknown>,
  accounts: readonly string[] = ["a"],
): { provider: Provider; seen: Seen } {
  const seen: Seen = { prepared: [], encoded: [] };
  const provider: Provider = {
    name: "acme",
    baseUrl: url,
    accounts: () => accounts.map((name) => ({ name, settings: { apiKey: name }, parallel: 1 })),
    prepare(body) {
      if (body.messages[0]!.content === "nothing") return undefined;
      return (signal) => {
        seen.prepared.push(body);
        return prepare(body, signal);
      };
    },
    encode(body: ChatBody, _call: Call, prepared?: unknown) {
      seen.encoded.push([body, prepared]);
      return body;
    },
  };
  return { provider, seen };
}

Deno.test("a chat is prepared once for all accounts, before one is taken", async () => {
  await using vendor = startUpstream(({ headers }) =>
    headers.get("authorization") === "Bearer a"
      ? Response.json({ error: { message: "no" } }, { status: 402 })
      : wholeAnswer()
  );
  const ready = { words: 1 };
  const { provider, seen } = vendorAt(vendor.url, () => Promise.resolve(ready), ["a", "b"]);
  await using router = startKernel({ providers: [provider] });
  const response = await router.chat(question);
  assertEquals([response.status, vendor.seen.length], [200, 2]);
  await response.body!.cancel();
  assertEquals(seen.prepared.length, 1);
  // It is the body that is encoded, and what is prepared is the provider's own.
  assertEquals(seen.encoded.map(([body]) => body === seen.prepared[0]), [true, true]);
  assertEquals(seen.encoded.map(([, prepared]) => prepared === ready), [true, true]);
});

Deno.test("whoever is being prepared keeps no call, and waits for one afterwards", async () => {
  const held = Promise.withResolvers<Response>();
  await using vendor = startUpstream(() => vendor.seen.length === 1 ? held.promise : wholeAnswer());
  const ready = Promise.withResolvers<string>();
  const begun = Promise.withResolvers<void>();
  const { provider, seen } = vendorAt(vendor.url, () => {
    begun.resolve();
    return ready.promise;
  });
  await using router = startKernel({ providers: [provider] });
  const slow = router.chat({ ...question, messages: [{ role: "user", content: "slow" }] });
  await begun.promise;
  const asked = vendor.nextChat();
  const first = router.chat({ ...question, messages: [{ role: "user", content: "nothing" }] });
  await asked;
  ready.resolve("ready");
  // Now the call is taken by the other one.
  held.resolve(wholeAnswer());
  for (const [response, place] of [[await first, null], [await slow, "1"]] as const) {
    assertEquals([response.status, response.headers.get("x-xrouter-queue")], [200, place]);
    await response.body!.cancel();
  }
  assertEquals(seen.encoded.map(([, prepared]) => prepared), [undefined, "ready"]);
});

Deno.test("each try is prepared, and embeddings are not", async () => {
  await using vendor = startUpstream(({ path }, number) =>
    path.endsWith("/embeddings")
      ? Response.json({ object: "list", model: "m", data: [{ index: 0, embedding: [1] }] })
      : number === 1
      ? new Response("no", { status: 500 })
      : wholeAnswer()
  );
  let times = 0;
  const { provider, seen } = vendorAt(vendor.url, () => Promise.resolve(++times));
  await using router = startKernel({ providers: [provider], route: { retries: 1 } });
  const response = await router.chat(question);
  assertEquals([response.status, response.headers.get("x-xrouter-attempts")], [200, "2"]);
  await response.body!.cancel();
  assertEquals(seen.encoded.map(([, prepared]) => prepared), [1, 2]);
  const embedded = await fetch(`http://127.0.0.1:${router.port}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "acme/m", input: "text" }),
  });
  assertEquals([embedded.status, times], [200, 2]);
  await embedded.body!.cancel();
});

Deno.test("nothing is prepared for a model whose circuit is open", async () => {
  await using vendor = startUpstream(() => new Response("no", { status: 500 }));
  const { provider, seen } = vendorAt(vendor.url, () => Promise.resolve());
  await using router = startKernel({ providers: [provider] });
  const ask = async () => {
    const response = await router.chat(question);
    return (await response.json()).error.code;
  };
  for (let call = 0; call < 5; call++) assertEquals(await ask(), "upstream_unavailable");
  assertEquals([await ask(), seen.prepared.length, vendor.seen.length], ["circuit_open", 5, 5]);
});

Deno.test("what preparing fails with is the try's failure, and nobody is asked", async () => {
  const refusal = new RouterError("invalid_request", "The image is wrong", { param: "messages" });
  for (
    const [thrown, status, param] of [
      [refusal, 400, "messages"],
      [new RouterError("context_length_exceeded", "It is too long"), 200, undefined],
      [new Error("a secret"), 200, undefined],
    ] as const
  ) {
    await using vendor = startUpstream(() => wholeAnswer());
    const { provider } = vendorAt(vendor.url, () => Promise.reject(thrown));
    const other = inProcess(() => wholeAnswer());
    await using router = startKernel({ providers: [provider, other] });
    const response = await router.chat({ ...question, models: ["vendor/m"] });
    const { error } = await response.json();
    assertEquals([response.status, error?.param], [status, param]);
    assertEquals([JSON.stringify(error ?? "").includes("secret"), vendor.seen.length], [false, 0]);
    const { state, attempt, usage } = await router.ended();
    if (status === 200) assertEquals([state, attempt?.target.provider], ["completed", "vendor"]);
    else assertEquals([state, attempt, usage], ["refused", undefined, undefined]);
  }
});

Deno.test("preparing is limited as the beginning of an answer is, though it does not heed it", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const ready = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const { provider, seen } = vendorAt(vendor.url, (_body, signal) => {
    signal.addEventListener("abort", () => left.resolve());
    return ready.promise;
  });
  await using router = startKernel({
    providers: [provider],
    route: { timeouts: { firstByte: 50 } },
  });
  const response = await router.chat({ ...question, stream: true });
  assertEquals([response.status, (await response.json()).error.code], [504, "timeout"]);
  await left.promise;
  // It comes too late: nobody is asked for it.
  ready.resolve();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals([seen.encoded.length, vendor.seen.length], [0, 0]);
  assertEquals(router.catalog.providers.get("acme")!.circuits(), []);
});

Deno.test("a client who leaves while its chat is prepared has nobody asked, and pays nothing", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const begun = Promise.withResolvers<void>();
  const { provider } = vendorAt(vendor.url, (_body, signal) => {
    begun.resolve();
    const { promise, reject } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => reject(signal.reason));
    return promise;
  });
  await using router = startKernel({ providers: [provider] });
  const leaving = new AbortController();
  const left = router.chat(question, { signal: leaving.signal }).catch(() => {});
  await begun.promise;
  leaving.abort();
  await left;
  const { state, attempt, usage } = await router.ended();
  assertEquals([state, attempt, usage, vendor.seen.length], ["aborted", undefined, undefined, 0]);
});

/** Opens a chat of a model, and tells how that ended: with an answer, or the error's code. */
async function outcomeOf(transport: Transport, model: string, content: string, parallel?: number) {
  const { clientHeaders, keyId, headers, cannotKeep, changed, signal } = callOf();
  const body = { model, messages: [{ role: "user" as const, content }] };
  const call = { clientHeaders, keyId, headers, cannotKeep, changed, signal, body, parallel };
  try {
    const upstream = await transport.open(call);
    await upstream.cancel();
    return "answered";
  } catch (error) {
    return (error as RouterError).code;
  }
}

Deno.test("no more is prepared than has a slot or a place", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const ready = Promise.withResolvers<void>();
  let preparing = 0;
  const { provider } = vendorAt(vendor.url, () => {
    preparing++;
    return ready.promise;
  });
  const queue = { length: 1, waitMs: 30_000 };
  const { transport } = Transport.connect(provider, { env: {}, file: {} }, queue);
  const open = Array.from({ length: 200 }, () => outcomeOf(transport!, "m", "image"));
  assertEquals(await Promise.all(open.slice(2)), Array(198).fill("queue_full"));
  assertEquals([preparing, vendor.seen.length], [2, 0]);
  // Whoever needs nothing is not held up by those who do.
  assertEquals(await outcomeOf(transport!, "m", "nothing"), "answered");
  ready.resolve();
  assertEquals(await Promise.all(open), [
    "answered",
    "answered",
    ...Array(198).fill("queue_full"),
  ]);
  // Those who came through take nobody's place.
  const more = [outcomeOf(transport!, "m", "image"), outcomeOf(transport!, "m", "image")];
  assertEquals([...await Promise.all(more), preparing], ["answered", "answered", 4]);
  await transport!.close();
});

Deno.test("what is prepared for a model has that model's slots, and fails without keeping a place", async () => {
  await using vendor = startUpstream(() => wholeAnswer());
  const failing = Promise.withResolvers<void>();
  const { provider } = vendorAt(vendor.url, () => failing.promise, ["a", "b", "c"]);
  const queue = { length: 1, waitMs: 30_000 };
  const { transport } = Transport.connect(provider, { env: {}, file: {} }, queue);
  // One call of "m" may run: the second one has the only place, and the third none.
  const ofOne = [1, 2, 3].map(() => outcomeOf(transport!, "m", "image", 1));
  assertEquals(await ofOne[2], "queue_full");
  // The other accounts are free for another model.
  const ofOther = [1, 2, 3].map(() => outcomeOf(transport!, "other", "image"));
  assertEquals(await ofOther[2], "queue_full");
  failing.reject(new RouterError("invalid_request", "The image is wrong"));
  const outcomes = await Promise.all([...ofOne, ...ofOther]);
  const each = ["invalid_request", "invalid_request", "queue_full"];
  assertEquals(outcomes, [...each, ...each]);
  const after = await Promise.all([1, 2].map(() => outcomeOf(transport!, "m", "image", 1)));
  assertEquals([after, vendor.seen.length], [["invalid_request", "invalid_request"], 0]);
  await transport!.close();
});
