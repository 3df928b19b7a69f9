// deno-lint-ignore-file camelcase -- the names of the wire
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type FakeGigachat, startFakeGigachat } from "./fake_gigachat.ts";
import { differences } from "./fake_gigachat_schema.ts";

const user = { role: "user", content: "Привет" };
const called = { role: "assistant", content: "", function_call: { name: "w", arguments: {} } };
const answered = { role: "function", name: "w", content: "{}" };
const parameters = { type: "object", properties: {} };

/** A client of its own, so that the fake is tested without the provider. */
class Client implements Disposable {
  readonly #fake: FakeGigachat;
  readonly #http: Deno.HttpClient;
  token = "";

  constructor(fake: FakeGigachat) {
    this.#fake = fake;
    const caCerts = [Deno.readTextFileSync(fake.env.GIGACHAT_CA_BUNDLE_FILE!)];
    this.#http = Deno.createHttpClient({ caCerts });
  }

  [Symbol.dispose](): void {
    this.#http.close();
  }

  call(path: string, init: RequestInit = {}): Promise<Response> {
    const url = `https://127.0.0.1:${this.#fake.port}${path}`;
    const headers = { authorization: `Bearer ${this.token}`, ...init.headers as HeadersInit };
    return fetch(url, { ...init, headers, client: this.#http });
  }

  async signIn(headers: Record<string, string> = {}, body = "scope=GIGACHAT_API_PERS") {
    const response = await this.call("/api/v2/oauth", {
      method: "POST",
      headers: {
        authorization: `Basic ${this.#fake.account.credentials}`,
        rquid: crypto.randomUUID(),
        "content-type": "application/x-www-form-urlencoded",
        ...headers,
      },
      body,
    });
    const text = await response.text();
    const json = text === "" ? {} : JSON.parse(text);
    this.token = json.access_token ?? "";
    return { status: response.status, json };
  }

  async chat(fields: Record<string, unknown>) {
    const response = await this.call("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ model: "GigaChat-2", messages: [user], ...fields }),
    });
    return { status: response.status, json: await response.json() };
  }
}

Deno.test("the fake's answers fit the published OpenAPI file", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  assertEquals(differences("Token", (await client.signIn()).json), []);
  fake.account.balance = [{ usage: "GigaChat", value: 7 }];
  assertEquals(differences("Balance", await (await client.call("/v1/balance")).json()), []);
  assertEquals(differences("Models", await (await client.call("/v1/models")).json()), []);
  assertEquals(differences("ChatCompletion", (await client.chat({})).json), []);
  const functions = [{ name: "w", parameters }];
  const called = (await client.chat({ functions, function_call: { name: "w" } })).json;
  assertEquals(differences("ChatCompletion", called), []);
  assertEquals(called.choices[0].finish_reason, "function_call");
});

Deno.test("the fake's streams are made of GigaChat's bytes", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  await client.signIn();
  fake.reply = () => ({
    content: ["При", "вет"],
    usage: { prompt_tokens: 17, completion_tokens: 42, precached_prompt_tokens: 2 },
  });
  const body = JSON.stringify({ model: "GigaChat-2", messages: [user], stream: true });
  const response = await client.call("/v1/chat/completions", { method: "POST", body });
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  const tail = '"created":1768996171,"model":"GigaChat-2:2.0.28.2","object":"chat.completion"';
  assertEquals(
    await response.text(),
    `data: {"choices":[{"delta":{"content":"При","role":"assistant"},"index":0}],${tail}}

data: {"choices":[{"delta":{"content":"вет"},"index":0}],${tail}}

data: {"choices":[{"delta":{"content":""},"index":0,"finish_reason":"stop"}],${tail},"usage":{"prompt_tokens":17,"completion_tokens":42,"precached_prompt_tokens":2,"total_tokens":59}}

data: [DONE]

`,
  );
});

Deno.test("the fake refuses a sign-in with GigaChat's codes", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  assertEquals((await client.signIn({ rquid: "1" })).status, 400);
  const refusals = [
    [{}, "", 5],
    [{}, "scope=PERS", 1],
    [{ authorization: "Basic не-base64" }, undefined, 4],
    [{ authorization: `Basic ${btoa("x:y")}` }, undefined, 6],
    [{}, "scope=GIGACHAT_API_CORP", 7],
  ] as const;
  for (const [headers, body, code] of refusals) {
    const encoded = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, unescape(encodeURIComponent(value))]),
    );
    assertEquals((await client.signIn(encoded, body)).json.code, code);
  }
  assertEquals(fake.tokensIssued, 0);
});

Deno.test("the fake refuses tokens that it never gave or that ended", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  assertEquals(await client.chat({}), {
    status: 401,
    json: { status: 401, message: "Unauthorized" },
  });
  await client.signIn();
  assertEquals((await client.chat({})).status, 200);
  fake.expireTokens();
  assertEquals((await client.chat({})).json.message, "Token has expired");
});

Deno.test("the fake tells a balance to those who have one, and signs users in", async () => {
  const user = { name: "ivan", password: "слово" };
  await using fake = await startFakeGigachat({ user, balance: [{ usage: "GigaChat", value: 7 }] });
  using client = new Client(fake);
  const signIn = async (name: string, password: string) => {
    const both = new TextEncoder().encode(`${name}:${password}`).toBase64();
    const headers = { authorization: `Basic ${both}` };
    const response = await client.call("/v1/token", { method: "POST", headers });
    client.token = (await response.json()).tok ?? "";
    return response.status;
  };
  assertEquals(await signIn("ivan", "wrong"), 401);
  assertEquals(await signIn("ivan", "слово"), 200);
  assertEquals(await (await client.call("/v1/balance")).json(), {
    balance: [{ usage: "GigaChat", value: 7 }],
  });
  delete fake.account.balance;
  const forbidden = await client.call("/v1/balance");
  assertEquals(await forbidden.json(), { status: 403, message: "Permission denied" });
});

Deno.test("the fake runs as many chats as an account may", async () => {
  await using fake = await startFakeGigachat({ streams: 1 });
  using client = new Client(fake);
  await client.signIn();
  const rest = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  fake.reply = async () => {
    began.resolve();
    await rest.promise;
    return { content: "да" };
  };
  const first = client.chat({});
  await began.promise;
  assertEquals((await client.chat({})).status, 429);
  rest.resolve();
  assertEquals((await first).status, 200);
  fake.running.lateRefusals = 1;
  const statuses: number[] = [];
  for (let times = 0; times < 3; times++) statuses.push((await client.chat({})).status);
  assertEquals(statuses, [200, 429, 200]);
});

const shapes: Record<string, unknown>[] = [
  { messages: [{ role: "tool", content: "" }] },
  { messages: [{ role: "developer", content: "" }] },
  { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }] },
  { messages: [{ role: "assistant", content: null }] },
  { messages: "Привет" },
  { temperature: "1" },
  { max_tokens: 1e12 },
  { functions: [{ name: "w" }] },
  { function_call: "required" },
  { model: 1 },
];
const meanings: [Record<string, unknown>, string][] = [
  [{ messages: [user, { role: "system", content: "a" }] }, "system message must be the first"],
  [{ messages: [user, called, user] }, "function call must have a result"],
  [{ messages: [user, called] }, "function call must have a result"],
  [{ messages: [user, answered] }, "must have an assistant function call"],
  [{ messages: [called, { ...answered, content: "1°" }] }, "invalid function result"],
  [{ messages: [called, { ...answered, content: "1" }] }, "invalid function result"],
  [{ repetition_penalty: 0 }, "repetition_penalty must be in range (0, +inf)"],
  [{ temperature: 0 }, "temperature"],
  [{ functions: [{ name: "a/b", parameters }] }, "invalid function name"],
  [{ functions: [{ name: "text2image", parameters }] }, "reserved"],
  [{ functions: [{ name: "w", parameters: { type: "object" } }] }, "Field 'properties' is missing"],
  [{ function_call: { name: "w" } }, "not found"],
];
Deno.test("the fake refuses wrong shapes with 400 and wrong meanings with 422", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  await client.signIn();
  for (const fields of shapes) {
    const { status, json } = await client.chat(fields);
    assertEquals([status, json.message], [400, "Your request contains invalid JSON syntax."]);
  }
  for (const [fields, message] of meanings) {
    const { status, json } = await client.chat(fields);
    assertEquals([status, json.status], [422, 422]);
    assertStringIncludes(json.message, message);
  }
  assertEquals((await client.chat({ model: "GigaChat-9" })).json.message, "No such model");
  // What it does not know, it ignores without a word.
  fake.held = false;
  assertEquals((await client.chat({ tools: [{}], tool_choice: "required", seed: 1 })).status, 200);
  const page = await client.call("/v1/nothing");
  assertStringIncludes(await page.text(), "<html>");
  assertEquals(page.status, 403);
});

Deno.test("the fake's files fit the published OpenAPI file, and its refusals the guide", async () => {
  await using fake = await startFakeGigachat();
  using client = new Client(fake);
  await client.signIn();
  const upload = async (type: string, bytes: string, fields: Record<string, string> = {}) => {
    const form = new FormData();
    form.append("file", new Blob([bytes], { type }), "a");
    for (const [name, value] of Object.entries({ purpose: "general", ...fields })) {
      form.append(name, value);
    }
    const response = await client.call("/v1/files", { method: "POST", body: form });
    return { status: response.status, json: await response.json() };
  };
  const { status, json } = await upload("text/plain", "hello");
  assertEquals([status, differences("File", json)], [200, []]);
  const list = await (await client.call("/v1/files")).json();
  assertEquals([differences("Files", list), list.data], [[], [json]]);
  assertEquals(await (await client.call(`/v1/files/${json.id}`)).json(), json);
  assertEquals(await (await client.call(`/v1/files/${json.id}/content`)).text(), "hello");
  const remove = () => client.call(`/v1/files/${json.id}/delete`, { method: "POST" });
  const gone = await (await remove()).json();
  assertEquals([differences("FileDeleted", gone), gone.deleted], [[], true]);
  const again = await remove();
  assertEquals([again.status, (await again.json()).message], [404, "No such file"]);
  assertEquals((await upload("image/webp", "RIFF")).status, 400);
  assertEquals((await upload("image/png", "no picture")).status, 400);
  assertEquals((await upload("text/plain", "hello", { purpose: "vision" })).status, 400);
  // OpenAI's way to delete is a path that is not there.
  const wrong = await client.call(`/v1/files/${json.id}`, { method: "DELETE" });
  assertEquals(wrong.status, 403);
  await wrong.body?.cancel();
  const ids = [fake.files.make(new Uint8Array(1)), fake.files.make(new Uint8Array(1))];
  const messages = (...attachments: string[]) => ({ messages: [{ ...user, attachments }] });
  assertEquals((await client.chat(messages(ids[0]!))).status, 200);
  assertEquals((await client.chat(messages(...ids))).status, 422);
  assertEquals((await client.chat(messages(crypto.randomUUID()))).status, 404);
});
