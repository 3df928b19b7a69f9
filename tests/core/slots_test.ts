import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { Connection } from "../../core/connection.ts";
import { RouterError } from "../../core/errors.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { type Slot, type SlotRequest, Slots, type Waiting } from "../../core/slots.ts";
import { seededRandom } from "../support/random.ts";

const provider = defineProvider({ name: "acme", baseUrl: "http://127.0.0.1:1" }) as Provider;

function account(name: string, parallel?: number): Connection {
  return new Connection(provider, { name, settings: {}, parallel }, provider.baseUrl!);
}

function request(given: Partial<SlotRequest> = {}): SlotRequest {
  return {
    model: "m",
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
