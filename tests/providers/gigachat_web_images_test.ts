import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Provider } from "../../core/provider.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { askWith, refusal, said, user } from "../support/ask_with_files.ts";
import { type FakeGigachat, startFakeGigachat } from "../support/fake_gigachat.ts";
import { connectTo } from "../support/fake_gigachat_call.ts";
import { png, textPart } from "../support/files.ts";
import { ImageSite } from "../support/image_site.ts";
import { inProcess, type KernelSetup, startKernel } from "../support/kernel.ts";
import { delta, ending, streamed } from "../support/upstream.ts";

const firstKey = btoa("first-client:first-secret");
const secondKey = btoa("second-client:second-secret");

function startRouter(fake: FakeGigachat, env: Record<string, string> = {}, rest: KernelSetup = {}) {
  const { providers = [], ...setup } = rest;
  return startKernel({
    ...setup,
    providers: [gigachat as Provider, ...providers],
    env: { ...fake.env, ...env },
  });
}

/** A chat with some parts. */
function chat(...parts: unknown[]) {
  return { model: "gigachat/GigaChat-2", messages: [user(parts as never)] };
}

/** The names of the images that GigaChat has. */
function stored({ files }: FakeGigachat): string[] {
  const decoder = new TextDecoder("latin1");
  return [...files.stored.values()].map(({ bytes }) => decoder.decode(bytes.slice(8)));
}

for (const [api, env] of [["v1", {}], ["v2", { GIGACHAT_V2_MODELS: "*" }]] as const) {
  Deno.test(`gigachat: a slow host of images keeps no call of ${api}`, async () => {
    await using fake = await startFakeGigachat();
    fake.streams = 1;
    await using site = new ImageSite();
    await using router = startRouter(fake, env);
    const host = Promise.withResolvers<undefined>();
    site.answer = () => host.promise;
    const asked = site.next();
    const slow = router.chat(chat(textPart("What is it?"), site.image("cat")));
    await asked;
    const quick = await router.chat(chat(textPart("Привет")));
    assertEquals([quick.status, quick.headers.get("x-xrouter-queue")], [200, null]);
    await quick.body!.cancel();
    host.resolve(undefined);
    const response = await slow;
    assertEquals(response.status, 200);
    await response.body!.cancel();
    assertEquals([stored(fake), site.asked], [["cat"], ["cat"]]);
    const chats = api === "v1" ? fake.chats : fake.chatsV2;
    assertStringIncludes(JSON.stringify(chats[1]), [...fake.files.stored.keys()][0]!);
  });
}

Deno.test("gigachat: an image is fetched once, however many accounts refuse it, and how often", async () => {
  await using fake = await startFakeGigachat({ credentials: firstKey });
  fake.addAccount({ credentials: secondKey });
  fake.account.refuses = { status: 402 };
  await using site = new ImageSite();
  await using router = startRouter(fake, { GIGACHAT_CREDENTIALS: `${firstKey},${secondKey}` });
  // The second account is busy for a moment.
  fake.failNext("chat", { status: 429 }, { status: 429 });
  const response = await router.chat(chat(site.image("cat")));
  assertEquals([response.status, response.headers.get("x-xrouter-attempts")], [200, "1"]);
  await response.body!.cancel();
  assertEquals(site.asked, ["cat"]);
});

Deno.test("gigachat: each try fetches, and what GigaChat has is not uploaded again", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake, {}, { route: { retries: 1 } });
  fake.failNext("chat", { status: 500 });
  const response = await router.chat(chat(site.image("cat")));
  assertEquals([response.status, response.headers.get("x-xrouter-attempts")], [200, "2"]);
  await response.body!.cancel();
  assertEquals([site.asked, fake.files.uploads], [["cat", "cat"], 1]);
});

Deno.test("gigachat: a second target is asked while a host is slow, and the first one's fetch is ended", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake, {}, { route: { hedgeAfter: 20 } });
  const host = Promise.withResolvers<undefined>();
  site.answer = () => site.asked.length === 1 ? host.promise : undefined;
  const models = ["gigachat/GigaChat-2-Pro"];
  const response = await router.chat({ ...chat(site.image("cat")), models, stream: true });
  assertEquals(response.status, 200);
  await response.text();
  assertEquals(fake.chats.map(({ model }) => model), ["GigaChat-2-Pro"]);
  while (site.left === 0) await site.next();
  const { state, attempt } = await router.ended();
  assertEquals([state, attempt?.target.model], ["completed", "GigaChat-2-Pro"]);
  host.resolve(undefined);
});

Deno.test("gigachat: a client who leaves ends the fetch, takes no call and pays nothing", async () => {
  await using fake = await startFakeGigachat();
  fake.streams = 1;
  await using site = new ImageSite();
  await using router = startRouter(fake);
  const host = Promise.withResolvers<undefined>();
  site.answer = () => host.promise;
  const leaving = new AbortController();
  const asked = site.next();
  const left = router.chat(chat(site.image("cat")), { signal: leaving.signal }).catch(() => {});
  await asked;
  leaving.abort();
  await left;
  while (site.left === 0) await site.next();
  const { state, attempt, usage } = await router.ended();
  assertEquals([state, attempt, usage], ["aborted", undefined, undefined]);
  assertEquals(fake.requests, []);
  host.resolve(undefined);
});

Deno.test("gigachat: an image that is none is the client's 400, before an account is asked", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake);
  for (
    const [answer, words] of [
      [new Response("no", { status: 404 }), "cannot be fetched: its server answers HTTP 404"],
      [new Response("<html>"), "holds text, which is no image"],
      [new Response(new Uint8Array(16 * 1024 * 1024)), "at most 15728640 bytes"],
    ] as const
  ) {
    site.answer = () => answer;
    const response = await router.chat(chat(textPart("What is it?"), site.image("cat")));
    const { error } = await response.json();
    assertEquals([response.status, error.code], [400, "invalid_request"]);
    assertEquals(error.param, "messages[0].content[1].image_url.url");
    assertStringIncludes(error.message, words);
  }
  assertEquals(router.outcomes.map(({ state }) => state), ["refused", "refused", "refused"]);
  assertEquals(fake.requests, []);
});

Deno.test("gigachat: images of a role that nobody knows are fetched as the user's are", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake);
  const { messages: [message], ...rest } = chat(textPart("?"), site.image("cat"));
  const response = await router.chat({ ...rest, messages: [{ ...message!, role: "human" }] });
  assertEquals([response.status, stored(fake)], [200, ["cat"]]);
  assertEquals(response.headers.get("x-xrouter-changed")?.includes("messages[0].role"), true);
  await response.body!.cancel();
});

Deno.test("gigachat: images of the web keep their places, and the limits of all files", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using connection = connectTo(fake);
  const eleven = Array.from({ length: 11 }, () => site.image("cat"));
  assertStringIncludes((await refusal(connection, ...eleven)).message, "is one of 11 files");
  assertEquals(site.asked, []);
  await askWith(connection, textPart("A"), site.image("a"), textPart("B"), site.image("b"));
  assertEquals([said(fake), site.asked.sort()], [[["A", "a"], ["B", "b"]], ["a", "b"]]);
  site.answer = () => new Response(png("big", 14 * 1024 * 1024));
  const seven = Array.from({ length: 7 }, (_, at) => site.image(`${at}`));
  const error = await refusal(connection, ...seven);
  assertEquals(error.param, "messages[0].content[5].image_url.url");
  assertStringIncludes(error.message, "80 MB of files in a request");
  // The last one would not have helped.
  assertEquals([site.asked.length, fake.files.uploads], [2 + 6, 2]);
});

Deno.test("gigachat: images are fetched at once, as many as memory has room for at their longest", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using connection = connectTo(fake);
  const hosts = new Map<string, PromiseWithResolvers<Response>>();
  site.answer = (name) => {
    hosts.set(name, Promise.withResolvers());
    return hosts.get(name)!.promise;
  };
  const names = Array.from({ length: 7 }, (_, at) => `${at}`);
  const asking = askWith(connection, ...names.map((name) => site.image(name)));
  const asked = async (count: number) => {
    while (site.asked.length < count) await site.next();
    assertEquals(site.asked.toSorted(), names.slice(0, count));
  };
  const answer = (name: string, length?: number) =>
    hosts.get(name)!.resolve(new Response(png(name, length)));
  // Five times 15 MB; a sixth may be too much until one of them proves to be short.
  await asked(5);
  answer("4");
  await asked(6);
  answer("0", 14 * 1024 * 1024);
  answer("5");
  await asked(7);
  for (const name of ["1", "2", "3", "6"]) answer(name);
  await asking;
  const begins = said(fake).map(([, file]) => file!.slice(0, 1));
  assertEquals(begins, names);
});

Deno.test("gigachat: an image that cannot be fetched ends the fetches of the others", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using connection = connectTo(fake);
  const host = Promise.withResolvers<undefined>();
  site.answer = (name) => name === "gone" ? new Response("no", { status: 404 }) : host.promise;
  let isHeld = true;
  const release = setTimeout(() => {
    isHeld = false;
    host.resolve(undefined);
  }, 5_000);
  const error = await refusal(connection, site.image("slow"), site.image("gone"));
  clearTimeout(release);
  assertEquals([error.param, isHeld], ["messages[0].content[1].image_url.url", true]);
  host.resolve(undefined);
});

Deno.test("gigachat: a slow host of images is the first byte's limit, and no fault of an account", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake, {}, {
    providers: [inProcess(() => streamed(delta("fine"), ...ending()))],
    route: { timeouts: { firstByte: 30 } },
  });
  const host = Promise.withResolvers<undefined>();
  site.answer = () => host.promise;
  const question = { ...chat(site.image("cat")), stream: true };
  for (let call = 1; call <= 6; call++) {
    const response = await router.chat(question);
    assertEquals([response.status, (await response.json()).error.code], [504, "timeout"]);
  }
  const next = await router.chat({ ...question, models: ["vendor/m"] });
  assertStringIncludes(await next.text(), "fine");
  assertEquals([fake.requests, router.catalog.providers.get("gigachat")!.circuits()], [[], []]);
  host.resolve(undefined);
});

Deno.test("gigachat: to explain a chat fetches nothing", async () => {
  await using fake = await startFakeGigachat();
  await using site = new ImageSite();
  await using router = startRouter(fake);
  const source = new TextEncoder().encode(JSON.stringify(chat(site.image("cat"))));
  const request = new Request("http://127.0.0.1/v1/route/explain", { method: "POST" });
  const { targets } = await router.kernel.explain(request, source, undefined);
  assertEquals((targets as unknown[]).length, 1);
  assertEquals([site.asked, fake.requests], [[], []]);
});
