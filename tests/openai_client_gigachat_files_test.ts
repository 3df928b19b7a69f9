import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { startFakeGigachat } from "./support/fake_gigachat.ts";
import { bytesOf, dataUrl, filePart, imagePart, png, textPart } from "./support/files.ts";
import { clientOf } from "./support/openai_client.ts";
import { startRouter } from "./support/router.ts";

const model = "gigachat/GigaChat-2-Max";

Deno.test("the openai client shows GigaChat images and documents", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const content = [textPart("Compare"), imagePart(dataUrl(png("a"))), imagePart(dataUrl(png("b")))];
  const { data, response } = await client.chat.completions
    .create({ model, messages: [{ role: "user", content }] }).withResponse();
  assert(data.choices[0]!.message.content);
  assertEquals(response.headers.get("x-xrouter-changed"), "messages[0].content");
  const [first, second] = fake.chats[0]!.messages;
  assertEquals([first!.content, second!.content], ["", "Compare"]);
  assertEquals(fake.files.stored.size, 2);
  const stream = await client.chat.completions.create({
    model,
    stream: true,
    messages: [{ role: "user", content: [filePart(bytesOf("%PDF-1.4"), "a.pdf")] }],
  });
  let chunks = 0;
  for await (const _ of stream) chunks++;
  assert(chunks > 0);
  assertEquals(fake.files.stored.size, 3);
  await router.stop();
  assertEquals(fake.files.stored.size, 0);
  const [row] = await router.usage();
  // An image is held as 765 tokens, and settled as GigaChat counts it.
  assertEquals(row!.estimated, 0);
});

Deno.test("the openai client is told what is wrong with an image, and nothing is charged", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const ask = (url: string) =>
    client.chat.completions.create({
      model,
      messages: [{ role: "user", content: [imagePart(url)] }],
    });
  const wrong: [url: string, status: number][] = [
    [dataUrl(bytesOf("GIF89a")), 400],
    ["https://127.0.0.1/admin", 400],
    ["data:image/png;base64,=", 400],
    [dataUrl(png("", 20 * 1024 * 1024)), 413],
  ];
  for (const [url, status] of wrong) {
    const error = await assertRejects(() => ask(url), OpenAI.APIError);
    assertEquals(error.status, status);
  }
  fake.failNext("files", { status: 422 });
  assertInstanceOf(await ask(dataUrl(png())).catch((error) => error), OpenAI.BadRequestError);
  assertEquals(fake.chats, []);
  for (const { cost, state } of await router.usage()) {
    assert(!cost, `${cost}`);
    assert(state !== "completed");
  }
});

Deno.test("an image that GigaChat has lost is uploaded again within the same request", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const messages = [{ role: "user" as const, content: [imagePart(dataUrl(png("a")))] }];
  await client.chat.completions.create({ model, messages });
  fake.files.stored.clear();
  const { choices } = await client.chat.completions.create({ model, messages });
  assert(choices[0]!.message.content);
  assertEquals([fake.files.uploads, fake.chats.length], [2, 3]);
});

Deno.test("the openai client uploads, lists, reads, uses and deletes a file", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const file = await OpenAI.toFile(bytesOf("%PDF-1.4 text"), "Отчёт.pdf");
  const created = await client.files.create({ file, purpose: "user_data" });
  assertEquals(
    [created.object, created.filename, created.bytes, created.purpose, created.status],
    ["file", "Отчёт.pdf", 13, "user_data", "processed"],
  );
  assert(Math.abs(created.created_at - Date.now() / 1000) < 60);
  const [stored] = [...fake.files.stored.values()];
  assertEquals([stored!.id, stored!.type, stored!.filename], [
    created.id,
    "application/pdf",
    "Отчёт.pdf",
  ]);
  const second = await client.files.create({
    file: await OpenAI.toFile(png("b"), "b.png"),
    purpose: "vision",
  });
  const listed = [];
  for await (const each of client.files.list({ limit: 1 })) listed.push(each.id);
  assertEquals(listed, [second.id, created.id]);
  const oldest = await client.files.list({ order: "asc", purpose: "user_data" });
  assertEquals(oldest.data.map(({ id }) => id), [created.id]);
  assertEquals(await client.files.retrieve(created.id), created);
  const content = await client.files.content(created.id);
  assertEquals(await content.text(), "%PDF-1.4 text");
  assertEquals(content.headers.get("content-type"), "application/octet-stream");
  assertEquals(content.headers.get("x-content-type-options"), "nosniff");
  const { choices } = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: [{ type: "file", file: { file_id: created.id } }] }],
  });
  assert(choices[0]!.message.content);
  assertEquals(fake.chats[0]!.messages[0]!.attachments, [created.id]);
  assertEquals(await client.files.delete(created.id), {
    id: created.id,
    object: "file",
    deleted: true,
  });
  assertEquals(fake.files.deleted, [created.id]);
  await assertRejects(() => client.files.retrieve(created.id), OpenAI.NotFoundError);
  // What a client uploaded is the client's to delete.
  await router.stop();
  assertEquals([...fake.files.stored.keys()], [second.id]);
});

Deno.test("the openai client is told what a file lacks", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter(fake.env);
  const client = clientOf(router);
  const upload = async (bytes: Uint8Array<ArrayBuffer>, name: string) =>
    await client.files.create({ file: await OpenAI.toFile(bytes, name), purpose: "vision" })
      .catch((error) => error);
  const webp = await upload(bytesOf("RIFF\0\0\0\0WEBPVP8 "), "photo.png");
  assertInstanceOf(webp, OpenAI.BadRequestError);
  assertEquals(webp.param, "file");
  assert(webp.message.includes("is a WebP image, which GigaChat does not read. It reads JPEG"));
  const empty = await upload(new Uint8Array(), "a.txt");
  assertInstanceOf(empty, OpenAI.BadRequestError);
  const long = await upload(png("", 41 * 1024 * 1024), "a.png");
  assertEquals(long.status, 413);
  fake.failNext("files", { status: 500 });
  assertEquals((await upload(png(), "a.png")).status, 502);
  assertEquals((await client.files.list()).data, []);
});
