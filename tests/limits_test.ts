import { assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { maxMessages } from "../core/chat.ts";
import { maxDepth, maxParts } from "../core/json_body.ts";
import { dropIn } from "./support/drop_in.ts";
import { sendRaw } from "./support/raw_http.ts";
import { ask, startRouter } from "./support/router.ts";

Deno.test("a body may nest as deep as the limit and no deeper", async () => {
  await using router = await startRouter();
  const nested = (open: string, close: string, levels: number) =>
    `{"model":"echo","messages":[{"role":"user","content":"hi"}],"metadata":${
      open.repeat(levels)
    }1${close.repeat(levels)}}`;
  for (const [open, close] of [["[", "]"], ['{"a":', "}"]] as const) {
    assertEquals(await statusOf(router.chat(nested(open, close, maxDepth - 1))), 200);
    for (const levels of [maxDepth, 1000, 100_000, 1_000_000]) {
      const response = await router.chat(nested(open, close, levels));
      const { error } = await response.json();
      assertEquals([response.status, error.code], [400, "invalid_request"]);
      assertStringIncludes(error.message, `deeper than ${maxDepth} levels`);
    }
    assertEquals(await statusOf(router.chat(open.repeat(100_000))), 400);
  }
});

Deno.test("a body may hold as many objects, lists and fields as the limit and no more", async () => {
  await using router = await startRouter();
  const body = (metadata: string) =>
    `{"model":"echo","messages":[{"role":"user","content":"hi"}],"metadata":${metadata}}`;
  // The body itself and its three fields, the list, the message and its two, and the list of all others.
  const rest = maxParts - 9;
  const lists = (count: number) => `[${Array(count).fill("[]").join(",")}]`;
  const objects = (count: number) => `[${Array(count / 2).fill('{"a":1}').join(",")}]`;
  const fields = (count: number) =>
    `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(",")}}`;
  assertEquals(await statusOf(router.chat(body(lists(rest)))), 200);
  assertEquals(await statusOf(router.chat(body(fields(rest)))), 200);
  const tooMuch = [lists(rest + 1), fields(rest + 1), objects(rest + 1), fields(700_000)];
  for (const metadata of tooMuch) {
    for (const path of ["/v1/chat/completions", "/v1/route/explain"]) {
      const response = await fetch(`${router.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${router.secret}`, "content-type": "application/json" },
        body: body(metadata),
      });
      const { error } = await response.json();
      assertEquals([response.status, error.code], [400, "invalid_request"]);
      assertStringIncludes(error.message, `more than ${maxParts} objects, lists and fields`);
    }
  }
});

Deno.test("a text may hold as many signs of JSON as it likes", async () => {
  await using router = await startRouter();
  for (const sign of ["[", "{", '":', '\\"{', "\\", "]}"]) {
    const body = { ...ask("echo"), metadata: { text: sign.repeat(maxParts), [sign]: "\\" } };
    assertEquals(await statusOf(router.chat(body)), 200, sign);
  }
});

Deno.test("a request may hold as many messages as the limit and no more", async () => {
  await using router = await startRouter();
  const body = (count: number) => ({
    model: "echo",
    messages: Array(count).fill({ role: "user", content: "hi" }),
  });
  assertEquals(await statusOf(router.chat(body(maxMessages))), 200);
  for (const count of [maxMessages + 1, 5000]) {
    const { error } = await (await router.chat(body(count))).json();
    assertEquals(error.param, "messages");
    assertStringIncludes(error.message, String(maxMessages));
  }
});

Deno.test("a list of millions of wrong items is refused at the first one", async () => {
  await using router = await startRouter();
  const list = `[${"0,".repeat(4_000_000)}0]`;
  const messages = '"messages":[{"role":"user","content":"hi"}]';
  for (
    const [param, body] of [
      ["tools[0]", `{"model":"echo",${messages},"tools":${list}}`],
      ["stop[0]", `{"model":"echo",${messages},"stop":${list}}`],
      ["models", `{"model":"echo",${messages},"models":${list}}`],
      ["messages", `{"model":"echo","messages":${list}}`],
      ["messages[0].content[0]", `{"model":"echo","messages":[{"role":"user","content":${list}}]}`],
      [
        "messages[0].tool_calls[0]",
        `{"model":"echo","messages":[{"role":"assistant","tool_calls":${list}}]}`,
      ],
    ] as const
  ) {
    const before = Deno.memoryUsage().heapUsed;
    const response = await router.chat(body);
    assertEquals((await response.json()).error.param, param);
    // An issue for each item would take more than a gigabyte.
    assertLess(Deno.memoryUsage().heapUsed - before, 400_000_000, param);
  }
});

Deno.test("a body may be as long as the limit and no longer, however it is sent", async () => {
  await using router = await startRouter({ XROUTER_BODY_LIMIT: "2000" });
  const bodyOf = (length: number) => {
    const body = JSON.stringify(ask("echo", ""));
    return body.replace('"content":""', `"content":"${"x".repeat(length - body.length)}"`);
  };
  const chunked = (length: number) => ({
    body: new Blob([bodyOf(length)]).stream(),
  });
  assertEquals(await statusOf(router.chat(bodyOf(2000))), 200);
  assertEquals(await statusOf(router.chat("", chunked(2000))), 200);
  for (const init of [{ body: bodyOf(2001) }, chunked(2001), chunked(20_000)]) {
    const response = await router.chat("", init);
    const { error } = await response.json();
    assertEquals([response.status, error.code], [413, "payload_too_large"]);
    assertStringIncludes(error.message, "2000 bytes");
  }
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n` +
    `authorization: Bearer ${router.secret}\r\ncontent-type: application/json\r\n`;
  // Refused by what it says, before it is sent; and by what it sends, before it ends.
  const announced = await sendRaw(router.url, `${head}content-length: 99999999999\r\n\r\n`);
  assertEquals(announced.status, 413);
  const piece = `5dc\r\n${"x".repeat(1500)}\r\n`;
  const endless = await sendRaw(
    router.url,
    `${head}transfer-encoding: chunked\r\n\r\n${piece}${piece}`,
  );
  assertEquals(endless.status, 413);
});

Deno.test("the default limit of a body is 10 MB", async () => {
  await using router = await startRouter();
  const limit = 10 * 1024 * 1024;
  const spaces = (length: number) => `{"model":"nobody"${" ".repeat(length - 18)}}`;
  assertEquals(await statusOf(router.chat(spaces(limit))), 400);
  assertEquals(await statusOf(router.chat(spaces(limit + 1))), 413);
});

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.body?.cancel();
  return response.status;
}

Deno.test("a stranger's body is not waited for", async () => {
  await using router = await startRouter();
  const head = (key: string) =>
    "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
    `authorization: Bearer ${key}\r\ncontent-length: 9000000\r\n\r\n`;
  // No byte of the body is ever sent.
  const { status, body } = await sendRaw(router.url, head("xr-wrong"));
  assertEquals([status, JSON.parse(body).error.code], [401, "unauthorized"]);
  const [row] = await router.usage();
  assertEquals([row!.status, row!.state, row!.model_asked], [401, "refused", null]);
});

Deno.test("a plugin before the key check that wants the body is told where it belongs", async () => {
  const plugin = (number: number) => ({
    [`${number}_early.ts`]: `import { definePlugin } from "xrouter/plugin";
export default definePlugin({
  name: "early",
  setup: () => ({ onRequest: (x) => { x.replyHeaders["x-model"] = x.body.model; } }),
});`,
  });
  const asked = async (number: number) => {
    await using folder = await dropIn(plugin(number));
    await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder.path });
    const response = await router.chat(ask("echo"));
    await response.body?.cancel();
    return { response, log: router.log };
  };
  const late = await asked(11);
  assertEquals([late.response.status, late.response.headers.get("x-model")], [200, "echo"]);
  const early = await asked(9);
  assertEquals(early.response.status, 500);
  assertMatch(JSON.stringify(early.log), /early.*higher number/);
});
