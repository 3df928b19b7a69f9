import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { Connection } from "../../core/connection.ts";
import { RouterError } from "../../core/errors.ts";
import { type CallKind, defineProvider, type Provider } from "../../core/provider.ts";
import type { Slot, SlotRequest, Waiting } from "../../core/slot.ts";
import { Slots } from "../../core/slots.ts";
import { HeldClock } from "../support/clock.ts";
import { seededRandom } from "../support/random.ts";

const provider = defineProvider({ name: "acme", baseUrl: "http://127.0.0.1:1" }) as Provider;

function account(name: string, parallel?: number, counted?: CallKind[]): Connection {
  return new Connection(provider, { name, settings: {}, parallel, counted }, provider.baseUrl!);
}

function request(given: Partial<SlotRequest> = {}): SlotRequest {
  return {
    model: "m",
    kind: "chat",
    keyId: "k",
    signal: new AbortController().signal,
    refused: new Set(),
    ...given,
  };
}

function queueOf(connections: Connection[], limits = { length: 100, waitMs: 60_000 }): Slots {
  return new Slots("acme", connections, limits);
}

/** Takes a slot that is free. */
function now(slots: Slots, given: Partial<SlotRequest> = {}): Slot {
  const slot = slots.take(request(given));
  assert(!(slot instanceof Promise), "the slot has to be free");
  return slot;
}

Deno.test("Slots lets as many calls run as the account allows, and the next when one ends", async () => {
  const slots = queueOf([account("a", 2)]);
  const [first, second] = [now(slots), now(slots)];
  let got: Slot | undefined;
  const third = Promise.resolve(slots.take(request())).then((slot) => got = slot);
  await Promise.resolve();
  assertEquals(got, undefined);
  first.release();
  await third;
  second.release();
  second.release();
  const fourth = now(slots);
  // A second release of the same slot must not have freed another one.
  const fifth = slots.take(request());
  assertInstanceOf(fifth, Promise);
  got!.release();
  (await fifth).release();
  fourth.release();
});

Deno.test("Slots lets calls run beside the counted ones that an account does not count", async () => {
  for (const counted of [undefined, ["chat", "embeddings"], ["chat"]] as const) {
    const slots = queueOf([account("a", 1, counted && [...counted])]);
    const chat = now(slots);
    const embeddings = slots.take(request({ kind: "embeddings" }));
    assertEquals(embeddings instanceof Promise, counted?.length !== 1);
    const next = slots.take(request());
    assertInstanceOf(next, Promise);
    chat.release();
    const slot = await embeddings;
    // What is not counted gives back nothing but itself.
    if (counted?.length === 1) (await next).release();
    slot.release();
    (await next).release();
    now(slots).release();
  }
});

Deno.test("Slots gives a free call to what is not worth a wait, and takes it back", async () => {
  const [busy, open] = [account("a", 1, ["chat", "count"]), account("b", 1)];
  const slots = queueOf([busy]);
  const giveBack = slots.takeFree(busy, "count")!;
  assertEquals(slots.takeFree(busy, "count"), undefined);
  const waiting = slots.take(request());
  assertInstanceOf(waiting, Promise);
  giveBack();
  giveBack();
  const chat = await waiting;
  assertEquals(slots.takeFree(busy, "count"), undefined);
  chat.release();
  const others = queueOf([open]);
  const running = now(others);
  assert(others.takeFree(open, "count") !== undefined);
  running.release();
});

Deno.test("Slots serves each key in turn, however many requests it has", async () => {
  const slots = queueOf([account("a", 1)]);
  const running = now(slots);
  const served: string[] = [];
  const waiting = ["a1", "a2", "a3", "b1", "b2", "c1"].map(async (name) => {
    const slot = await slots.take(request({ keyId: name[0]! }));
    served.push(name);
    slot.release();
  });
  running.release();
  await Promise.all(waiting);
  assertEquals(served, ["a1", "b1", "c1", "a2", "b2", "a3"]);
});

Deno.test("Slots tells the place, which is the number of turns to come", async () => {
  const below = seededRandom();
  for (let round = 0; round < 50; round++) {
    const slots = queueOf([account("a", 1)]);
    const running = now(slots);
    const places = new Map<number, Waiting>();
    const served: number[] = [];
    const waiting = Array.from({ length: 1 + below(12) }, async (_, number) => {
      const keyId = "abcd"[below(4)]!;
      const slot = await slots.take(
        request({ keyId, onWait: (place) => places.set(number, place) }),
      );
      served.push(number);
      // What is told has to be true at every step.
      for (const other of served) places.delete(other);
      slot.release();
    });
    const told = [...places].map(([number, { place }]) => [number, place] as const);
    running.release();
    await Promise.all(waiting);
    for (const [number, place] of told) {
      assertEquals(served.indexOf(number) + 1, place, `round ${round}`);
    }
  }
});

Deno.test("Slots refuses when too many wait, and those who wait too long", async () => {
  const slots = queueOf([account("a", 1)], { length: 1, waitMs: 20 });
  const running = now(slots);
  const late = assertRejects(async () => await slots.take(request()), RouterError, "waited 0.02");
  const full = await assertRejects(
    async () => await slots.take(request()),
    RouterError,
    "1 requests wait already",
  );
  assertEquals(full.code, "queue_full");
  assert(full.fallback && !full.retry && full.status === 429);
  assertEquals((await late).code, "queue_full");
  // Who left the queue is not served.
  running.release();
  now(slots).release();
});

Deno.test("Slots lets those go whose client went, and serves the others", async () => {
  const slots = queueOf([account("a", 1)]);
  const running = now(slots);
  const gone = new AbortController();
  const reason = new Error("the client went");
  const leaving = assertRejects(
    async () => await slots.take(request({ signal: gone.signal })),
    Error,
    "the client went",
  );
  const staying = slots.take(request());
  gone.abort(reason);
  await leaving;
  running.release();
  (await staying).release();
  await assertRejects(
    async () => {
      const blocking = now(slots);
      try {
        await slots.take(request({ signal: AbortSignal.abort(reason) }));
      } finally {
        blocking.release();
      }
    },
    Error,
    "the client went",
  );
  now(slots).release();
});

Deno.test("Slots spreads calls over accounts by how busy they are", () => {
  const [small, large] = [account("small", 1), account("large", 3)];
  const slots = queueOf([small, large]);
  const names = Array.from({ length: 4 }, () => now(slots).connection.name);
  assertEquals(names.toSorted(), ["large", "large", "large", "small"]);
});

Deno.test("Slots avoids an account for one model only, and takes it when no other is left", () => {
  const [a, b] = [account("a"), account("b")];
  const slots = queueOf([a, b]);
  slots.avoid(a, "m", 60_000);
  const names = Array.from({ length: 4 }, () => now(slots).connection.name);
  assertEquals(names, ["b", "b", "b", "b"]);
  const other = Array.from({ length: 4 }, () => now(slots, { model: "n" }).connection.name);
  assert(other.includes("a"), "another model is not avoided");
  assertEquals(now(slots, { refused: new Set([b]) }).connection.name, "a");
  slots.avoid(b, "m", 30_000);
  assertEquals(now(slots).connection.name, "b", "the one that is avoided for a shorter time");
});

Deno.test("Slots waits for a busy account rather than take one that is avoided", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  slots.avoid(a, "m", 60_000);
  const running = now(slots);
  const waiting = Promise.resolve(slots.take(request()));
  assertEquals(running.connection.name, "b");
  running.release();
  const slot = await waiting;
  assertEquals(slot.connection.name, "b");
  // Once it is avoided no longer, it is taken although nothing else becomes free.
  slots.avoid(a, "m", 20);
  const later = await slots.take(request());
  assertEquals(later.connection.name, "a");
  slots.avoid(a, "m", 60_000);
  slots.avoid(b, "m", 60_000);
  slot.release();
  assertEquals(now(slots).connection.name, "b");
});

Deno.test("Slots serves who waits for another account before its turn comes", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  const [onA, onB] = [now(slots), now(slots)];
  const held = new Map([[onA.connection, onA], [onB.connection, onB]]);
  let refusedServed = false;
  const refused = Promise.resolve(slots.take(request({ keyId: "1", refused: new Set([a]) })))
    .then((slot) => {
      refusedServed = true;
      return slot;
    });
  const open = slots.take(request({ keyId: "2" }));
  held.get(a)!.release();
  const slot = await open;
  assertEquals(slot.connection.name, "a");
  assertEquals(refusedServed, false);
  held.get(b)!.release();
  assertEquals((await refused).connection.name, "b");
});

Deno.test("Slots lets nobody who waits for one account keep another account idle", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  slots.avoid(a, "max", 60_000);
  const onB = now(slots, { model: "max" });
  assertEquals(onB.connection, b);
  const waiting = slots.take(request({ model: "max", keyId: "1" }));
  assertInstanceOf(waiting, Promise);
  let told = false;
  const other = await slots.take(
    request({ model: "lite", keyId: "2", onWait: () => told = true }),
  );
  assertEquals([other.connection.name, told], ["a", false]);
  onB.release();
  (await waiting).release();
  other.release();
});

Deno.test("Slots looks again when an account that came to be avoided is avoided no longer", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  const [first, second] = [now(slots), now(slots)];
  const waiting = slots.take(request());
  const onA = [first, second].find(({ connection }) => connection === a)!;
  slots.avoid(a, "m", 20);
  onA.release();
  // The other one stays busy for ever.
  assertEquals((await waiting).connection.name, "a");
});

Deno.test("Slots looks again at once when what was waited for is avoided, and when it no longer is", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  slots.avoid(a, "m", 60_000);
  const onB = now(slots);
  const waiting = slots.take(request());
  // Both are avoided: the one that is free will do.
  slots.avoid(b, "m", 60_000);
  const onA = await waiting;
  assertEquals(onA.connection, a);
  slots.avoid(b, "m", 0);
  onA.release();
  const next = slots.take(request());
  assertInstanceOf(next, Promise);
  slots.avoid(a, "m", 0);
  assertEquals((await next).connection, a);
  onB.release();
});

Deno.test("Slots says whether an account that is left is free, or only has to become free", () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  const mayServe = (...refused: Connection[]) =>
    slots.mayServe({ model: "m", kind: "chat", refused: new Set(refused) });
  const slotsOf = new Map([now(slots), now(slots)].map((slot) => [slot.connection, slot]));
  assertEquals([mayServe(), mayServe(a), mayServe(a, b)], [true, true, false]);
  slots.avoid(b, "m", 60_000);
  assertEquals([mayServe(), mayServe(a)], [true, false]);
  slotsOf.get(b)!.release();
  assertEquals([mayServe(a), mayServe(b)], [true, true]);
});

Deno.test("Slots serves a key's later request while its first one waits for another account", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  const [first, second] = [now(slots), now(slots)];
  const onA = [first, second].find(({ connection }) => connection === a)!;
  const max = slots.take(request({ model: "max", refused: new Set([a]) }));
  const lite = slots.take(request({ model: "lite" }));
  onA.release();
  assertEquals((await lite).connection.name, "a");
  [first, second].find((slot) => slot !== onA)!.release();
  assertEquals((await max).connection.name, "b");
});

Deno.test("Slots takes a request for an idle account though the queue for another is full", async () => {
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b], { length: 1, waitMs: 60_000 });
  slots.avoid(a, "max", 60_000);
  const onB = now(slots, { model: "max" });
  const waiting = slots.take(request({ model: "max" }));
  now(slots, { model: "lite" }).release();
  onB.release();
  (await waiting).release();
});

const failed = new RouterError("upstream_unavailable", "It failed");

/** Has the circuit of an account open, or half-open where the clock is moved on. */
function breakCircuit(slots: Slots, refused: Connection[] = [], model = "m"): void {
  for (let i = 0; i < 5; i++) {
    const { call, release } = now(slots, { model, refused: new Set(refused) });
    call.failed(failed);
    release();
  }
}

Deno.test("Slots lets as many calls of a model run as it may, over all accounts, and no other waits", async () => {
  const slots = queueOf([account("a", 2), account("b", 2)]);
  const max = { model: "max", parallel: 2 };
  const [first, second] = [now(slots, max), now(slots, max)];
  const waiting = [slots.take(request(max)), slots.take(request({ ...max, keyId: "other" }))];
  for (const each of waiting) assertInstanceOf(each, Promise);
  const lite = now(slots, { model: "lite" });
  lite.release();
  first.release();
  const third = await waiting[0]!;
  // The slot that lite gave back is no use to one who waits for max.
  now(slots, { model: "lite" }).release();
  second.release();
  (await waiting[1]!).release();
  third.release();
});

Deno.test("Slots names the model whose calls are all taken", async () => {
  const slots = queueOf([account("a")], { length: 0, waitMs: 20 });
  const max = { model: "max", parallel: 1 };
  const running = now(slots, max);
  const error = await assertRejects(async () => await slots.take(request(max)), RouterError);
  assertEquals(error.code, "queue_full");
  assert(error.message.startsWith('Every call of the model "max"'), error.message);
  running.release();
  now(slots, max).release();
});

Deno.test("Slots does not choose an account whose circuit is open for the model", () => {
  using clock = new HeldClock();
  const [a, b] = [account("a", 10), account("b", 10)];
  const slots = queueOf([a, b]);
  breakCircuit(slots, [b]);
  const names = Array.from({ length: 4 }, () => now(slots).connection.name);
  assertEquals(names, ["b", "b", "b", "b"]);
  const other = Array.from({ length: 4 }, () => now(slots, { model: "n" }).connection.name);
  assert(other.includes("a"), "another model is not concerned");
  clock.pass(5_000);
  const tries = Array.from({ length: 4 }, () => now(slots).connection.name);
  assertEquals(tries.filter((name) => name === "a").length, 1);
});

Deno.test("Slots refuses at once when every circuit is open, and says when to come again", async () => {
  using clock = new HeldClock();
  const [a, b] = [account("a"), account("b")];
  const slots = queueOf([a, b]);
  breakCircuit(slots, [b]);
  clock.pass(2_000);
  breakCircuit(slots, [a]);
  const error = await assertRejects(async () => await slots.take(request()), RouterError);
  assertEquals([error.code, error.status, error.retry, error.fallback], [
    "circuit_open",
    503,
    false,
    true,
  ]);
  assert(error.retryAfterMs! > 2_400 && error.retryAfterMs! <= 3_000, String(error.retryAfterMs));
  assertMatch(
    error.message,
    /^Provider "acme" is not asked for the model "m" now: 5 of the last 5 calls failed\. It is asked again in 3 seconds$/,
  );
  // Neither do those who ask for one account only wait for the other.
  const only = slots.breakers.refusal([b], "m")!;
  assert(only.retryAfterMs! > 4_400, String(only.retryAfterMs));
  now(slots, { model: "n" }).release();
});

Deno.test("Slots sends those who wait away when the last circuit opens", async () => {
  const slots = queueOf([account("a", 6)]);
  const running = Array.from({ length: 6 }, () => now(slots));
  const waiting = assertRejects(async () => await slots.take(request()), RouterError);
  const other = slots.take(request({ model: "n" }));
  for (const { call } of running.slice(0, 5)) call.failed(failed);
  assertEquals((await waiting).code, "circuit_open");
  running[0]!.release();
  (await other).release();
});

Deno.test("Slots gives one who waits the try, and sends the others away meanwhile", async () => {
  using clock = new HeldClock();
  const slots = queueOf([account("a", 1)]);
  breakCircuit(slots);
  clock.pass(5_000);
  const other = now(slots, { model: "n" });
  // Half-open, but every call of the account is taken: they wait.
  const first = slots.take(request());
  const second = assertRejects(async () => await slots.take(request()), RouterError);
  other.release();
  const slot = await first;
  assertMatch((await second).message, /One call is trying whether it works again$/);
  slot.call.answered();
  slot.release();
  now(slots).release();
});

Deno.test("Slots serves one who waits for a busy account by one whose circuit may be tried", async () => {
  using clock = new HeldClock();
  const [a, b] = [account("a", 1), account("b", 1)];
  const slots = queueOf([a, b]);
  breakCircuit(slots, [b]);
  const first = now(slots);
  assertEquals(first.connection.name, "b");
  clock.pass(slots.breakers.waitMs(a, "m", performance.now()) - 10);
  const waiting = slots.take(request());
  assertInstanceOf(waiting, Promise);
  // Its timer goes by the clock on the wall.
  clock.pass(10);
  const slot = await waiting;
  first.release();
  assertEquals(slot.connection.name, "a");
  // Given back without a verdict, the try is there for the next one who waits.
  const [onB, next] = [now(slots), slots.take(request())];
  slot.release();
  slot.call.dropped();
  const again = await next;
  assertEquals(again.connection.name, "a");
  assertEquals(slots.breakers.circuit("m").state, "closed", "b is well");
  again.release();
  onB.release();
});

Deno.test("Slots keeps its limits, and lets nobody wait who could go", async () => {
  const below = seededRandom();
  const models = [["x", 1], ["y", 3], ["z", undefined]] as const;
  for (let round = 0; round < 40; round++) {
    using clock = new HeldClock();
    const accounts = [account("a", 1 + below(3)), account("b", 1 + below(3))];
    const slots = queueOf(accounts, { length: 10_000, waitMs: 60_000 });
    const running: { slot: Slot; model: string }[] = [];
    const waiting = new Set<{ model: string; parallel: number | undefined }>();
    const end = new AbortController();
    const count = (of: (each: typeof running[0]) => boolean) => running.filter(of).length;
    for (let step = 0; step < 150; step++) {
      if (below(2) === 0) {
        const [model, parallel] = models[below(3)]!;
        const asked = { model, parallel, keyId: "abc"[below(3)]!, signal: end.signal };
        const entry = { model, parallel };
        waiting.add(entry);
        (async () => {
          try {
            const slot = await slots.take(request(asked));
            running.push({ slot, model });
          } catch {
            // Its circuit is open, or the round is over.
          }
          waiting.delete(entry);
        })();
      } else if (running.length > 0) {
        const [{ slot }] = running.splice(below(running.length), 1) as [typeof running[0]];
        if (below(2) === 0) slot.call.failed(failed);
        else if (below(3) === 0) slot.call.dropped();
        else slot.call.answered();
        slot.release();
      }
      await new Promise((resolve) => queueMicrotask(() => queueMicrotask(() => resolve(0))));
      await Promise.resolve();
      for (const each of accounts) {
        assert(count(({ slot }) => slot.connection === each) <= each.parallel);
      }
      for (const [model, parallel = Infinity] of models) {
        assert(count((each) => each.model === model) <= parallel, `round ${round}`);
      }
      for (const { model, parallel = Infinity } of waiting) {
        const could = accounts.some((each) =>
          count(({ slot }) => slot.connection === each) < each.parallel &&
          slots.breakers.mayCall(each, model, performance.now())
        );
        assert(!could || count((each) => each.model === model) >= parallel, `round ${round}`);
      }
      // Only while nobody waits: their timers go by another clock.
      if (waiting.size === 0 && below(3) === 0) clock.pass(below(6_000));
    }
    end.abort();
  }
});
