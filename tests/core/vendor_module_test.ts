import type { Hooks } from "../../core/plugin.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Call, Decoder, Provider } from "../../core/provider.ts";
import { inParts, inProcess, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, ending, startUpstream, streamed, wholeAnswer } from "../support/upstream.ts";

const answers = async (request: Request) => {
  const { stream } = await request.json();
  return stream ? inParts([delta("Hello"), ...ending()]) : wholeAnswer("Hello");
};

const slip = (): never => {
  throw new Error("a slip");
};
const decoder = (members: Partial<Decoder>) => () => ({
  event: () => [],
  whole: (json: unknown) => json,
  ...members,
});
const cyclic: Record<string, unknown> = {};
cyclic.self = cyclic;

/** What a provider's module may do wrong; in a stream where `stream` is set. */
const mistakes: { member: string; stream?: true; wrong: object; says?: string }[] = [
  { member: "encode", wrong: { encode: slip } },
  { member: "encode", wrong: { encode: () => Promise.reject(new Error("a slip")) } },
  { member: "encode", wrong: { encode: () => cyclic }, says: "circular" },
  { member: "encode", wrong: { encode: () => 5 }, says: "must return a JSON object, and not 5" },
  {
    member: "encode",
    wrong: { encode: (body: unknown, call: Call) => (call.headers["x-name"] = "Ключ", body) },
    says: "TypeError",
  },
  { member: "chatUrl", wrong: { chatUrl: slip } },
  { member: "chatUrl", wrong: { chatUrl: () => "nowhere" }, says: "Invalid URL" },
  { member: "decoder", wrong: { decoder: slip } },
  { member: "decoder.whole", wrong: { decoder: decoder({ whole: slip }) } },
  {
    member: "decoder.whole",
    wrong: { decoder: decoder({ whole: (() => 5) as never }) },
    says: "must return a reply",
  },
  { member: "decoder.event", stream: true, wrong: { decoder: decoder({ event: slip }) } },
  {
    member: "decoder.event",
    stream: true,
    wrong: { decoder: decoder({ event: (() => [5]) as never }) },
    says: "must return a list of replies",
  },
  { member: "fetch", wrong: { fetch: slip } },
  { member: "fetch", wrong: { fetch: () => "Hello" }, says: "must return a Response" },
];

/** A refusal that nobody has to wait for. */
const refusing = { fetch: () => Promise.resolve(new Response("no", { status: 400 })) };
const ofRefusals: typeof mistakes = [
  { member: "fault", wrong: { ...refusing, fault: slip } },
  { member: "fault", wrong: { ...refusing, fault: () => "no" }, says: "must return a RouterError" },
  { member: "sendAgain", wrong: { ...refusing, sendAgain: slip } },
];

for (const { member, wrong, stream, says = "a slip" } of [...mistakes, ...ofRefusals]) {
  Deno.test(`a provider whose ${member} is wrong is not called unreachable: ${says}`, async () => {
    const provider = inProcess(answers, wrong as Partial<Provider>);
    const other = inProcess(answers, { name: "other" });
    await using kernel = startKernel({ providers: [provider, other], route: { retries: 2 } });
    for (let i = 0; i < 6; i++) {
      const response = await kernel.chat(ask("vendor/m", "hi", { stream: stream === true }));
      const { error } = JSON.parse(await response.text());
      assertEquals([response.status, error.code, error.message], [
        500,
        "provider_failed",
        'XRouter\'s module for provider "vendor" failed on this request',
      ]);
      assertEquals(response.headers.get("x-xrouter-attempts"), "1");
    }
    // No vendor is to blame: its circuit stays closed.
    assertEquals(kernel.catalog.providers.get("vendor")!.circuit("m").state, "closed");
    const [line] = kernel.log.filter(({ message }) => message === "attempt failed");
    assertEquals([line!.provider, line!.code], ["vendor", "provider_failed"]);
    const detail = String(line!.detail);
    assertEquals(detail.startsWith(`${member}: `), true, detail);
    assertStringIncludes(detail, says);
    assertMatch(detail, /\n +at .*_(module|test)\.ts:/);

    const models = { models: ["vendor/m", "other/m"], stream: stream === true };
    const response = await kernel.chat(ask("vendor/m", "hi", models));
    assertEquals([response.status, response.headers.get("x-xrouter-provider")], [200, "other"]);
    assertStringIncludes(await response.text(), "Hello");
  });
}

Deno.test("a decoder that crashes amid a stream: another target goes on, the same one does not", async () => {
  let asked = 0;
  const crashing = inProcess(() => {
    asked++;
    return inParts([delta("Hel"), delta("x"), ...ending()]);
  }, {
    decoder: decoder({
      event: (data) => {
        if (data.includes('"x"')) slip();
        return [JSON.parse(data)];
      },
    }) as never,
  });
  const other = inProcess(() => inParts([delta("Hello"), ...ending()]), { name: "other" });
  await using kernel = startKernel({
    providers: [crashing, other],
    route: { onBreak: "continue", retries: 2 },
  });
  const rest = { models: ["vendor/m", "other/m"], stream: true };
  const text = await (await kernel.chat(ask("vendor/m", "hi", rest))).text();
  assertMatch(text, /\[DONE\]\n\n$/);
  assertEquals(asked, 1);
  const alone = await (await kernel.chat(ask("vendor/m", "hi", { stream: true }))).text();
  assertStringIncludes(alone, '"code":"provider_failed"');
  assertEquals(asked, 2);
});

Deno.test("a provider whose embeddings' encode or decode crashes is not called unreachable", async () => {
  const reply = () => Response.json({ object: "list", data: [{ index: 0, embedding: [1] }] });
  for (const member of ["encode", "decode"]) {
    await using kernel = startKernel({
      providers: [inProcess(reply, { embeddings: { [member]: slip } })],
    });
    const response = await fetch(`http://127.0.0.1:${kernel.port}/v1/embeddings`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "vendor/m", input: "hi" }),
    });
    assertEquals((await response.json()).error.code, "provider_failed");
    const [line] = kernel.log.filter(({ message }) => message === "attempt failed");
    assertStringIncludes(String(line!.detail), `embeddings.${member}: Error: a slip`);
  }
});

Deno.test("a provider inside the process whose stream is endless and no bytes fails at once", async () => {
  for (const part of [5, "data: hi", {}, [1]]) {
    for (const type of ["text/event-stream", "application/json"]) {
      const endless = () =>
        new Response(
          new ReadableStream({ pull: (controller) => controller.enqueue(part as never) }),
          { headers: { "content-type": type } },
        );
      await using kernel = startKernel({ providers: [inProcess(endless)] });
      const stream = type === "text/event-stream";
      const response = await kernel.chat(ask("vendor/m", "hi", { stream }));
      const { error } = await response.json();
      assertEquals([response.status, error.code], [500, "provider_failed"]);
      assertStringIncludes(error.message, "a stream of what is no Uint8Array");
    }
  }
});

Deno.test("what fails on the network while a provider encodes stays the network's failure", async () => {
  const cut = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode("half"));
          controller.error(new Error("cut"));
        },
      }),
    );
  await using vendor = startUpstream(() => wholeAnswer(), cut);
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `http://127.0.0.1:${closed.addr.port}`;
  closed.close();
  const encodings: Provider["encode"][] = [
    async (body, call) => (await call.fetch(address), body),
    async (body, call) => (await (await call.send("/models")).text(), body),
  ];
  for (const encode of encodings) {
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: vendor.url, encode: encode! }],
    });
    const response = await kernel.chat(ask("vendor/m"));
    const { error } = await response.json();
    assertEquals([response.status, error.message], [502, 'Provider "vendor" cannot be reached']);
  }
});

Deno.test("an event that is no JSON is the vendor's failure, whatever the decoder does about it", async () => {
  await using vendor = startUpstream(() => streamed("data: {half\n\n"));
  const parsing = decoder({ event: (data) => [JSON.parse(data)] }) as never;
  await using kernel = startKernel({
    providers: [{ name: "vendor", baseUrl: vendor.url, decoder: parsing }],
  });
  const response = await kernel.chat(ask("vendor/m", "hi", { stream: true }));
  assertEquals((await response.json()).error.code, "upstream_unavailable");
});

Deno.test("a header of a try that cannot be sent is a plugin's mistake", async () => {
  for (const value of ["Ключ", 5 as unknown as string]) {
    const hooks: Hooks = { onAttempt: (_x, { headers }) => void (headers["x-name"] = value) };
    await using kernel = startKernel({ providers: [inProcess(answers)], plugins: [{ hooks }] });
    const response = await kernel.chat(ask("vendor/m"));
    assertEquals([response.status, (await response.json()).error.code], [500, "internal"]);
    const [line] = kernel.log.filter(({ level }) => level === "error");
    assertEquals(
      line!.message,
      'plugin "own" (own.ts) onAttempt: set the header "x-name" of a try to what it cannot be',
    );
  }
});

Deno.test("a header of a try is sent without the end of the line that it was read from", async () => {
  const seen: (string | null)[] = [];
  const vendor = inProcess((request) => {
    seen.push(request.headers.get("x-token"));
    return answers(request);
  });
  await using kernel = startKernel({
    providers: [vendor],
    plugins: [{
      hooks: { onAttempt: (_x, { headers }) => void (headers["x-token"] = "secret\n") },
    }],
  });
  const response = await kernel.chat(ask("vendor/m"));
  await response.body?.cancel();
  assertEquals([response.status, seen], [200, ["secret"]]);
});
