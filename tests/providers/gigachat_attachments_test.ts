import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { bring } from "../../providers/gigachat/attachments.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { letRead } from "../../providers/gigachat/reader.ts";
import { uploadsOf } from "../../providers/gigachat/uploads.ts";
import { callOf, type CallSetup } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, bodyOf, connectTo } from "../support/fake_gigachat_call.ts";
import {
  bytesOf,
  dataUrl,
  filePart,
  imagePart,
  png,
  textBytes,
  textPart,
} from "../support/files.ts";
import { askWith, type Content, image, refusal, said, user } from "../support/ask_with_files.ts";

/** Brings the parts of one user message to a vendor that calls the files `id-1`, `id-2` and so on. */
async function bringParts(
  parts: unknown[],
  setup: CallSetup = {},
  fields: Record<string, unknown> = {},
) {
  let ids = 0;
  const send = () => Promise.resolve(Response.json({ id: `id-${++ids}` }));
  const call = callOf({ send, ...setup });
  try {
    const body = bodyOf({ ...fields, messages: [user(parts as Content)] });
    return await letRead(await bring(encode(body, call), call, undefined), body, call);
  } finally {
    await uploadsOf(call.settings).close();
  }
}

Deno.test("gigachat: an image is uploaded, named in the message, and deleted at the end", async () => {
  await using fake = await startFakeGigachat();
  {
    await using connection = connectTo(fake);
    await askWith(connection, textPart("What is it?"), image("cat"));
    assertEquals(said(fake), [["What is it?", "cat"]]);
    const [file] = [...fake.files.stored.values()];
    assertEquals([file!.type, file!.filename], ["image/png", "file.png"]);
    assertEquals(fake.files.deleted, []);
  }
  assertEquals([fake.files.stored.size, fake.files.deleted.length], [0, 1]);
});

Deno.test("gigachat: the bytes say what a file is, whatever its label says", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  await askWith(connection, imagePart(dataUrl(bytesOf("\xff\xd8\xff\xe0"), "image/png")));
  assertEquals([...fake.files.stored.values()][0]!.type, "image/jpeg");
});

Deno.test("gigachat: several images of a message become several messages, in order", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const ask = (...parts: unknown[]) => askWith(connection, ...parts);
  await ask(textPart("Compare"), image("a"), image("b"));
  assertEquals(said(fake), [["", "a"], ["Compare", "b"]]);
  await ask(image("a"), image("b"), textPart("Compare"));
  assertEquals(said(fake), [["", "a"], ["Compare", "b"]]);
  await ask(textPart("First"), image("a"), textPart("Second"), image("b"), textPart("Compare"));
  assertEquals(said(fake), [["First", "a"], ["Second\nCompare", "b"]]);
});

Deno.test("gigachat: what is split, and an image's detail, is named in x-xrouter-changed", async () => {
  const replyHeaders: Record<string, string> = {};
  const parts = [image("a"), {
    ...image("b"),
    image_url: { url: dataUrl(png("b")), detail: "low" },
  }];
  await bringParts(parts, { replyHeaders });
  assertEquals(
    replyHeaders["x-xrouter-changed"],
    "messages[0].content[1].image_url.detail, messages[0].content",
  );
});

Deno.test("gigachat: formats that it lacks are refused by name, before anything is uploaded", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const webp = imagePart(dataUrl(bytesOf("RIFF\0\0\0\0WEBPVP8 "), "image/png"));
  const error = await refusal(connection, image("good"), webp);
  assertEquals([error.code, error.param], [
    "invalid_request",
    "messages[0].content[1].image_url.url",
  ]);
  assertStringIncludes(error.message, "is a WebP image, which GigaChat does not read");
  assertStringIncludes(error.message, "Send JPEG, PNG, TIFF and BMP");
  for (
    const [file, name] of [["GIF89a", "a GIF"], ["<svg>", "an SVG"], ["\0\0\0 ftypheic", "HEIC"]]
  ) {
    const { message } = await refusal(connection, imagePart(dataUrl(bytesOf(file!))));
    assertStringIncludes(message, name!);
  }
  assertEquals(fake.files.uploads, 0);
});

Deno.test("gigachat: a part that holds another kind of file is refused with the right part's name", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const pdf = imagePart(dataUrl(bytesOf("%PDF-1.4"), "image/png"));
  assertStringIncludes(
    (await refusal(connection, pdf)).message,
    'holds PDF, which is no image. Send it as a part of type "file"',
  );
  const audio = { type: "input_audio", input_audio: { data: png().toBase64(), format: "mp3" } };
  assertStringIncludes((await refusal(connection, audio)).message, 'part of type "image_url"');
  assertEquals(fake.requestsTo("/v1/chat/completions"), []);
});

Deno.test("gigachat: parts with a wrong form are refused, naming the field", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const parts: [part: unknown, param: string, words: string][] = [
    [{ type: "image_url" }, "image_url.url", "must be an address"],
    [{ type: "image_url", image_url: "https://a.test/" }, "image_url.url", "must be an address"],
    [imagePart("data:image/png;base64,%%%"), "image_url.url", "is no valid base64"],
    [imagePart("data:image/png;base64,aGk=aGk="), "image_url.url", "is no valid base64"],
    [imagePart("data:image/png,abc"), "image_url.url", "must be a data URL in base64"],
    [imagePart(`data:${"a".repeat(5_000)}`), "image_url.url", "must be a data URL in base64"],
    [imagePart("data:image/png;base64,"), "image_url.url", "of a format that is not known"],
    [imagePart(""), "image_url.url", "is not a URL"],
    [imagePart("file:///etc/passwd"), "image_url.url", "must begin with https://"],
    [imagePart("http://127.0.0.1/"), "image_url.url", "without a public address"],
    [imagePart("http://169.254.169.254/"), "image_url.url", "without a public address"],
    [{ type: "input_audio", input_audio: {} }, "input_audio.data", "must be a recording"],
    [{ type: "file", file: {} }, "file", 'must have "file_data"'],
    [{ type: "file", file: null }, "file", 'must have "file_data"'],
    [{ type: "video_url" }, "", 'has the type "video_url"'],
  ];
  for (const [part, field, words] of parts) {
    const error = await refusal(connection, textPart("x"), part);
    assertEquals(error.code, "invalid_request", words);
    assertEquals(error.param, `messages[0].content[1]${field && "."}${field}`);
    assertStringIncludes(error.message, words);
  }
  assertEquals(fake.requests, []);
});

Deno.test("gigachat: images of other messages than the user's are refused", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  for (const role of ["system", "assistant"]) {
    const messages = [user("Hi"), { role, content: [image("a")] as Content }, user("Hi")];
    const error = await assertRejects(() => ask(connection, { messages }), RouterError);
    assertEquals([error.code, error.param], ["invalid_request", "messages[1].content[0]"]);
    assertStringIncludes(error.message, "in user messages");
  }
});

Deno.test("gigachat: sizes and numbers are bounded before anything is sent", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const many = Array.from({ length: 1_000 }, (_, i) => image(`${i}`));
  const error = await refusal(connection, ...many);
  assertEquals(error.param, "messages[0].content[10].image_url.url");
  assertStringIncludes(error.message, "is one of 1000 files: GigaChat takes 10");
  const big = imagePart(dataUrl(png("", 20 * 1024 * 1024)));
  assertStringIncludes((await refusal(connection, big)).message, "is longer than 15 MB");
  const large = (name: string) => imagePart(dataUrl(png(name, 14 * 1024 * 1024)));
  const sum = await refusal(connection, ...["a", "b", "c", "d", "e", "f"].map(large));
  assertEquals(sum.param, "messages[0].content[5].image_url.url");
  assertStringIncludes(sum.message, "80 MB of files");
  assertEquals(fake.requests, []);
  await askWith(connection, ...many.slice(0, 10));
  assertEquals(said(fake).length, 10);
});

Deno.test("gigachat: a document is uploaded by its name, and may be read by the model", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  await askWith(connection, textPart("Sum it up"), filePart(bytesOf("%PDF-1.4"), "Отчёт"));
  const [file] = [...fake.files.stored.values()];
  assertEquals([file!.type, file!.filename], ["application/pdf", "Отчёт.pdf"]);
  assertEquals(fake.chats.at(-1)!.function_call, "auto");
  // With functions of the client's own, the reader must be named.
  const tools = [{
    type: "function" as const,
    function: { name: "f", parameters: { type: "object", properties: {} } },
  }];
  await ask(connection, {
    messages: [user([filePart(bytesOf("%PDF-1.4"), "a")])],
    functions: tools.map((each) => each.function),
    function_call: "none",
  });
  assertEquals(fake.chats.at(-1)!.functions, [{ name: "get_file_content" }]);
  const parts = [filePart(textBytes("Привет"), '../a\r\n".md', "text/markdown")];
  await ask(connection, { messages: [user(parts)], tools });
  const names = fake.chats.at(-1)!.functions!.map(({ name }) => name);
  assertEquals(names, ["f", "get_file_content"]);
  assertEquals([...fake.files.stored.values()].at(-1)!.filename, "a___.md.txt");
});

Deno.test("gigachat: where no function may be called, the reader of a document is, and that is named", async () => {
  const document = filePart(bytesOf("%PDF-1.4"), "a");
  const tools = [{ type: "function", function: { name: "f" } }];
  const functions = tools.map((each) => each.function);
  for (
    const [fields, changed] of [
      [{ tools, tool_choice: "none" }, "tool_choice"],
      [{ tool_choice: "none" }, "tool_choice"],
      [{ functions, function_call: "none" }, "function_call"],
    ] as const
  ) {
    const replyHeaders: Record<string, string> = {};
    const sent = await bringParts([document], { replyHeaders }, fields);
    assertEquals([sent.functions, sent.function_call], [[{ name: "get_file_content" }], "auto"]);
    assertEquals(replyHeaders["x-xrouter-changed"], changed);
  }
  const replyHeaders: Record<string, string> = {};
  await bringParts([document], { replyHeaders }, { tools, tool_choice: "auto" });
  await bringParts([image("a")], { replyHeaders }, { tools, tool_choice: "none" });
  assertEquals(replyHeaders, {});
});

Deno.test("gigachat: a second document is refused, or left out where the policy says so", async () => {
  const parts = [filePart(bytesOf("%PDF-1.4"), "a"), filePart(bytesOf("%PDF-1.5"), "b")];
  const replyHeaders: Record<string, string> = {};
  const error = await assertRejects(() => bringParts(parts), RouterError, "is a second document");
  assertEquals(error.param, "messages[0].content[1].file.file_data");
  const { messages } = await bringParts(parts, { policy: "warn", replyHeaders });
  assertEquals(messages, [
    { role: "user", content: "", attachments: ["id-1"] },
    { role: "user", content: "" },
  ]);
  assertMatch(replyHeaders["x-xrouter-changed"]!, /messages\[0\]\.content\[1\]\.file\.file_data/);
});

Deno.test("gigachat: recordings and files by id are attached", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const id = fake.files.make(png("old"));
  const data = bytesOf("ID3\x04 song").toBase64();
  await askWith(
    connection,
    { type: "input_audio", input_audio: { data, format: "mp3" } },
    { type: "file", file: { file_id: id } },
  );
  assertEquals(fake.files.uploads, 1);
  assertEquals(fake.chats.at(-1)!.messages[1]!.attachments, [id]);
});

Deno.test("gigachat: attachments by GigaChat's own field pass as they are", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  const id = fake.files.make(png("12345678old"));
  await ask(connection, { messages: [{ ...user("Look"), attachments: [id] }] });
  assertEquals(said(fake)[0]![0], "Look");
  await ask(connection, { messages: [{ ...user([image("new")]), attachments: [id] }] });
  assertEquals(
    fake.chats.at(-1)!.messages.map(({ attachments }) => (attachments as string[]).length),
    [1, 1],
  );
});

Deno.test("gigachat: attachments that are no ids are refused", async () => {
  await using fake = await startFakeGigachat();
  await using connection = connectTo(fake);
  for (const attachments of [[["id"]], [{ id: "id" }], [null], [1]]) {
    const messages = [{ ...user("Look"), attachments }];
    const error = await assertRejects(() => ask(connection, { messages }), RouterError);
    assertEquals([error.code, error.param], ["invalid_request", "messages[0].attachments"]);
  }
});
