import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ConfigError } from "../core/config.ts";
import { createLog } from "../core/log.ts";
import { Program } from "../core/program.ts";
import { serveHrana } from "./store/hrana_server.ts";
import { HeldClock } from "./support/clock.ts";
import { dropIn } from "./support/drop_in.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";
import { delta, event, startUpstream, streamed, wholeAnswer } from "./support/upstream.ts";

const databaseToken = "canary-database-token-7f3a";
const vendorKey = "vendor-secret";

/** All that a client can see of an answer. */
async function shown(answer: Promise<Response> | Response): Promise<string> {
  const response = await answer;
  return `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
}

function assertHides(text: string, ...secrets: string[]): void {
  for (const secret of secrets) assert(!text.includes(secret), `"${secret}" stands in: ${text}`);
}

/** The bytes of every file of the database, as text. */
async function databaseBytes(router: TestRouter): Promise<string> {
  let text = "";
  for await (const { name } of Deno.readDir(router.folder)) {
    if (!name.startsWith("xrouter.db")) continue;
    text += new TextDecoder("latin1").decode(await Deno.readFile(`${router.folder}/${name}`));
  }
  return text;
}

Deno.test("no key stands in an answer, a log line, a metric or a byte of the database", async () => {
  await using vendor = startUpstream(({ headers, body }) =>
    body.model === "tells"
      ? Response.json({ error: { message: `No: ${headers.get("authorization")}` } }, {
        status: 400,
      })
      : wholeAnswer()
  );
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_RETRIES: "0",
    API_CORS_ORIGINS: "*",
  });
  const { url, secret } = router;
  const canaries = [secret, secret.slice(3), vendorKey];
  const wrong = `${secret}x`;
  for (
    const answer of [
      router.chat(ask("openai/x")),
      router.chat(ask("openai/tells")),
      router.chat(ask("openai/tells", "hi", { stream: true })),
      router.chat(ask("echo", "hi", { stream: true })),
      router.chat("{"),
      router.chat(ask("nothing")),
      router.chat(ask("echo"), { headers: { authorization: `Bearer ${wrong}` } }),
      router.chat(ask("echo"), { headers: { authorization: `Basic ${secret}` } }),
      router.get("/v1/models"),
      router.get("/nothing"),
      fetch(`${url}/v1/models?api_key=${secret}`, { headers: { "x-api-key": secret } }),
      fetch(`${url}/health?key=${secret}`, { headers: { cookie: secret, referer: secret } }),
      fetch(`${url}/ready`),
    ]
  ) assertHides(await shown(answer), ...canaries);
  const metrics = await shown(fetch(`${url}/metrics`));
  assertStringIncludes(metrics, "# HELP");
  assertHides(metrics, ...canaries);
  assertHides(await databaseBytes(router), ...canaries);
  await router.stop();
  const bytes = await databaseBytes(router);
  assertStringIncludes(bytes, router.keyId);
  assertHides(bytes, ...canaries);
  assertHides(JSON.stringify(router.log), ...canaries);
  assert(router.log.length > 10);
});

Deno.test("the log has no word of what was asked and answered", async () => {
  await using vendor = startUpstream(() => wholeAnswer("the answer's words"));
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
  for (const model of ["echo", "echo-fail", "echo-cut", "openai/x", "nothing"]) {
    for (const stream of [true, false]) {
      const text = "the question's words, said and said again";
      await shown(router.chat(ask(model, text, { stream, n: model === "nothing" ? "wrong" : 1 })));
    }
  }
  await router.stop();
  assertHides(JSON.stringify(router.log), "question's", "answer's", "said again");
});

Deno.test("secrets are struck out of a vendor's words, and of no others", async () => {
  await using vendor = startUpstream(({ headers, body }) => {
    const said = `No: ${headers.get("authorization")}`;
    return body.model === "breaks"
      ? streamed(delta("one"), event({ error: { message: said } }))
      : body.model === "ends"
      ? streamed()
      : Response.json({ error: { message: said } }, { status: 400 });
  });
  // A word of XRouter's own, and what is written into the place of a key where none is needed.
  for (const [key, struck] of [["provider", "[apiKey]"], ["broke", "broke"], ["e", "e"]]) {
    await using router = await startRouter({
      ...vendor.env,
      OPENAI_API_KEY: key!,
      XROUTER_RETRIES: "0",
    });
    const told = async (model: string) => {
      const answer = await router.chat(ask(`openai/${model}`, "hi", { stream: true }));
      const line = (await answer.text()).split("\n").find((each) => each.includes('"error":'))!;
      return JSON.parse(line.replace(/^data: /, "")).error.message;
    };
    assertEquals(
      await told("breaks"),
      `The provider broke the answer off: No: Bearer ${struck}`,
    );
    assertEquals(await told("ends"), "The provider's answer is empty");
    assertEquals(
      await told("refuses"),
      `Provider "openai" refuses the request: No: Bearer ${struck}`,
    );
  }
});

Deno.test("a secret is struck out however JSON writes it", async () => {
  const key = 'abc/def"ghi+jkl==';
  const written = [
    JSON.stringify(key),
    JSON.stringify(key).replaceAll("/", "\\/"),
    JSON.stringify(key).replaceAll("=", "\\u003d"),
    `"\\u0061${JSON.stringify(key).slice(2)}`,
  ];
  await using vendor = startUpstream(({ body }) => {
    const [kind, place] = body.model!.split("-");
    const error = `{"error":{"message":${written[Number(place)]}}}`;
    return kind === "breaks"
      ? streamed(delta("one"), `data: ${error}\n\n`)
      : new Response(error, { status: 400 });
  });
  await using router = await startRouter({ ...vendor.env, OPENAI_API_KEY: key });
  for (const kind of ["breaks", "refuses"]) {
    for (const place of written.keys()) {
      const answer = await shown(
        router.chat(ask(`openai/${kind}-${place}`, "hi", { stream: true })),
      );
      assertStringIncludes(answer, "[apiKey]");
      assertHides(answer, "def", "ghi+jkl");
    }
  }
});

Deno.test("a provider's module that repeats its vendor tells no secret", async () => {
  await using folder = await dropIn({
    "teller.ts": `
import { RouterError } from "xrouter/plugin";
import { defineProvider, setting } from "xrouter/provider";
import { z } from "zod";

const tell = (settings) => {
  throw new RouterError("upstream_rejected", "No: " + settings.apiKey, {
    detail: settings.apiKey,
  });
};

export default defineProvider({
  name: "teller",
  baseUrl: "http://127.0.0.1:9/v1",
  settings: z.object({ apiKey: setting("TELLER_API_KEY", z.string(), "The key", { secret: true }) }),
  authorize: ({ settings }) => tell(settings),
  encode: (body, { settings }) => body.model === "encodes" ? tell(settings) : body,
});
`,
  });
  await using router = await startRouter({
    XROUTER_PROVIDERS_DIR: folder.path,
    TELLER_API_KEY: vendorKey,
    XROUTER_RETRIES: "0",
  });
  for (const model of ["encodes", "signs-in"]) {
    const answer = await shown(router.chat(ask(`teller/${model}`)));
    assertStringIncludes(answer, "No: [apiKey]");
    assertHides(answer, vendorKey);
  }
  await router.stop();
  assertHides(JSON.stringify(router.log), vendorKey);
});

Deno.test("a database server that repeats its token is not repeated", async () => {
  const file = await Deno.makeTempFile({ suffix: ".db" });
  {
    let refuse: ((words: string) => Response) | undefined;
    await using hrana = serveHrana(file, databaseToken);
    await using front = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const body = await request.bytes();
        if (refuse) return refuse(`refused ${request.headers.get("authorization")}`);
        const { pathname } = new URL(request.url);
        const { method, headers } = request;
        return await fetch(`http://${hrana.host}${pathname}`, { method, headers, body });
      },
    );
    using clock = new HeldClock();
    await using router = await startRouter({
      DATABASE_URL: `http://127.0.0.1:${front.addr.port}`,
      DATABASE_AUTH_TOKEN: databaseToken,
    });
    await shown(router.chat(ask("echo")));
    const refusals = [
      (words: string) => new Response(words, { status: 401 }),
      (words: string) => Response.json({ message: words, code: "NO" }, { status: 403 }),
      (words: string) =>
        new Response(words, { status: 500, headers: { "content-type": "text/plain" } }),
    ];
    for (refuse of refusals) {
      clock.pass(5_000);
      const answer = await shown(router.chat(ask("echo")));
      assertStringIncludes(answer, "503 ");
      assertHides(answer, databaseToken, "refused");
      const ready = await shown(fetch(`${router.url}/ready`));
      assertStringIncludes(ready, '"failed":["database"');
      assertHides(ready, databaseToken, "127.0.0.1");
    }
    refuse = undefined;
    await router.stop();
    const log = JSON.stringify(router.log);
    assertStringIncludes(log, "refused");
    assertHides(log, databaseToken);
  }
  await Deno.remove(file);
});

Deno.test("a secret of the wrong form is named and not shown", async () => {
  const canary = "canary-credentials-of-a-wrong-form";
  const error = await assertRejects(
    () => Program.open({ GIGACHAT_CREDENTIALS: canary }, createLog(() => {})),
    ConfigError,
  );
  assertStringIncludes(error.message, "GIGACHAT_CREDENTIALS");
  assertHides(`${error.message} ${error.stack} ${JSON.stringify(error.problems)}`, canary);
});
