/** Which requests let GigaChat's models read documents, by a function that only v1 has. */
import { assertEquals, assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { bring } from "../../providers/gigachat/attachments.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { letRead } from "../../providers/gigachat/reader.ts";
import { callOf, type CallSetup } from "../support/call.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, bodyOf, connectTo, type Question } from "../support/fake_gigachat_call.ts";
import { type Content, user } from "../support/ask_with_files.ts";
import { bytesOf, filePart, png } from "../support/files.ts";

const reader = { name: "get_file_content" };
const tools = [{
  type: "function",
  function: { name: "f", parameters: { type: "object", properties: {} } },
}];
const byId = (id: string) => ({ type: "file", file: { file_id: id } });
const withParts = (...parts: unknown[]) => ({ messages: [user(parts as Content)] });

/** What becomes of a request where GigaChat has files of these names under their ids. */
async function sent(
  question: Question,
  names: Readonly<Record<string, string>> = {},
  setup: CallSetup = {},
) {
  const looked: string[] = [];
  const send = (path: string, { signal }: { signal: AbortSignal }) => {
    if (signal.aborted) return Promise.reject(signal.reason);
    const id = decodeURIComponent(path.slice("/files/".length));
    looked.push(id);
    const filename = names[id];
    return Promise.resolve(
      filename === undefined
        ? Response.json({ status: 404, message: "No such file" }, { status: 404 })
        : Response.json({ id, filename }),
    );
  };
  const replyHeaders: Record<string, string> = {};
  const call = callOf({ send, replyHeaders, ...setup });
  const body = bodyOf(question);
  const encoded = await letRead(await bring(encode(body, call), call, undefined), body, call);
  const functions = encoded.functions?.map(({ name }) => name);
  return {
    looked,
    functions,
    choice: encoded.function_call,
    changed: replyHeaders["x-xrouter-changed"],
  };
}

Deno.test("gigachat: an image by its id needs no reader, and is looked up once", async () => {
  const settings = {};
  const image = { i: "a.PNG" };
  const none = { ...withParts(byId("i")), tools, tool_choice: "none" };
  const first = await sent(none, image, { settings });
  assertEquals(first, { looked: ["i"], functions: undefined, choice: "none", changed: undefined });
  const again = await sent({ ...none, tool_choice: "auto" }, image, { settings });
  assertEquals(again, { looked: [], functions: ["f"], choice: "auto", changed: undefined });
});

Deno.test("gigachat: a document by its id may be read, also in GigaChat's own attachments", async () => {
  for (
    const question of [
      { ...withParts(byId("d")) },
      { messages: [{ ...user("Sum it up"), attachments: ["d"] }] },
    ]
  ) {
    const names = { d: "report.pdf" };
    const auto = await sent({ ...question, tools }, names);
    assertEquals([auto.functions, auto.choice], [["f", "get_file_content"], "auto"]);
    const none = await sent({ ...question, tools, tool_choice: "none" }, names);
    assertEquals([none.functions, none.changed], [["get_file_content"], "tool_choice"]);
    const free = await sent(question, names);
    assertEquals([free.choice, free.functions, free.looked], ["auto", undefined, []]);
  }
});

Deno.test("gigachat: a file of which GigaChat says nothing may be a document, and is asked for again", async () => {
  const settings = {};
  for (let time = 0; time < 2; time++) {
    const { functions, looked } = await sent({ ...withParts(byId("../x")), tools }, {}, {
      settings,
    });
    assertEquals([functions, looked], [["f", "get_file_content"], ["../x"]]);
  }
  const reason = new Error("gone");
  const signal = AbortSignal.abort(reason);
  const asking = sent({ ...withParts(byId("x")), tools }, {}, { signal });
  assertEquals(await asking.catch((error) => error), reason);
});

Deno.test("gigachat: one function cannot be called beside a document that is to be read", async () => {
  const document = withParts(byId("d"));
  const names = { d: "report.pdf", i: "a.jpeg" };
  const named = { type: "function", function: { name: "f" } };
  const functions = tools.map((each) => each.function);
  for (
    const [fields, field] of [
      [{ tools, tool_choice: named }, "tool_choice"],
      [{ tools, tool_choice: "required" }, "tool_choice"],
      [{ functions, function_call: { name: "f" } }, "function_call"],
    ] as const
  ) {
    const error = await assertRejects(() => sent({ ...document, ...fields }, names), RouterError);
    assertEquals([error.code, error.param], ["invalid_request", field]);
    const warned = await sent({ ...document, ...fields }, names, { policy: "warn" });
    assertEquals([warned.functions, warned.choice, warned.changed], [
      ["f", "get_file_content"],
      "auto",
      field,
    ]);
    const image = await sent({ ...withParts(byId("i")), ...fields }, names);
    assertEquals([image.choice, image.changed], [{ name: "f" }, undefined]);
  }
  const reading = { functions: [reader], function_call: reader };
  const own = await sent({ ...document, ...reading }, names);
  assertEquals([own.functions, own.choice], [["get_file_content"], reader]);
});

Deno.test("gigachat: v2 gets documents without a reader, which it refuses", async () => {
  await using fake = await startFakeGigachat();
  fake.v2.reply = () => ({ content: "ok" });
  await using connection = connectTo(fake, { GIGACHAT_V2_MODELS: "*" });
  const parts = [filePart(bytesOf("%PDF-1.4"), "a"), byId(fake.files.make(png("old")))];
  const specifications = tools.map((each) => each.function);
  for (
    const [tool_choice, tool_config] of [
      ["auto", { mode: "auto" }],
      ["required", { mode: "forced", function_name: "f" }],
    ] as const
  ) {
    await ask(connection, { ...withParts(...parts), tools, tool_choice });
    const last = fake.chatsV2.at(-1)!;
    assertEquals([last.tools, last.tool_config], [
      [{ functions: { specifications } }],
      tool_config,
    ]);
    assertEquals(
      last.messages.flatMap(({ content }) => content.flatMap((p) => p.files ?? [])).length,
      2,
    );
  }
  await ask(connection, { ...withParts(...parts), tools, tool_choice: "none" });
  const { tools: shown, tool_config } = fake.chatsV2.at(-1)!;
  assertEquals([shown, tool_config], [undefined, undefined]);
});
