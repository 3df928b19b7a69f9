/** How holds that come together are written. */
import { type Client, type InStatement, LibsqlError, type ResultSet } from "@libsql/client";
import { assertEquals, assertRejects } from "@std/assert";
import { type Hold, HoldWriter } from "../../core/ledger/hold_writer.ts";
import { HeldClock } from "../support/clock.ts";

/** A hold of a key. */
function holdOf(keyId: string): Hold {
  return {
    requestId: crypto.randomUUID(),
    keyId,
    owner: null,
    amount: 1,
    openedAt: 0,
    provider: "echo",
    model: "echo",
    modelAsked: "echo",
    tag: null,
    stream: false,
    inputTokens: 1,
    price: undefined,
  };
}

/** A database that answers when the test says so, and what it was asked. */
function databaseOf(protocol: "file" | "https") {
  const asked: { keys: unknown[]; answer: (error?: LibsqlError) => void }[] = [];
  let arrived = Promise.withResolvers<void>();
  const execute = (statement: InStatement) => {
    const { args } = statement as { args: unknown[] };
    const keys = args.filter((arg) => typeof arg === "string" && arg.startsWith("key_"));
    const { promise, resolve, reject } = Promise.withResolvers<ResultSet>();
    const answer = (error?: LibsqlError) =>
      error === undefined ? resolve({ rowsAffected: keys.length } as ResultSet) : reject(error);
    asked.push({ keys, answer });
    arrived.resolve();
    return promise;
  };
  return {
    client: { protocol, execute } as unknown as Client,
    asked,
    /** Waits until so many statements have been asked for. */
    async until(count: number) {
      while (asked.length < count) {
        await arrived.promise;
        arrived = Promise.withResolvers();
      }
    },
  };
}

const busy = new LibsqlError("database is locked", "SQLITE_BUSY");
const refusal = new LibsqlError("the hold does not fit", "SQLITE_CONSTRAINT");

/** A turn of the event loop in which whatever is due to be written is. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve));

Deno.test("holds that come while others are written to a file are written together after them", async () => {
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const first = writer.write(holdOf("key_1"));
  await until(1);
  const later = ["key_2", "key_3", "key_4"].map((key) => writer.write(holdOf(key)));
  await turn();
  assertEquals(asked.map(({ keys }) => keys), [["key_1"]]);
  asked[0]!.answer();
  await first;
  await until(2);
  assertEquals(asked[1]!.keys, ["key_2", "key_3", "key_4"]);
  asked[1]!.answer();
  await Promise.all(later);
});

Deno.test("holds go to a server at once, whatever is on its way there", async () => {
  const { client, asked, until } = databaseOf("https");
  const writer = new HoldWriter(client, 1_000, null);
  const first = writer.write(holdOf("key_1"));
  await until(1);
  const second = writer.write(holdOf("key_2"));
  await until(2);
  for (const { answer } of asked) answer();
  await Promise.all([first, second]);
});

Deno.test("holds do not wait until each of a group that is refused has its answer", async () => {
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const group = ["key_1", "key_2"].map((key) => writer.write(holdOf(key)));
  await until(1);
  assertEquals(asked[0]!.keys, ["key_1", "key_2"]);
  const good = writer.write(holdOf("key_3"));
  asked[0]!.answer(refusal);
  await until(3);
  assertEquals(asked.slice(1).map(({ keys }) => keys), [["key_1"], ["key_3"]]);
  asked[2]!.answer();
  await good;
  for (const [i, hold] of group.entries()) {
    asked[1 + 2 * i]!.answer(refusal);
    await assertRejects(() => hold, LibsqlError, "the hold does not fit");
    if (i === 0) await until(4);
  }
});

Deno.test("holds that meet a lock go again with all that came meanwhile, in one statement", async () => {
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const group = ["key_1", "key_2"].map((key) => writer.write(holdOf(key)));
  await until(1);
  const good = writer.write(holdOf("key_3"));
  asked[0]!.answer(busy);
  // Whoever comes in the pause waits with the others.
  await turn();
  const late = writer.write(holdOf("key_4"));
  await until(2);
  assertEquals(asked.map(({ keys }) => keys), [
    ["key_1", "key_2"],
    ["key_1", "key_2", "key_3", "key_4"],
  ]);
  asked[1]!.answer();
  await Promise.all([...group, good, late]);
});

Deno.test("a lock is waited for by each hold for two seconds of its own", async () => {
  using clock = new HeldClock();
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const first = writer.write(holdOf("key_1"));
  await until(1);
  clock.pass(1_500);
  const second = writer.write(holdOf("key_2"));
  asked[0]!.answer(busy);
  await until(2);
  assertEquals(asked[1]!.keys, ["key_1", "key_2"]);
  clock.pass(1_000);
  asked[1]!.answer(busy);
  await assertRejects(() => first, LibsqlError, "locked");
  await until(3);
  assertEquals(asked[2]!.keys, ["key_2"]);
  asked[2]!.answer();
  await second;
});

Deno.test("a part of a group that meets a lock keeps its place among the others", async () => {
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const group = ["key_1", "key_2", "key_3"].map((key) => writer.write(holdOf(key)));
  await until(1);
  asked[0]!.answer(refusal);
  await until(2);
  asked[1]!.answer(busy);
  const later = writer.write(holdOf("key_4"));
  await until(3);
  // The other half is not sent into the lock.
  assertEquals(asked.map(({ keys }) => keys), [
    ["key_1", "key_2", "key_3"],
    ["key_1"],
    ["key_1", "key_2", "key_3", "key_4"],
  ]);
  asked[2]!.answer();
  await Promise.all([...group, later]);
});

Deno.test("a lock that lasts ends the waiting of all whose time is over, also beyond one statement", async () => {
  using clock = new HeldClock();
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const holds = Array.from({ length: 501 }, (_, i) => writer.write(holdOf(`key_${i}`)));
  await until(1);
  assertEquals(asked[0]!.keys.length, 500);
  clock.pass(2_001);
  asked[0]!.answer(busy);
  const ended = await Promise.allSettled(holds);
  assertEquals(ended.filter(({ status }) => status === "rejected").length, 501);
});

Deno.test("keys whose last hold fitted are parted from those of which nobody knows", async () => {
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const known = writer.write(holdOf("key_1"));
  await until(1);
  asked[0]!.answer();
  await known;
  const group = ["key_2", "key_1", "key_3", "key_1"].map((key) => writer.write(holdOf(key)));
  await until(2);
  const later = writer.write(holdOf("key_4"));
  asked[1]!.answer(refusal);
  await until(4);
  assertEquals(asked.slice(2).map(({ keys }) => keys), [["key_1", "key_1"], ["key_4"]]);
  asked[3]!.answer();
  asked[2]!.answer();
  await Promise.all([group[1], group[3], later]);
  await until(5);
  assertEquals(asked[4]!.keys, ["key_2", "key_3"]);
  asked[4]!.answer();
  await Promise.all(group);
});

Deno.test("holds of a key that was refused go by themselves for a second, and until one fits", async () => {
  using clock = new HeldClock();
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const first = ["key_1", "key_2"].map((key) => writer.write(holdOf(key)));
  await until(1);
  asked[0]!.answer(refusal);
  await until(2);
  const waiting = writer.write(holdOf("key_3"));
  await until(3);
  // These wait for the third statement, and meanwhile the first key turns out to be the refused one.
  const more = ["key_1", "key_2"].map((key) => writer.write(holdOf(key)));
  await turn();
  asked[1]!.answer(refusal);
  await assertRejects(() => first[0]!, LibsqlError, "does not fit");
  asked[2]!.answer();
  await until(6);
  assertEquals(asked.slice(1).map(({ keys }) => keys), [
    ["key_1"],
    ["key_3"],
    ["key_2"],
    ["key_1"],
    ["key_2"],
  ]);
  for (const { answer } of asked.slice(3)) answer();
  await Promise.all([first[1], waiting, ...more]);
  /** Writes a hold of each key. @returns The keys of each statement. */
  const both = async (refused: boolean) => {
    const before = asked.length;
    const holds = ["key_1", "key_2"].map((key) => writer.write(holdOf(key)));
    await turn();
    const sent = asked.slice(before);
    for (const { keys, answer } of sent) {
      answer(refused && keys.includes("key_1") ? refusal : undefined);
    }
    await Promise.allSettled(holds);
    return sent.map(({ keys }) => keys);
  };
  const apart = [["key_1"], ["key_2"]];
  // One that is at its limit fits every now and then.
  assertEquals(await both(false), apart);
  clock.pass(500);
  assertEquals(await both(true), apart);
  clock.pass(999);
  assertEquals(await both(false), apart);
  clock.pass(1);
  assertEquals(await both(false), apart);
  assertEquals(await both(false), [["key_1", "key_2"]]);
});

Deno.test("a hold whose time a lock has taken is not written any more, in no part of its group", async () => {
  using clock = new HeldClock();
  const { client, asked, until } = databaseOf("file");
  const writer = new HoldWriter(client, 1_000, null);
  const early = writer.write(holdOf("key_1"));
  await until(1);
  clock.pass(1_000);
  const late = writer.write(holdOf("key_2"));
  asked[0]!.answer(busy);
  await until(2);
  assertEquals(asked[1]!.keys, ["key_1", "key_2"]);
  clock.pass(1_500);
  asked[1]!.answer(refusal);
  await assertRejects(() => early, LibsqlError, "locked");
  await until(3);
  assertEquals(asked[2]!.keys, ["key_2"]);
  asked[2]!.answer();
  await late;
});
