import { assertEquals, assertStringIncludes } from "@std/assert";
import { dropIn } from "../support/drop_in.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { bytesOf, png } from "../support/files.ts";
import { wholeAnswer } from "../support/upstream.ts";
import { byPart, start } from "../support/file_callers.ts";

/** A vendor in OpenAI's shape with two accounts, each of which knows its own files only. */
async function startVendor() {
  const files = new Map<string, { account: string; bytes: Uint8Array<ArrayBuffer> }>();
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const account = request.headers.get("authorization")!.replace("Bearer ", "");
    asked.push(`${account} ${request.method} ${pathname}`);
    if (pathname === "/v1/models") return Response.json({ data: [] });
    if (pathname === "/v1/chat/completions") {
      await request.body?.cancel();
      return wholeAnswer();
    }
    if (request.method === "POST") {
      const form = await request.formData();
      const id = `file-${files.size + 1}`;
      files.set(id, { account, bytes: await (form.get("file") as File).bytes() });
      return Response.json({ id, object: "file", purpose: form.get("purpose") });
    }
    const [, , , id = "", action] = pathname.split("/");
    const file = files.get(id);
    if (file?.account !== account) return Response.json({ error: {} }, { status: 404 });
    if (action === "content") return new Response(file.bytes);
    files.delete(id);
    return Response.json({ id, deleted: true });
  });
  const folder = await dropIn({
    "acme.ts": `
      import { defineProvider, setting } from "xrouter/provider";
      import { z } from "zod";
      export default defineProvider({
        name: "acme",
        baseUrl: "http://127.0.0.1:${server.addr.port}/v1",
        settings: z.strictObject({
          apiKey: setting("ACME_API_KEY", z.string().default("none"), "The key of the vendor"),
        }),
        files: {},
        accounts: () => ["one", "two"].map((name) => ({ name, settings: { apiKey: name } })),
      });`,
  });
  return {
    files,
    asked,
    env: { XROUTER_PROVIDERS_DIR: folder.path },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await folder[Symbol.asyncDispose]();
    },
  };
}

Deno.test("files: with several accounts, a file is used with the one that took it", async () => {
  await using vendor = await startVendor();
  await using it = await start(vendor.env);
  const ids: string[] = [];
  for (const name of ["a", "b"]) ids.push((await it.own.upload(bytesOf(name))).json.id);
  const accounts = ids.map((id) => vendor.files.get(id)!.account);
  assertEquals(accounts, ["one", "two"]);
  for (const [place, id] of ids.entries()) {
    for (let times = 0; times < 3; times++) {
      const { status } = await it.own.chat("acme/m", byPart(id));
      assertEquals(status, 200);
      assertEquals(vendor.asked.at(-1), `${accounts[place]} POST /v1/chat/completions`);
    }
    const { text } = await it.own.call("GET", `/v1/files/${id}/content`);
    assertEquals(text, ["a", "b"][place]);
  }
  const { status, json } = await it.own.chat("acme/m", byPart(ids[0]!), byPart(ids[1]!));
  assertEquals([status, json.error.param], [400, "messages[1].content[0].file.file_id"]);
  assertStringIncludes(json.error.message, "is a file of another account");
  for (const id of ids) assertEquals((await it.own.call("DELETE", `/v1/files/${id}`)).status, 200);
  assertEquals(vendor.files.size, 0);
});

Deno.test("files: with several providers, the client names one", async () => {
  await using fake = await startFakeGigachat();
  await using vendor = await startVendor();
  await using it = await start({ ...fake.env, ...vendor.env });
  const { status, json } = await it.own.upload(png());
  assertEquals([status, json.error.message], [
    400,
    '"provider" must be one of those that keep files: "acme", "gigachat"',
  ]);
  const { json: first } = await it.own.upload(png(), { provider: "gigachat" });
  assertEquals([first.provider, fake.files.stored.has(first.id)], ["gigachat", true]);
  const form = new FormData();
  form.append("file", new Blob([png()]), "a.png");
  const { json: second } = await it.own.call("POST", "/v1/files?provider=acme", form);
  assertEquals([second.provider, vendor.files.has(second.id)], ["acme", true]);
  // A file of one provider is none of another.
  assertEquals((await it.own.chat("acme/m", byPart(first.id))).status, 400);
  assertEquals((await it.own.chat("echo", byPart(first.id))).status, 200);
});
