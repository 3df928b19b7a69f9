import { assertEquals, assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { Uploads } from "../../providers/gigachat/uploads.ts";
import { HeldClock } from "../support/clock.ts";
import { file, UploadStore, withUploads } from "../support/upload_store.ts";

Deno.test("uploads: the same bytes by another name are another file, where the model reads names", () =>
  withUploads({}, async (uploads, store) => {
    const ids: string[] = [];
    for (const each of [file("a", "x.txt"), file("a", "y.txt"), file("a", "x.txt"), file("b")]) {
      ids.push((await uploads.upload(each, store)).id);
    }
    assertEquals(ids, ["id-1", "id-2", "id-1", "id-3"]);
  }));

Deno.test("uploads: what was not used for a while is deleted, without being asked", () =>
  withUploads({ idleMs: 5, graceMs: 5 }, async (uploads, store) => {
    await uploads.upload(file("a"), store);
    await store.calls(2);
    assertEquals(store.asked, ["/files", "/files/id-1/delete"]);
    await uploads.upload(file("a"), store);
    assertEquals(store.asked.slice(2), ["/files"]);
  }));

Deno.test("uploads: the file that was used longest ago makes room, and may be read a while yet", async () => {
  using clock = new HeldClock();
  await withUploads({ most: 2, idleMs: 1_000_000, graceMs: 5 }, async (uploads, store) => {
    for (const text of ["a", "b", "a", "c"]) await uploads.upload(file(text), store);
    assertEquals(store.asked, ["/files", "/files", "/files"]);
    // "a" was used later than "b".
    await uploads.upload(file("a"), store);
    assertEquals(store.asked.length, 3);
    clock.pass(6);
    await store.calls(4);
    assertEquals(store.asked[3], "/files/id-2/delete");
  });
});

Deno.test("uploads: a deletion that fails is tried again, and no more than three times", () =>
  withUploads({ idleMs: 5, graceMs: 5 }, async (uploads, store) => {
    await uploads.upload(file("a"), store);
    store.statuses.push(500, 500, 500);
    await store.calls(4);
    await uploads.close();
    assertEquals(store.asked.slice(1), Array(3).fill("/files/id-1/delete"));
  }));

Deno.test("uploads: all that wait for one upload hear why it failed, and the next tries again", () =>
  withUploads({}, async (uploads, store) => {
    store.statuses.push(500);
    const all = await Promise.allSettled([1, 2, 3].map(() => uploads.upload(file("a"), store)));
    for (const each of all) {
      assertEquals(
        ((each as PromiseRejectedResult).reason as RouterError).code,
        "upstream_unavailable",
      );
    }
    assertEquals(store.asked, ["/files"]);
    assertEquals((await uploads.upload(file("a"), store)).id, "id-2");
  }));

Deno.test("uploads: a forgotten file is uploaded again, and the old one deleted at the end", async () => {
  const store = new UploadStore();
  const uploads = new Uploads();
  const { digest } = await uploads.upload(file("a"), store);
  uploads.forget(digest);
  uploads.forget(digest);
  assertEquals((await uploads.upload(file("a"), store)).id, "id-2");
  await uploads.close();
  await uploads.close();
  assertEquals(store.asked.slice(2).sort(), ["/files/id-1/delete", "/files/id-2/delete"]);
});

Deno.test("uploads: an id that would lead elsewhere is none", () =>
  withUploads({}, async (uploads) => {
    for (
      const body of ['{"id":"../../models"}', '{"id":1}', "{}", "null", "no JSON", '{"id":""}']
    ) {
      const wrong = { ...new UploadStore(), send: () => Promise.resolve(new Response(body)) };
      const error = await assertRejects(() => uploads.upload(file(body), wrong), RouterError);
      assertEquals(error.code, "upstream_unavailable", body);
    }
  }));
