import { assertEquals, assertRejects } from "@std/assert";
import { ByteReader } from "../../core/byte_reader.ts";
import { startUpstream } from "../support/upstream.ts";

const encoder = new TextEncoder();

async function readAll(reader: ByteReader): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for (let part = await reader.read(); part !== undefined; part = await reader.read()) {
    parts.push(part);
  }
  return parts;
}

/** A stream of bytes as `fetch` gives it, and one as JavaScript makes it. */
const makers = {
  bytes: (parts: readonly Uint8Array[]) =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      type: "bytes",
      start(controller) {
        for (const part of parts) controller.enqueue(part.slice());
        controller.close();
      },
    }),
  objects: (parts: readonly Uint8Array[]) => ReadableStream.from(parts.map((part) => part.slice())),
};

for (const [kind, make] of Object.entries(makers)) {
  Deno.test(`ByteReader gives every byte of a stream of ${kind}, and pieces that stay as they are`, async () => {
    const parts = ["first", "second", "x".repeat(40_000), "last"].map((text) =>
      encoder.encode(text)
    );
    const read = await readAll(new ByteReader(make(parts) as ReadableStream<Uint8Array>));
    const whole = new Uint8Array(await new Blob(read as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const expected = new Uint8Array(
      await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer(),
    );
    assertEquals(whole, expected);
  });
}

Deno.test("ByteReader keeps no more of a read than what came", async () => {
  const stream = makers.bytes([encoder.encode("short")]) as ReadableStream<Uint8Array>;
  assertEquals((await readAll(new ByteReader(stream))).map(({ buffer }) => buffer.byteLength), [5]);
});

Deno.test("ByteReader fails with the stream, and ends it", async () => {
  const broken = new ReadableStream<Uint8Array<ArrayBuffer>>({
    type: "bytes",
    pull: (controller) => controller.error(new Error("broken")),
  });
  await assertRejects(() => new ByteReader(broken).read(), Error, "broken");
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
    type: "bytes",
    pull: () => new Promise(() => {}),
    cancel: () => void (cancelled = true),
  });
  const reader = new ByteReader(endless);
  const reading = reader.read();
  await reader.cancel();
  assertEquals(await reading, undefined);
  assertEquals(cancelled, true);
});

Deno.test("ByteReader reads what fetch gives into its own buffer", async () => {
  await using upstream = startUpstream(() => new Response("x".repeat(100_000)));
  const { body } = await fetch(upstream.url);
  const parts = await readAll(new ByteReader(body!));
  assertEquals(parts.reduce((sum, { length }) => sum + length, 0), 100_000);
  // The usual reader's buffers have 64 KiB.
  assertEquals(parts.every(({ length }) => length <= 16 * 1024), true);
});
