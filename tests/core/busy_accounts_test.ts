import { assertEquals, assertLessOrEqual } from "@std/assert";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { HeldClock } from "../support/clock.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { startKernel } from "../support/kernel.ts";
import { type Seen, startUpstream, wholeAnswer } from "../support/upstream.ts";

const encoder = new TextEncoder();

/** A vendor with accounts that let one call run at a time, or as many as are given. */
function vendorAt(url: string, accounts: string[], parallel = 1): Provider {
  return defineProvider({
    name: "acme",
    baseUrl: url,
    accounts: () => accounts.map((name) => ({ name, settings: { apiKey: name }, parallel })),
  }) as Provider;
}

/** Too many calls, to come again at once, or in some seconds. */
function refusal(seconds = 0): Response {
  return Response.json({ error: { message: "no" } }, {
    status: 429,
    headers: { "retry-after": `${seconds}` },
  });
}

/** The account that is asked, and what for. */
function asked({ headers, body }: Seen): string {
  return `${headers.get("authorization")!.slice("Bearer ".length)} ${body.messages[0].content}`;
}

function question(content: string, rest: object = {}) {
  return { model: "acme/m", messages: [{ role: "user", content }], ...rest };
}

/** A stream that goes on until `end` is called. */
function openStream(): { response: Response; end: () => void } {
  const { promise, resolve: end } = Promise.withResolvers<void>();
  const body = (async function* () {
    const say = (data: string) => encoder.encode(`data: ${data}\n\n`);
    yield say('{"choices":[{"index":0,"delta":{"content":"a"}}]}');
    await promise;
    yield say('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}');
    yield say("[DONE]");
  })();
  const headers = { "content-type": "text/event-stream" };
  return { response: new Response(ReadableStream.from(body), { headers }), end };
}

Deno.test("a request is patient once, however many of its accounts are busy", async () => {
  const accounts = ["a", "b", "c", "d"];
  const all = Promise.withResolvers<void>();
  await using vendor = startUpstream(async (_seen, number) => {
    if (number === accounts.length) all.resolve();
    await all.promise;
    return refusal();
  });
  await using router = startKernel({ providers: [vendorAt(vendor.url, accounts)] });
  // Each of them has an account, so that each waits for its own.
  const clients = ["1", "2", "3", "4"];
  const statuses = await Promise.all(clients.map(async (client) => {
    const response = await router.chat(question(client));
    await response.body!.cancel();
    return response.status;
  }));
  assertEquals(statuses, [429, 429, 429, 429]);
  for (const client of clients) {
    // A call of each account, five more while it is patient, and two more at each later one.
    const calls = vendor.seen.map(asked).filter((each) => each.endsWith(client));
    assertLessOrEqual(calls.length, accounts.length + 5 + 2 * (accounts.length - 1));
  }
});

Deno.test("when every account is busy or refuses, the client is told of the one to ask soonest", async () => {
  const cases: [answers: Record<string, () => Response>, wait: string][] = [
    // Nobody says when: as long as XRouter itself leaves the account alone.
    [{ a: () => new Response(null, { status: 429 }) }, "1"],
    [{ a: () => refusal(7), b: () => refusal(60) }, "7"],
    [{ a: () => refusal(60), b: () => refusal(7) }, "7"],
    [{ a: () => new Response(null, { status: 429 }), b: () => refusal(60) }, "1"],
    [{ a: () => refusal(60), b: () => new Response(null, { status: 402 }) }, "60"],
  ];
  for (const [answers, wait] of cases) {
    await using vendor = startUpstream((seen) => answers[asked(seen).split(" ")[0]!]!());
    const provider = vendorAt(vendor.url, Object.keys(answers), Infinity);
    await using router = startKernel({ providers: [provider] });
    const response = await router.chat(question("?"));
    assertEquals([response.status, response.headers.get("retry-after")], [429, wait]);
    assertEquals((await response.json()).error.code, "upstream_busy");
  }
});

Deno.test("a request that was patient in vain neither asks nor awaits what others wait for", async () => {
  // Nothing is avoided for long enough to be avoided no longer.
  using _clock = new HeldClock();
  const held = Promise.withResolvers<void>();
  const waits = Promise.withResolvers<void>();
  const one = Promise.withResolvers<string>();
  let calls = 0;
  await using vendor = startUpstream(async (seen, number) => {
    const [account, what] = asked(seen).split(" ");
    if (number === 1) one.resolve(account!);
    if (what === "one") {
      await waits.promise;
      return refusal();
    }
    if (++calls === 1) return refusal();
    waits.resolve();
    await held.promise;
    return wholeAnswer();
  });
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  const refused = router.chat(question("one"));
  const account = await one.promise;
  const answered = router.chat(question("other"));
  const response = await refused;
  assertEquals([response.status, response.headers.get("x-xrouter-queue")], [429, null]);
  await response.body!.cancel();
  held.resolve();
  assertEquals((await (await answered).json()).choices.length, 1);
  const calledFor = vendor.seen.map(asked).filter((each) => each.endsWith("one"));
  assertEquals(calledFor, Array(6).fill(`${account} one`));
});

Deno.test("a request that was patient in vain waits for an account that only has to become free", async () => {
  const { response: stream, end } = openStream();
  let busy = "";
  let late = 2;
  await using vendor = startUpstream((seen, number) => {
    const [account, what] = asked(seen).split(" ");
    if (number === 1) {
      busy = account === "a" ? "b" : "a";
      return stream;
    }
    // The vendor counts the stream a moment longer than it runs.
    return account === busy || what === "late" && late-- > 0 ? refusal() : wholeAnswer();
  });
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  const running = await router.chat(question("first", { stream: true }));
  const waiting = router.chat(question("late"));
  while (router.log.length < 6) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(vendor.seen.slice(1).map(asked), Array(6).fill(`${busy} late`));
  end();
  assertEquals((await readWholeStream(running)).done, true);
  const response = await waiting;
  assertEquals([response.status, response.headers.get("x-xrouter-queue")], [200, "1"]);
  await response.body!.cancel();
  assertEquals(vendor.seen.length, 1 + 6 + 3);
});

Deno.test("an account that has answered after a wait is avoided no longer", async () => {
  let refusals = 1;
  const { response: stream, end } = openStream();
  await using vendor = startUpstream((_seen, number) => {
    if (number === 1) return stream;
    return refusals-- > 0 ? refusal() : wholeAnswer();
  });
  await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
  const running = await router.chat(question("first", { stream: true }));
  for (const content of ["second", "third"]) {
    // Nobody has to wait for the account of the stream.
    const response = await router.chat(question(content));
    assertEquals([response.status, response.headers.get("x-xrouter-queue")], [200, null]);
    await response.body!.cancel();
  }
  const accounts = vendor.seen.map((each) => asked(each)[0]);
  assertEquals(accounts.slice(1), Array(3).fill(accounts[0] === "a" ? "b" : "a"));
  end();
  assertEquals((await readWholeStream(running)).done, true);
});

for (const leaves of [false, true]) {
  const how = leaves ? "that is not waited for to the end" : "that answers 400 after a wait";
  Deno.test(`an account ${how} is avoided no longer`, async () => {
    // Nothing is avoided for long enough to be avoided no longer.
    using _clock = new HeldClock();
    await using vendor = startUpstream((seen, number) => {
      if (!asked(seen).endsWith("first")) return wholeAnswer();
      if (number < 3) return refusal(leaves && number === 2 ? 2 : 0);
      return Response.json({ error: { message: "wrong" } }, { status: 400 });
    });
    await using router = startKernel({ providers: [vendorAt(vendor.url, ["a", "b"])] });
    const leaving = new AbortController();
    const first = router.chat(question("first"), { signal: leaving.signal });
    if (leaves) {
      // Both accounts have refused, and the second one will be asked again.
      while (router.log.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
      leaving.abort();
      await first.catch(() => {});
      await router.ended();
    } else {
      const response = await first;
      assertEquals(response.status, 400);
      await response.body!.cancel();
    }
    const before = vendor.seen.length;
    assertEquals(before, leaves ? 2 : 3);
    for (const content of ["1", "2", "3", "4"]) {
      await (await router.chat(question(content))).body!.cancel();
    }
    const accounts = vendor.seen.slice(before).map((each) => asked(each)[0]!);
    assertEquals(accounts.toSorted(), ["a", "a", "b", "b"]);
  });
}
