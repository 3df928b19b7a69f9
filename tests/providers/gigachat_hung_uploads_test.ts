/** An upload that hangs holds up nobody for long, and leaves no file behind. */
import { assertEquals, assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import type { Uploads } from "../../providers/gigachat/uploads.ts";
import { HeldClock } from "../support/clock.ts";
import { file, type UploadStore, withUploads } from "../support/upload_store.ts";

const upload = "/files";
const deletion = (id: number) => `/files/id-${id}/delete`;

/** Runs while an upload hangs; time passes by the clock alone. */
function withHung(
  run: (
    hung: { uploads: Uploads; store: UploadStore; clock: HeldClock; release: () => void },
    first: Promise<string>,
  ) => Promise<void>,
): Promise<void> {
  return withUploads({ patienceMs: 5 }, async (uploads, store) => {
    using clock = new HeldClock();
    store.held = [];
    const first = uploads.upload(file("a"), store).then(({ id }) => id);
    const [release] = store.held;
    store.held = undefined;
    await run({ uploads, store, clock, release: release! }, first);
  });
}

const idOf = (uploads: Uploads, store: Pick<UploadStore, "send" | "signal">) =>
  uploads.upload(file("a"), store).then(({ id }) => id);

Deno.test("uploads: of those who wait for one that hangs one begins another, which serves all", () =>
  withHung(async ({ uploads, store, clock, release }, first) => {
    const others = Array.from({ length: 20 }, () => idOf(uploads, store));
    assertEquals(store.asked, [upload]);
    clock.pass(6);
    assertEquals(new Set(await Promise.all([first, ...others])), new Set(["id-2"]));
    assertEquals(await idOf(uploads, store), "id-2");
    assertEquals(store.asked, [upload, upload]);
    // Nobody has the file of the hung one: it is deleted at once, the other at the end.
    release();
    await store.calls(3);
    await uploads.close();
    assertEquals(store.asked.slice(2), [deletion(1), deletion(2)]);
  }));

Deno.test("uploads: one that comes when an upload has hung for long does not wait at all", () =>
  withHung(async ({ uploads, store, clock, release }, first) => {
    clock.pass(6);
    const late = idOf(uploads, store);
    assertEquals(store.asked, [upload, upload]);
    assertEquals(await Promise.all([late, first]), ["id-2", "id-2"]);
    release();
    await store.calls(3);
    assertEquals(store.asked[2], deletion(1));
  }));

Deno.test("uploads: an upload that ends in time is nobody's reason to begin another", () =>
  withHung(async ({ uploads, store, release }, first) => {
    const other = idOf(uploads, store);
    release();
    assertEquals(await Promise.all([first, other]), ["id-1", "id-1"]);
    assertEquals(store.asked, [upload]);
  }));

Deno.test("uploads: a caller that leaves waits no longer, and begins nothing", () =>
  withHung(async ({ uploads, store, clock, release }, first) => {
    const caller = new AbortController();
    const leaves = idOf(uploads, { send: store.send, signal: caller.signal });
    caller.abort(new RouterError("aborted", "left"));
    assertEquals((await assertRejects(() => leaves, RouterError)).code, "aborted");
    clock.pass(6);
    await assertRejects(() => idOf(uploads, { send: store.send, signal: caller.signal }));
    assertEquals(store.asked, [upload]);
    release();
    await first;
  }));

Deno.test("uploads: a file whose callers have all left is there for the next, and deleted in the end", () =>
  withUploads({}, async (uploads, store) => {
    const caller = new AbortController();
    store.held = [];
    const leaves = idOf(uploads, { send: store.send, signal: caller.signal });
    caller.abort(new RouterError("aborted", "left"));
    await assertRejects(() => leaves, RouterError);
    const [release] = store.held;
    store.held = undefined;
    release!();
    assertEquals(await idOf(uploads, store), "id-1");
    await uploads.close();
    assertEquals(store.asked, [upload, deletion(1)]);
  }));

Deno.test("uploads: the upload that was begun last decides, when it fails and when others do", () =>
  withHung(async ({ uploads, store, clock, release }, first) => {
    clock.pass(6);
    store.statuses.push(422);
    const refused = idOf(uploads, store);
    for (const each of [first, refused]) {
      assertEquals((await assertRejects(() => each, RouterError)).code, "invalid_request");
    }
    // What hangs is forgotten, and deleted where it comes to something.
    assertEquals(await idOf(uploads, store), "id-3");
    release();
    await store.calls(4);
    assertEquals(store.asked.slice(3), [deletion(1)]);
  }));

Deno.test("uploads: one that was given up may fail without harm", () =>
  withUploads({ patienceMs: 5 }, async (uploads, store) => {
    using clock = new HeldClock();
    store.held = [];
    store.statuses.push(500);
    const first = idOf(uploads, store);
    clock.pass(6);
    const second = idOf(uploads, store);
    const [fail, succeed] = store.held;
    store.held = undefined;
    fail!();
    const third = idOf(uploads, store);
    succeed!();
    assertEquals(await Promise.all([first, second, third]), ["id-2", "id-2", "id-2"]);
    assertEquals(store.asked, [upload, upload]);
  }));

Deno.test("uploads: a big file has more time than a small one", () =>
  withUploads({ patienceMs: 5 }, async (uploads, store) => {
    using clock = new HeldClock();
    store.held = [];
    const big = file("a".repeat(10_000));
    const first = uploads.upload(big, store);
    clock.pass(14);
    const second = uploads.upload(big, store);
    assertEquals(store.asked, [upload]);
    clock.pass(2);
    const third = uploads.upload(big, store);
    assertEquals(store.asked, [upload, upload]);
    for (const release of store.held.splice(0)) release();
    store.held = undefined;
    await Promise.all([first, second, third]);
    await store.calls(3);
  }));

Deno.test("uploads: one that hangs at a stop is broken off", () =>
  withUploads({ closeMs: 5 }, async (uploads, store) => {
    store.held = [];
    const hung = idOf(uploads, store);
    const rejected = assertRejects(() => hung, DOMException);
    await uploads.close();
    await rejected;
    assertEquals(store.asked, [upload]);
  }));
