import { assertEquals, assertStringIncludes } from "@std/assert";
import { type FakeGigachat, startFakeGigachat } from "../support/fake_gigachat.ts";
import { png } from "../support/files.ts";
import { byField, byPart, callerOf, model, start } from "../support/file_callers.ts";

/** The chats that got through to GigaChat. */
const chats = (fake: FakeGigachat) => fake.chats.length;

Deno.test("files: another key sees, reads, uses and deletes nothing of a key's file", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const { json: { id } } = await it.own.upload(png());
  for (const path of [`/v1/files/${id}`, `/v1/files/${id}/content`, `/v1/files?after=${id}`]) {
    const { status, json } = await it.other.call("GET", path);
    assertEquals([status, json.error.message], [404, "This key has no such file"], path);
    // The same answer as for a file that there is not: nobody learns which ids exist.
    const nobodys = await it.other.call("GET", path.replace(id, crypto.randomUUID()));
    assertEquals([nobodys.status, nobodys.text], [404, JSON.stringify(json)]);
  }
  assertEquals((await it.other.call("DELETE", `/v1/files/${id}`)).status, 404);
  assertEquals((await it.other.call("GET", "/v1/files")).json.data, []);
  for (const message of [byPart(id), byField(id)]) {
    const { status, json } = await it.other.chat(model, message);
    assertEquals(status, 400);
    assertStringIncludes(json.error.message, "is no file that this key has at provider");
    assertEquals((await it.own.chat(model, message)).status, 200);
  }
  assertEquals([chats(fake), fake.files.deleted.length], [2, 0]);
  assertEquals((await it.own.call("GET", `/v1/files/${id}/content`)).status, 200);
});

Deno.test("files: an id among a key's own ones must be the key's too", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const { json: mine } = await it.own.upload(png("a"));
  const { json: theirs } = await it.other.upload(png("b"));
  const { status, json } = await it.own.chat(
    model,
    byField(mine.id),
    { role: "assistant", content: "Yes" },
    byPart(theirs.id),
  );
  assertEquals([status, json.error.param], [400, "messages[2].content[0].file.file_id"]);
  assertEquals(chats(fake), 0);
});

Deno.test("files: an admin key has none and reads none, and nobody reads without a key", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const { json: { id } } = await it.own.upload(png());
  const calls: [method: string, path: string][] = [
    ["GET", "/v1/files"],
    ["GET", `/v1/files/${id}`],
    ["GET", `/v1/files/${id}/content`],
    ["DELETE", `/v1/files/${id}`],
  ];
  for (const [method, path] of calls) {
    assertEquals((await it.admin.call(method, path)).status, 403, path);
    assertEquals((await callerOf(it.router, "xr-no").call(method, path)).status, 401, path);
  }
  assertEquals((await it.admin.upload(png())).status, 403);
});

Deno.test("files: a form with a fault is refused, naming the field, and nothing is kept", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const form = (fields: Record<string, string | Blob>) => {
    const made = new FormData();
    for (const [name, value] of Object.entries(fields)) made.append(name, value);
    return made;
  };
  const file = new Blob([png()]);
  const wrong: [fields: Record<string, string | Blob>, param: string][] = [
    [{}, "file"],
    [{ file: "text" }, "file"],
    [{ file, purpose: "" }, "purpose"],
    [{ file, purpose: "a b" }, "purpose"],
    [{ file, provider: "nobody" }, "provider"],
    [{ file, "expires_after[anchor]": "created_at" }, "expires_after[anchor]"],
  ];
  for (const [fields, param] of wrong) {
    const { status, json } = await it.own.call("POST", "/v1/files", form(fields));
    assertEquals([status, json.error?.param], [400, param], JSON.stringify(json));
  }
  const post = (body: string, type?: string) => it.own.call("POST", "/v1/files", body, type);
  assertEquals((await post("{}", "application/json")).status, 415);
  assertEquals((await post("no form", "multipart/form-data; boundary=x")).status, 400);
  assertEquals((await post("no form", "multipart/form-data; x")).status, 415);
  assertEquals((await post("x", "multipart/form-data; boundary=a; boundary=b")).status, 415);
  assertEquals((await it.own.call("GET", "/v1/files?limit=0")).status, 400);
  assertEquals((await it.own.call("GET", "/v1/files?colour=red")).status, 400);
  assertEquals((await it.own.call("PUT", "/v1/files")).status, 405);
  assertEquals((await it.own.call("GET", "/v1/files/..%2Fmodels")).status, 404);
  assertEquals(fake.files.uploads, 0);
});

Deno.test("files: a form of many small fields is refused before it is taken apart", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const part = '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n';
  const type = 'multipart/form-data; boundary="x"';
  const { status, json } = await it.own.call("POST", "/v1/files", part.repeat(500_000), type);
  assertEquals([status, json.error.message], [400, "The form has more than 16 fields"]);
});

Deno.test("files: an upload without an end is broken off", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start({ ...fake.env, XROUTER_FILE_LIMIT: "65536" });
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent++;
      if (sent > 10_000) controller.close();
      else controller.enqueue(new Uint8Array(16_384));
    },
  });
  const response = await fetch(`${it.router.url}/v1/files`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${it.router.secret}`,
      "content-type": "multipart/form-data; boundary=x",
    },
    body,
  }).catch(() => undefined);
  // The server may close the connection before the client has read the answer.
  if (response !== undefined) assertEquals(response.status, 413);
  await response?.body?.cancel();
  assertEquals(sent < 10_000, true, `${sent}`);
  assertEquals((await it.own.upload(png())).status, 200);
});

Deno.test("files: a key has as many files as it may, however many uploads come at a time", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start({ ...fake.env, XROUTER_FILES_PER_KEY: "3" });
  const uploads = Array.from({ length: 10 }, (_, i) => it.own.upload(png(`${i}`)));
  const statuses = (await Promise.all(uploads)).map(({ status }) => status).sort();
  assertEquals(statuses, [200, 200, 200, 403, 403, 403, 403, 403, 403, 403]);
  // What had no room is not left at the vendor.
  assertEquals(fake.files.stored.size, 3);
  assertEquals((await it.other.upload(png("x"))).status, 200);
  const [first] = (await it.own.call("GET", "/v1/files")).json.data;
  assertEquals((await it.own.call("DELETE", `/v1/files/${first.id}`)).status, 200);
  assertEquals((await it.own.upload(png("new"))).status, 200);
});

Deno.test("files: one that the vendor has lost can still be deleted, and says so when it is read", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const { json: { id } } = await it.own.upload(png());
  fake.files.stored.clear();
  const { status, json } = await it.own.call("GET", `/v1/files/${id}/content`);
  assertEquals([status, json.error.message], [
    404,
    'Provider "gigachat" has no content of this file',
  ]);
  const chat = await it.own.chat(model, byPart(id));
  assertEquals(chat.status, 400);
  assertStringIncludes(chat.json.error.message, "No such file");
  assertEquals((await it.own.call("DELETE", `/v1/files/${id}`)).status, 200);
});

Deno.test("files: one whose deletion fails is still the key's", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const { json: { id } } = await it.own.upload(png());
  fake.failNext("files", { status: 500 });
  assertEquals((await it.own.call("DELETE", `/v1/files/${id}`)).status, 502);
  assertEquals((await it.own.call("GET", `/v1/files/${id}`)).status, 200);
  assertEquals((await it.own.call("DELETE", `/v1/files/${id}`)).status, 200);
});

Deno.test("files: more than a hundred in a request are refused", async () => {
  await using fake = await startFakeGigachat();
  await using it = await start(fake.env);
  const ids = Array.from({ length: 5_000 }, () => crypto.randomUUID());
  const message = { role: "user", content: "Look", attachments: ids };
  const { status, json } = await it.own.chat(model, message);
  assertEquals(status, 400);
  assertStringIncludes(json.error.message, "is one of more than 100 files");
});

Deno.test("files: a router whose providers keep no files says so", async () => {
  await using it = await start({});
  const { status, json } = await it.own.upload(png());
  assertEquals([status, json.error.message], [400, "No configured provider keeps files"]);
});
