import { assert, assertEquals } from "@std/assert";
import { image } from "../support/ask_with_files.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { startRouter } from "../support/router.ts";

Deno.test("what GigaChat repeats of keys and tokens reaches neither clients nor the log", async () => {
  await using fake = await startFakeGigachat();
  await using router = await startRouter({ ...fake.env, XROUTER_RETRIES: "0" });
  const key = fake.account.credentials;
  const token = "eyJ".padEnd(300, "CANARY");
  const message = `no: Basic ${key}, Bearer eyJhbGciOi.CANARY12345, ${"words ".repeat(55)}${token}`;
  const texts: string[] = [];
  const read = async (response: Response) => texts.push(await response.text());
  const chat = (content: unknown, rest: object = {}) =>
    router.chat({ model: "gigachat/GigaChat-2", messages: [{ role: "user", content }], ...rest });
  for (const status of [400, 413, 422, 500]) {
    const fault = { status, body: { status, message } };
    fake.failNext("files", fault);
    const form = new FormData();
    form.append("file", new Blob(["Hello, this is a text."]), "a.txt");
    form.append("purpose", "assistants");
    await read(
      await fetch(`${router.url}/v1/files`, {
        method: "POST",
        body: form,
        headers: { authorization: `Bearer ${router.secret}` },
      }),
    );
    fake.failNext("files", fault);
    await read(await chat([image(`picture ${status}`)]));
    fake.failNext("chat", fault);
    await read(await chat("hi"));
    fake.failNext("chat", { status: 200, body: { status, message } });
    await read(await chat("hi"));
  }
  await router.stop();
  const all = texts.join("\n") + JSON.stringify(router.log);
  assert(!all.includes(key), "the key is shown");
  assert(!all.includes("CANARY"), "the token is shown");
  assertEquals(texts.length, 16);
});
