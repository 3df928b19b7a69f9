import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo, open } from "../support/fake_gigachat_call.ts";
import { askWith, image, refusal, said, user } from "../support/ask_with_files.ts";

Deno.test("gigachat: requests with the same image share one upload, at the same time and later", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  await Promise.all(Array.from({ length: 20 }, () => askWith(connection, image("same"))));
  await askWith(connection, image("same"), image("same"));
  assertEquals([fake.files.uploads, fake.chats.length], [1, 21]);
});

Deno.test("gigachat: a client that leaves does not end the upload that others wait for", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const controller = new AbortController();
  const messages = [user([image("same")])];
  const left = assertRejects(() => open(connection, { messages }, controller.signal));
  const stays = ask(connection, { messages });
  controller.abort(new RouterError("aborted", "left"));
  await left;
  await stays;
  assertEquals(fake.files.uploads, 1);
});

Deno.test("gigachat: an upload that is refused is the client's 400, one that fails the vendor's 502", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  fake.failNext("files", { status: 422, body: { status: 422, message: "Damaged image" } });
  const refused = await refusal(connection, image("a"));
  assertEquals([refused.code, refused.param], [
    "invalid_request",
    "messages[0].content[0].image_url.url",
  ]);
  assertStringIncludes(refused.message, "is refused by GigaChat: Damaged image");
  const codes: [number, string][] = [
    [500, "upstream_unavailable"],
    [403, "upstream_rejected"],
    [404, "upstream_rejected"],
  ];
  for (const [status, code] of codes) {
    fake.failNext("files", { status });
    const error = await refusal(connection, image("a"));
    assertEquals([error.code, error.param], [code, undefined], `${status}`);
  }
  fake.failNext("files", { status: 200, body: { id: "../models" } });
  assertEquals((await refusal(connection, image("a"))).code, "upstream_unavailable");
  // What failed is not remembered, and what is busy is asked again.
  fake.failNext("files", { status: 429 });
  await askWith(connection, image("a"));
  assertEquals(fake.files.uploads, 1);
});

Deno.test("gigachat: an expired token is renewed for an upload too", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  await ask(connection);
  fake.expireTokens();
  await askWith(connection, image("a"));
  assertEquals([fake.files.uploads, fake.tokensIssued], [1, 2]);
});

Deno.test("gigachat: a file that was deleted there is uploaded again", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  await askWith(connection, image("a"));
  fake.files.stored.clear();
  const error = await refusal(connection, image("a"));
  // The kernel asks again for this one.
  assertEquals([error.code, error.retry], ["upstream_unavailable", true]);
  await askWith(connection, image("a"));
  assertEquals([fake.files.uploads, said(fake)], [2, [["", "a"]]]);
});

Deno.test("gigachat: a client's own file that is not there is the client's 400", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const id = crypto.randomUUID();
  const byField = { ...user("Look"), attachments: [id] };
  for (const message of [user([{ type: "file", file: { file_id: id } }]), byField]) {
    const error = await assertRejects(() => ask(connection, { messages: [message] }), RouterError);
    assertEquals([error.code, error.fallback], ["invalid_request", false]);
    assertStringIncludes(error.message, "No such file");
  }
});
